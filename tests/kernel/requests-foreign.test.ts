// SPDX-License-Identifier: MIT
// A sock_ops program of somebody else on the same cgroups, with an option of its own on every segment.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { type Packet, run } from "../support/lab.ts";
import {
  ANSWERS,
  ASKS,
  CUBIC,
  ccAnswer,
  ccAsk,
  iwAnswer,
  iwAsk,
  optionsOf,
  RequestLab,
  requestsOf,
} from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement, requirement } from "../support/requires.ts";
import type { Side } from "../support/uto-lab.ts";

const tools = ["bpftool", "clang"].map((name) =>
  requirement(name, Bun.which(name) !== null, `the program ${name}`),
);
const needs = every("all", labRequirement, captureRequirement, ...tools);
const FOREIGN = "fd04abcd";
const WRITE_HDR_OPT = 15;

/** Writes its option on every segment of every connection, and counts its calls by operation. */
const SOURCE = `
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32);
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

SEC("sockops")
int foreign(struct bpf_sock_ops *ctx)
{
	__u8 option[OPTION] = {253, OPTION, 0xab, 0xcd};
	__u32 op = ctx->op;
	__u64 *n = bpf_map_lookup_elem(&calls, &op);

	if (n)
		__sync_fetch_and_add(n, 1);
	switch (op) {
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags |
						       BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		bpf_reserve_hdr_opt(ctx, sizeof(option), 0);
		break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		bpf_store_hdr_opt(ctx, option, sizeof(option), 0);
		break;
	}
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
`;

