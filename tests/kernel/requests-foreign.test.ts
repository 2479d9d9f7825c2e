// SPDX-License-Identifier: MIT
// A sock_ops program of somebody else on the same cgroups, with an option of its own on every segment.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { FOREIGN, ForeignPrograms, foreignRequirement, Op } from "../support/foreign.ts";
import type { Packet } from "../support/lab.ts";
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
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import type { Side } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, foreignRequirement);

describeIf(needs.ok, needs.reason)("requests beside a foreign sock_ops program", () => {
  let r: RequestLab;
  let foreign: ForeignPrograms;

  beforeAll(async () => {
    r = await RequestLab.create();
    foreign = new ForeignPrograms(r.lab);
  });
  afterEach(async () => {
    await r.clear();
    await foreign.detach();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  const attach = ({ cgroup }: Side, bytes = 4) => foreign.attach(cgroup, { bytes });

  const theirs = (packets: Packet[]) => packets.map((p) => optionsOf(p, 253));

  test("both options are on the wire, requests are granted, and its callbacks are not cut", async () => {
    const clientCalls = await attach(r.client);
    const serverCalls = await attach(r.server);
    await r.usual();
    const [before, beforeServer] = [await clientCalls(Op.WRITE_HDR_OPT), await serverCalls(Op.WRITE_HDR_OPT)];
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
    expect((await clientCalls(Op.WRITE_HDR_OPT)) - before).toBeGreaterThanOrEqual(t.client.length);
    expect((await serverCalls(Op.WRITE_HDR_OPT)) - beforeServer).toBeGreaterThanOrEqual(t.server.length);
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

  test("one that came after the rules: requests are granted, and theirs goes on when ours has ended", async () => {
    await r.usual();
    for (const side of [r.client, r.server]) await attach(side);
    const { t } = await r.recorded(10);
    expect([requestsOf(t.client[0]!), requestsOf(t.server[0]!)]).toEqual([ASKS, ANSWERS]);
    expect(new Set(theirs(t.client))).toEqual(new Set([FOREIGN]));
    expect(new Set(theirs(t.server))).toEqual(new Set([FOREIGN]));
    expect(t.server.slice(-5).map(requestsOf).join("")).toBe("");
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
