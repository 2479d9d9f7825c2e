// SPDX-License-Identifier: MIT
// All four extensions on one connection: who gets the option space, and that everything is said once.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import {
  ackAnswer,
  ackAsk,
  capOf,
  DEFAULT_CAP,
  delackRequirement,
  TARR_CAPABLE,
  tarrAsk,
} from "../support/ack-lab.ts";
import { type Connection, connectPeers } from "../support/lab.ts";
import { CUBIC, ccAnswer, ccAsk, iwAnswer, iwAsk, optionsOf, RequestLab } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement, requirement } from "../support/requires.ts";
import { aloneRequirement, RunCounts } from "../support/runs.ts";
import type { Trace } from "../support/uto-lab.ts";

const tool = requirement("bpftool", Bun.which("bpftool") !== null, "the program bpftool");
const needs = every("all", labRequirement, captureRequirement, delackRequirement, tool);
const UTO = "1c04001e";
const CLIENT = `${UTO},${ccAsk(CUBIC)},${iwAsk(40)}`;
/** The server's own advertisement, which its first data repeats: nobody has told it that it was read. */
const AGAIN = "1c040028";
const SERVER = `${AGAIN},${ccAnswer(CUBIC)},${iwAnswer(32)}`;
const CAP = 40_000;
/** Extensions that were counted so, in the order of tcpx status. */
const ALL = ["uto", "cc-request", "iw", "ack"] as const;

