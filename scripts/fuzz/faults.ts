// SPDX-License-Identifier: MIT
// Faults that the bridge had, or would have without one of its checks. Each is put back into a copy, and the
// harness that is made for it has to find it: a harness that finds nothing in the bridge may be blind.

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { buildWith } from "./build.ts";
import { fuzz, type Outcome } from "./run.ts";
import { targetOf } from "./targets.ts";

const NATIVE = resolve(import.meta.dir, "../../native-loader");

interface Fault {
  target: string;
  /** By file: what stands there once, and what is put in its place. */
  edits: [file: string, from: string, to: string][];
}

export const FAULTS: Record<string, Fault> = {
  "messages of anybody are believed": {
    target: "news",
    edits: [["agent/netlink.c", "from.nl_family != AF_NETLINK || from.nl_pid)", "0)"]],
  },
  "messages of anybody are believed, in answers": {
    target: "answers",
    edits: [["agent/netlink.c", "from.nl_family != AF_NETLINK || from.nl_pid)", "0)"]],
  },
  "a sender without an address is believed": {
    target: "answers",
    edits: [["agent/netlink.c", "len != sizeof(from) || from.nl_family", "from.nl_family"]],
  },
  "a sender of another family is believed": {
    target: "answers",
    edits: [["agent/netlink.c", "from.nl_family != AF_NETLINK || from.nl_pid", "from.nl_pid"]],
  },
  "a message of any length goes into a batch": {
    target: "answers",
    edits: [["agent/netlink-batch.c", "if (m->nlmsg_len < sizeof(*m) || len > NL_MESSAGE)", "if (0)"]],
  },
  "one request fails many times": {
    target: "answers",
    edits: [["agent/netlink-batch.c", "number <= b->judged ||", "number <= b->sent ||"]],
  },
  "an attribute without its byte is read": {
    target: "answers",
    edits: [["agent/netlink.c", "a && RTA_PAYLOAD(a) >= 1 ?", "a ?"]],
  },
  "an attribute shorter than its number is read": {
    target: "answers",
    edits: [["agent/netlink.c", "!a || RTA_PAYLOAD(a) < sizeof(value)", "!a"]],
  },
  "an error that is positive is passed on": {
    target: "answers",
    edits: [["agent/netlink.c", "error > 0 ? -EPROTO : error", "error"]],
  },
  "a message is longer than the room for it": {
    target: "answers",
    edits: [["agent/netlink.c", "(size_t)n > room ? -EMSGSIZE : n", "n"]],
  },
  "answers to a batch are waited for without an end": {
    target: "answers",
    edits: [["agent/netlink-batch.c", "b->sent != b->count && nl_late(&end)", "0 && nl_late(&end)"]],
  },
  "the end of a dump is waited for without an end": {
    target: "news",
    edits: [["agent/netlink.c", "!d.done && nl_late(&end)", "0 && nl_late(&end)"]],
  },
  "news that are lost are read without an end": {
    target: "news",
    edits: [["agent/routes-follow.c", "i < (r->lost ? READS_LOST : READS)", "i < READS || r->lost"]],
  },
  "a socket that cannot be prepared stays open": {
    target: "news",
    edits: [["agent/netlink.c", "\tclose(fd);\n\treturn err;", "\treturn err;"]],
  },
  "a next hop has less than its head": {
    target: "answers",
    edits: [["agent/route-copy.c", "left >= (int)sizeof(*leg) && RTNH_OK(leg, left)", "left > 0"]],
  },
  "a route of any length is copied": {
    target: "answers",
    edits: [["agent/netlink.c", "at + RTA_SPACE(len) > NL_MESSAGE", "0"]],
  },
  "routing is told by anybody": {
    target: "held",
    edits: [["agent/netlink.c", "from.nl_family != AF_NETLINK || from.nl_pid)", "0)"]],
  },
  "a next hop of which there is less than its head is counted": {
    target: "held",
    edits: [["agent/held-judge.c", "left >= (int)sizeof(*leg) && RTNH_OK(leg, left)", "left > 0"]],
  },
  "an address shorter than its family's is told": {
    target: "held",
    edits: [["agent/held-judge.c", "dst && RTA_PAYLOAD(dst) >= n", "dst"]],
  },
  "more groups of next hops than there is room for are kept": {
    target: "held",
    edits: [["agent/held-judge.c", "if (g->n < GROUPS_MOST)", "if (1)"]],
  },
  "a rule is shorter than its head": {
    target: "held",
    edits: [["agent/held-judge.c", "h->nlmsg_len < NLMSG_LENGTH(sizeof(*r)) ||", ""]],
  },
  "a count of policies is shorter than its numbers": {
    target: "held",
    edits: [["agent/held-ipsec.c", "|| RTA_PAYLOAD(a[XFRMA_SPD_INFO]) < sizeof(info)", ""]],
  },
  "news of routing that are lost are read without an end": {
    target: "held",
    edits: [["agent/held-path.c", "i < (p->lost ? READS_LOST : READS)", "i < READS || p->lost"]],
  },
  "a held packet is sent whatever length its header says": {
    target: "agent",
    edits: [["agent/flush.c", "held->len == claimed(", "claimed("]],
  },
  "a held packet is sent as IPv4 whatever it is": {
    target: "agent",
    edits: [["agent/flush.c", "version == 4 && ip[0] == 0x45 && ip[9] == IPPROTO_TCP", "version == 4"]],
  },
  "a held packet is sent as IPv6 whatever it is": {
    target: "agent",
    edits: [["agent/flush.c", "version == 6 && ip[0] >> 4 == 6 && ip[6] == IPPROTO_TCP", "version == 6"]],
  },
  "a held packet is longer than there is room for": {
    target: "agent",
    edits: [["agent/flush.c", "held->len <= sizeof(held->packet) &&", ""]],
  },
  "a held packet with data is sent": {
    target: "agent",
    edits: [["agent/flush.c", "held->len == ip + (held->packet[ip + TCP_OFFSET] >> 4) * 4U", "1"]],
  },
  "a held packet is longer than its record": {
    target: "agent",
    edits: [["agent/flusher.c", "size >= sizeof(*held) && ", ""]],
  },
  "a wish is shorter than its record": {
    target: "agent",
    edits: [["agent/flusher.c", "size >= sizeof(*wanted) && ", ""]],
  },
  "a notice is shorter than a number": {
    target: "agent",
    edits: [["agent/agent.c", "size >= sizeof(uint32_t)", "size"]],
  },
  "a namespace of another user namespace is entered": {
    target: "agent",
    edits: [["agent/served.c", "netns_owned_by(fd, &s->own)", "fd >= 0"]],
  },
  "more namespaces are served than can be": {
    target: "agent",
    edits: [["agent/served.c", "if (s->count >= s->most) {", "if (0) {"]],
  },
  "a text of /proc fills the room for its end": {
    target: "agent",
    edits: [["agent/served-netns.c", "sizeof(text) - 1)", "sizeof(text))"]],
  },
  "a record is longer than the reader's longest": {
    target: "ring",
    edits: [["ring.c", "size > r->most", "0"]],
  },
  "records are taken when there may be no room": {
    target: "ring",
    edits: [["ring.c", "return r->cap - r->taken >= r->most ? 0 : -ENOSPC;", "return 0;"]],
  },
};

/** The files of the bridge with the fault in them. */
async function faultyTexts(name: string): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  for (const [file, from, to] of FAULTS[name]!.edits) {
    const text = texts.get(file) ?? (await readFile(join(NATIVE, file), "utf8"));
    if (text.split(from).length !== 2) throw new Error(`${name}: ${file} has not exactly one ${from}`);
    texts.set(
      file,
      text.replace(from, () => to),
    );
  }
  return texts;
}

/** What the harness says with the fault in the bridge, within the runs that it has in the tests. */
export async function prove(name: string): Promise<Outcome> {
  const { target } = FAULTS[name]!;
  const dir = await mkdtemp(join(tmpdir(), "tcpx-fault-"));
  try {
    const harness = await buildWith(target, await faultyTexts(name), dir);
    return await fuzz(target, harness, { runs: targetOf(target).runs });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
