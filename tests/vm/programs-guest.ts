// SPDX-License-Identifier: MIT
// Runs inside the guest, where tcpx has the sample with programs of other types: they load, take part in every change,
// and do nothing without the sock_ops program of their generation.

import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { IPPROTO_TCP } from "../support/constants.ts";
import { Lab, type Peer, until } from "../support/lab.ts";
import { type Result, works } from "./report.ts";
import { runFeatures } from "./run-features.ts";
import { check, tcpxOk } from "./support.ts";

const PLAIN = "127.0.0.1";
const OPTION = 0x7c40;
const TOP = "/sys/fs/bpf/tcpx";

/** Where a connection comes from, and what the option says of it. */
async function source(peer: Peer, to = PLAIN): Promise<string> {
  const { fd: listener, port } = await peer.listen(PLAIN);
  const fd = await peer.connect(to, port);
  const accepted = await peer.accept(listener);
  const { addr } = await peer.peerName(accepted.fd);
  const given = await peer.getoptHex(fd, IPPROTO_TCP, OPTION).catch(() => "");
  for (const one of [fd, accepted.fd, listener]) await peer.close(one);
  return `${addr} ${given}`.trim();
}

async function programs(): Promise<Result> {
  await using lab = await Lab.create();
  const netns = await lab.netns("one");
  const cgroup = lab.cgroup("outer");
  const inner = lab.cgroup("inner", cgroup);
  const [peer, within] = [await lab.peer(netns, cgroup), await lab.peer(netns, inner)];
  const rule = (words: string, scope = cgroup) =>
    tcpxOk(["bind-address", ...words.split(" "), "--cgroup", scope]);
  const expect = async (what: string, wanted: string, by = peer, to = PLAIN) => {
    const seen = await source(by, to);
    check(seen === wanted, `${what}: ${seen}, not ${wanted}`);
  };
  await expect("no rule", PLAIN);
  await rule("set 127.0.0.7");
  await expect("a rule", "127.0.0.7 7f000007");
  await expect("IPv4 of IPv6", "127.0.0.7 7f000007", peer, `::ffff:${PLAIN}`);
  await rule("set 127.0.0.8");
  await expect("a changed rule", "127.0.0.8 7f000008");
  await rule("set 127.0.0.6", inner);
  await expect("an inner scope", "127.0.0.6 7f000006", within);
  await rule("set none", inner);
  await expect("an exemption within", PLAIN, within);
  const status = (await tcpxOk(["status", "--cgroup", cgroup])).json.scopes[0];
  const missing = status.programs.filter(({ program_id }: { program_id: null }) => program_id === null);
  check(status.programs.length === 3 && missing.length === 0, JSON.stringify(status.programs));
  await rule("unset --all", inner);
  // they are attached, and their generation is not in force
  const layout = readdirSync(TOP).find((name) => name.startsWith("v"))!;
  rmSync(join(TOP, layout, `${status.id}`, "link"));
  await until(async () => (await source(peer)) === PLAIN);
  await tcpxOk(["reset"]);
  await expect("after reset", PLAIN);
  return works(status.programs.map(({ type }: { type: string }) => type).join(", "));
}

async function doctor(): Promise<Result> {
  const { json } = await tcpxOk(["doctor"]);
  const checks: { name: string; verdict: string }[] = json.checks;
  const tried = checks.filter(({ name }) => name.endsWith(" programs"));
  check(tried.length === 3 && tried.every(({ verdict }) => verdict === "ok"), JSON.stringify(tried));
  return works(`${tried.length} checks`);
}

await runFeatures([
  { name: "programs", run: programs },
  { name: "doctor", run: doctor },
]);