describeIf(needs.ok, needs.reason)("the four extensions together", () => {
  let r: RequestLab;
  let counts: RunCounts;

  beforeAll(async () => {
    r = await RequestLab.create();
    counts = new RunCounts([r.client, r.server]);
  });
  afterEach(async () => {
    for (const side of [r.client, r.server]) await r.lab.sysctl(side.netns, "net.ipv4.tcp_timestamps", 1);
    await r.clear();
  });
  afterAll(async () => {
    counts[Symbol.dispose]();
    await r[Symbol.asyncDispose]();
  });

  async function rules(ack: string): Promise<void> {
    for (const words of ["uto set 30s", "cc-request set cubic", "iw set 40", `ack request ${ack}`]) {
      await r.rule(r.client, words);
    }
    const accepts = ["uto accept --min 1s", "cc-request accept cubic", "iw accept --max 32"];
    for (const words of ["uto set 40s", ...accepts, "ack accept --max-every 8 --max-delay 40ms"]) {
      await r.rule(r.server, words);
    }
    await r.rule(r.client, "uto accept --min 1s");
  }

  const timestamps = (on: 0 | 1) => r.lab.sysctl(r.client.netns, "net.ipv4.tcp_timestamps", on);
  const ours = (packets: Trace["all"]) => packets.map((p) => optionsOf(p, 28, 254));

  async function expectSettings(c: Connection): Promise<void> {
    expect(await r.sending(r.server, c.server)).toMatchObject({ cc: "cubic" });
    expect(await r.u.timeouts(c)).toEqual({ client: 40_000, server: 40_000 });
    expect(await capOf(r.server, c.server)).toBe(CAP);
    expect(await capOf(r.client, c.client)).toBe(DEFAULT_CAP);
    for (const extension of ["cc-request", "iw"] as const) {
      expect(await r.counters(r.client, extension)).toMatchObject({
        granted: 1,
        unanswered: 0,
        malformed: 0,
      });
    }
    for (const side of [r.client, r.server]) {
      for (const extension of ALL) {
        expect(await r.counters(side, extension)).toMatchObject({ malformed: 0, fallback: 0, errors: 0 });
      }
    }
  }

  /** A thousand exchanges more run next to nothing: the flags are gone, unless others are there, who keep them. */
  async function expectSilence(fd: number): Promise<void> {
    const first = await counts.total();
    expect(first).toBeGreaterThan(0); // the statistics do count
    await r.client.peer.exchange(fd, 1000, 100, 20_000);
    if (aloneRequirement.ok) expect((await counts.total()) - first).toBeLessThanOrEqual(4);
  }

  test.each(["v4", "v6"] as const)(
    "%s with timestamps: three on the SYN, the request for ACKs on the third ACK",
    async (family) => {
      await rules("--every 10");
      const { c, t } = await r.recorded(4, async () => {
        const c = await r.open(family);
        expect(await r.sending(r.server, c.server)).toEqual({ cc: "cubic", cwnd: 32 });
        return c;
      });
      await expectSettings(c);
      const [client, server] = [ours(t.client), ours(t.server)];
      expect(client.slice(0, 2)).toEqual([CLIENT, ackAsk(10)]);
      expect(server[0]).toBe(SERVER);
      expect(new Set(client.slice(1))).toEqual(new Set([ackAsk(10), ""]));
      expect(new Set(server.slice(1))).toEqual(new Set([`${AGAIN},${ackAnswer(8)}`, ""]));
      expect([client, server].map((said) => said.slice(-3).join(""))).toEqual(["", ""]);
      expect(await r.counters(r.client, "ack")).toMatchObject({ no_room: 1, granted: 1, unanswered: 0 });
      expect(await r.counters(r.server, "ack")).toMatchObject({ no_room: 0, received: 1, clamped: 1 });
      for (const extension of ["uto", "cc-request", "iw"] as const) {
        expect(await r.counters(r.client, extension)).toMatchObject({ no_room: 0, sent: 1 });
        const again = extension === "uto" ? {} : { sent: 1 };
        expect(await r.counters(r.server, extension)).toMatchObject({ no_room: 0, ...again });
      }
      await expectSilence(c.client);
    },
  );

  test("without timestamps: everything on the SYN, everything on the SYN-ACK", async () => {
    await rules("--every 10");
    await timestamps(0);
    const { c, t } = await r.recorded(4);
    await expectSettings(c);
    const [client, server] = [ours(t.client), ours(t.server)];
    expect(client[0]).toBe(`${CLIENT},${ackAsk(10)}`);
    expect(server[0]).toBe(`${SERVER},${ackAnswer(8)}`);
    expect(client.slice(1).join("")).toBe("");
    // the server cannot tell whether its last answer had room, and says it again
    expect(new Set(server.slice(1))).toEqual(new Set([`${AGAIN},${ackAnswer(8)}`, ""]));
    expect(server.slice(-3).join("")).toBe("");
    expect(await r.counters(r.client, "ack")).toMatchObject({ no_room: 0, sent: 1, granted: 1 });
    expect(await r.counters(r.server, "ack")).toMatchObject({ no_room: 0, received: 1 });
    await expectSilence(c.client);
  });

  test.each([1, 0] as const)(
    "with TARR, timestamps %i: its four bytes fit, and the request follows on data",
    async (on) => {
      await rules("--every 6 --tarr");
      await timestamps(on);
      const { c, t } = await r.recorded(4);
      await expectSettings(c);
      const [client, server] = [ours(t.client), ours(t.server)];
      expect(client[0]).toBe(`${CLIENT},${TARR_CAPABLE}`);
      expect(server[0]).toBe(`${SERVER},${TARR_CAPABLE}`);
      expect(client.slice(1).filter(Boolean)).toEqual([tarrAsk(6)]);
      expect(client[1]).toBe(""); // the third ACK
      expect(new Set(server.slice(1))).toEqual(new Set([AGAIN, ""]));
      expect(server.slice(-3).join("")).toBe("");
      for (const side of [r.client, r.server]) {
        expect(await r.counters(side, "ack")).toMatchObject({ no_room: 0, sent: side === r.client ? 2 : 1 });
      }
      await expectSilence(c.client);
    },
  );

  test("both sides say everything: one kind of bytes at a time, and all settings hold", async () => {
    for (const [side, uto] of [[r.client, 30] as const, [r.server, 40] as const]) {
      await r.rule(side, `uto set ${uto}s`);
      for (const words of ["uto accept --min 1s", "cc-request set cubic", "cc-request accept cubic"]) {
        await r.rule(side, words);
      }
      for (const words of ["iw set 40", "iw accept --max 32", "ack request --every 8"]) {
        await r.rule(side, words);
      }
      await r.rule(side, "ack accept --max-delay 40ms");
    }
    const { c, t } = await r.recorded(6);
    const [client, server] = [ours(t.client), ours(t.server)];
    expect(client[0]).toBe(CLIENT);
    expect(server[0]).toBe(SERVER);
    const [ask, answer] = [ackAsk(8), ackAnswer(8)];
    expect(new Set(client.slice(1))).toEqual(new Set([ask, answer, ""]));
    expect(new Set(server.slice(1))).toEqual(new Set([`${AGAIN},${ask}`, `${AGAIN},${answer}`, ""]));
    for (const said of [client, server]) expect(said.slice(-3).join("")).toBe("");
    expect(await capOf(r.client, c.client)).toBe(CAP);
    expect(await capOf(r.server, c.server)).toBe(CAP);
    for (const side of [r.client, r.server]) {
      expect(await r.counters(side, "ack")).toMatchObject({ granted: 1, received: 1, applied: 1 });
      for (const extension of ALL) {
        expect(await r.counters(side, extension)).toMatchObject({ malformed: 0, fallback: 0, unanswered: 0 });
      }
    }
    await expectSilence(c.client);
  });

  test("a bulk transfer: options on its first segments at the most, in one kind of bytes", async () => {
    await rules("--every 10 --delay rtt/4");
    const { value: c, capture } = await r.record(async () => {
      const c = await connectPeers(r.client.peer, r.server.peer, r.server.v6);
      const [sent, received] = await Promise.all([
        r.client.peer.send(c.client, 400_000),
        r.server.peer.recv(c.server, 400_000),
      ]);
      expect(received).toBe(sent);
      return c;
    });
    const packets = await capture.packets(`tcp.dstport == ${c.port} and tcp.len > 0`);
    const said = ours(packets);
    const last = said.findLastIndex((o) => o !== "");
    expect(last).toBeWithin(0, 8);
    expect(new Set(said.slice(0, last + 1))).toEqual(new Set([ackAsk(10, 4)]));
  });
});