describeIf(needs.ok, needs.reason)("requests beside a foreign sock_ops program", () => {
  let r: RequestLab;
  let objects: Record<number, string>;
  const attached: { cgroup: string; id: number }[] = [];

  beforeAll(async () => {
    r = await RequestLab.create();
    const source = r.lab.file("foreign.bpf.c", SOURCE);
    const include = `-I/usr/include/${(await run(["gcc", "-print-multiarch"])).trim()}`;
    const compile = async (bytes: number) => {
      const object = source.replace(/c$/, `${bytes}.o`);
      const flags = ["-g", "-O2", "-target", "bpf", `-DOPTION=${bytes}`, include];
      await run(["clang", ...flags, "-c", source, "-o", object]);
      return object;
    };
    objects = { 4: await compile(4), 12: await compile(12) };
  });
  afterEach(async () => {
    await r.clear();
    for (const { cgroup, id } of attached.splice(0)) {
      await run(["bpftool", "cgroup", "detach", cgroup, "sock_ops", "id", `${id}`]);
    }
  });
  afterAll(() => r[Symbol.asyncDispose]());

  /** Attaches the program as others may, too; its pin is in a bpffs that nobody else sees. */
  async function attach({ cgroup }: Side, bytes: 4 | 12 = 4) {
    const pin = "/sys/fs/bpf/foreign";
    const script = `mount -t bpf bpf /sys/fs/bpf
      bpftool prog load ${objects[bytes]} ${pin} type sockops
      bpftool cgroup attach ${cgroup} sock_ops pinned ${pin} multi
      bpftool prog show pinned ${pin} -j`;
    const { id, map_ids } = JSON.parse(await run(["unshare", "--mount", "sh", "-ec", script]));
    attached.push({ cgroup, id });
    return async (op: number): Promise<number> => {
      const dump = JSON.parse(await run(["bpftool", "map", "dump", "id", `${map_ids[0]}`, "-j"]));
      const entries: { formatted: { key: number; value: number } }[] = dump;
      return entries.find(({ formatted }) => formatted.key === op)?.formatted.value ?? 0;
    };
  }

  const theirs = (packets: Packet[]) => packets.map((p) => optionsOf(p, 253));

  test("both options are on the wire, requests are granted, and its callbacks are not cut", async () => {
    const clientCalls = await attach(r.client);
    const serverCalls = await attach(r.server);
    await r.usual();
    const [before, beforeServer] = [await clientCalls(WRITE_HDR_OPT), await serverCalls(WRITE_HDR_OPT)];
    const { c, t } = await r.recorded(20, async () => {
      const c = await r.open();
      expect(await r.sending(r.server, c.server)).toEqual({ cc: "cubic", cwnd: 32 });
      return c;
    });
    expect(requestsOf(t.client[0]!)).toBe(ASKS);
    expect(requestsOf(t.server[0]!)).toBe(ANSWERS);
    expect(new Set(theirs(t.client))).toEqual(new Set([FOREIGN]));
    expect(new Set(theirs(t.server))).toEqual(new Set([FOREIGN]));
    expect(t.client.length).toBeGreaterThan(20);
    expect((await clientCalls(WRITE_HDR_OPT)) - before).toBeGreaterThanOrEqual(t.client.length);
    expect((await serverCalls(WRITE_HDR_OPT)) - beforeServer).toBeGreaterThanOrEqual(t.server.length);
    // and ours still ends where it should
    expect(t.client.slice(1).map(requestsOf).join("")).toBe("");
    expect(t.server.slice(-15).map(requestsOf).join("")).toBe("");
    expect((await r.sending(r.server, c.server)).cc).toBe("cubic");
    expect(await r.counted(r.client)).toMatchObject({
      cc: { granted: 1, errors: 0 },
      iw: { granted: 1, errors: 0 },
    });
  });

  test("with uto as well: 20 bytes of options on the SYN, theirs and ours", async () => {
    await attach(r.client);
    await r.usual();
    await r.rule(r.client, "uto set 30s");
    const { t } = await r.recorded(3, () => r.open("v6"));
    expect(optionsOf(t.client[0]!, 28, 253, 254).split(",").sort()).toEqual(
      ["1c04001e", FOREIGN, ccAsk(CUBIC), iwAsk(40)].sort(),
    );
    expect(new Set(theirs(t.client))).toEqual(new Set([FOREIGN]));
    expect(
      t.client
        .slice(-2)
        .map((p) => optionsOf(p, 28, 254))
        .join(""),
    ).toBe("");
  });

  test("one that came after the rules is left alone from the next change of them on", async () => {
    await r.usual();
    for (const side of [r.client, r.server]) await attach(side);
    await r.rule(r.client, "iw set 39");
    await r.rule(r.server, "iw accept --max 31");
    const { t } = await r.recorded(10);
    expect(requestsOf(t.client[0]!)).toBe(`${ccAsk(CUBIC)},${iwAsk(39)}`);
    expect(new Set(theirs(t.client))).toEqual(new Set([FOREIGN]));
    expect(new Set(theirs(t.server))).toEqual(new Set([FOREIGN]));
  });

  test("one that came after the rules: the handshake works, and theirs may end with ours, as documented", async () => {
    await r.usual();
    for (const side of [r.client, r.server]) await attach(side);
    const { t } = await r.recorded(10);
    expect([theirs(t.client)[0], theirs(t.server)[0]]).toEqual([FOREIGN, FOREIGN]);
    expect([requestsOf(t.client[0]!), requestsOf(t.server[0]!)]).toEqual([ASKS, ANSWERS]);
  });

  test("one that leaves no room on the SYN-ACK: the answer follows", async () => {
    await attach(r.server, 12);
    await r.usual();
    const { t } = await r.recorded(3);
    expect(optionsOf(t.server[0]!, 253)).toHaveLength(24);
    expect(requestsOf(t.server[0]!)).toBe(ccAnswer(CUBIC));
    expect(requestsOf(t.client[1]!)).toBe(iwAsk(40)); // asked again
    const said = t.server.slice(1).map(requestsOf).filter(Boolean);
    expect(said.length).toBeGreaterThan(0);
    expect(said.join()).toContain(iwAnswer(32));
    expect(await r.counted(r.client)).toMatchObject({ cc: { granted: 1 }, iw: { granted: 1 } });
    expect(await r.counters(r.server, "iw")).toMatchObject({ no_room: 1, applied: 1 });
  });
});
