// SPDX-License-Identifier: MIT
// Extensions that tcpx does not ship, linked into the program of a scope: what they set, what they say, what they are
// told. Judged by captures, and by sockets as another process reads them.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { bridge } from "../../cli/bridge/bridge.ts";
import { Counter } from "../../cli/layout/layout.generated.ts";
import { readCounters } from "../../cli/loader/counters.ts";
import type { SlotObject } from "../../cli/loader/slots.ts";
import { readHeads } from "../../cli/loader/state.ts";
import { SO_MARK, SOL_SOCKET } from "../support/constants.ts";
import {
  type Connection,
  connectPeers,
  type Packet,
  sockoptOf,
  splitOptions,
  until,
} from "../support/lab.ts";
import { optionsOf } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, hasTool, labRequirement } from "../support/requires.ts";
import { addRules, haveSlots, type Wanted } from "../support/slot-lab.ts";
import { API_1_OBJECT, compileSlot, DESCRIPTIONS, SLOT_NAMES, slotSource } from "../support/slot-objects.ts";
import { tcpx } from "../support/tcpx.ts";
import { type Side, tcpxOk, trace, UtoLab } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, hasTool("clang"));
const FAMILIES = ["v4", "v6"] as const;
const SO_PRIORITY = 12;
const SO_MAX_PACING_RATE = 47;
const UNLIMITED = 0xffffffff;
const RATE = 1_500_000;
/** The body of `note`, and what a SYN-ACK replies. */
const NOTE = 0x01020304;
const [NOTED, REPLIED] = ["4d0601020304", "4d0601020305"];
const [ASKED, GRANTED] = ["fe067d000006", "fe067d010004"];

const PACE: Wanted = { ext: "pace", kind: "local", value: [RATE] };
const GRADE: Wanted = { ext: "grade", kind: "ask", value: [6] };
const GRANTS: Wanted = { ext: "grade", kind: "accept", value: [4] };
const SAYS: Wanted = { ext: "note", kind: "ask", value: [NOTE] };
const REPLIES: Wanted = { ext: "note", kind: "accept", value: [0] };
const SAMPLES: Wanted = { ext: "note", kind: "local", value: [5] };
const TIMEOUT: Wanted = { ext: "uto", kind: "local", value: [20_000] };
const NEVER: Wanted = { ext: "pace", kind: "local", value: [0], none: true };

describeIf(needs.ok, needs.reason)("extensions in slots", () => {
  let u: UtoLab;
  let objects: SlotObject[];

  beforeAll(async () => {
    u = await UtoLab.create();
    const compiled = SLOT_NAMES.map(async (name) => ({
      ...DESCRIPTIONS[name],
      bytes: await compileSlot(u.lab.dir, slotSource(name)),
    }));
    objects = await Promise.all(compiled);
    haveSlots(objects);
  }, 60_000);
  afterEach(async () => {
    for (const side of [u.client, u.server]) await addRules(side, []);
  });
  afterAll(() => u[Symbol.asyncDispose]());

  const read = (side: Side, fd: number, name: number) => sockoptOf(side.peer.pid, fd, SOL_SOCKET, name);
  const pacing = async (side: Side, fd: number) => (await read(side, fd, SO_MAX_PACING_RATE)) >>> 0;
  const priorities = async (c: Connection) => [
    await read(u.client, c.client, SO_PRIORITY),
    await read(u.server, c.server, SO_PRIORITY),
  ];

  /** A connection with some data, and its packets. */
  async function connection(family: (typeof FAMILIES)[number]) {
    const capture = await u.capture();
    const c = await connectPeers(u.client.peer, u.server.peer, u.server[family]);
    await u.exchange(c);
    await capture.stop();
    const { all } = await trace(capture, c.port);
    const said = (packet: Packet | undefined) => (packet ? optionsOf(packet, 28, 77, 254) : "no packet");
    const [syn, synAck] = ["S", "SA"].map((flags) => said(all.find((packet) => packet.flags === flags)));
    const later = all
      .filter(({ flags }) => !flags.includes("S"))
      .map(said)
      .filter(Boolean);
    return { c, syn, synAck, later };
  }

  const COUNTERS = { applied: Counter.APPLIED, clamped: Counter.CLAMPED, malformed: Counter.MALFORMED };
  /** Those of an extension, with what the kernel has refused. */
  async function counters(side: Side, id: number) {
    const scope = statSync(side.cgroup, { bigint: true }).ino;
    const { count } = readCounters(await bridge(), scope)!;
    const of = Object.entries(COUNTERS).map(([name, number]) => [name, count[id]![number]!]);
    return { ...Object.fromEntries(of), errors: count[id]![Counter.ERRORS] } as Record<string, number>;
  }

  test.each(FAMILIES)("%s: a local rule is applied, and only where one is", async (family) => {
    await addRules(u.client, [PACE]);
    const { c, syn, synAck } = await connection(family);
    expect([syn, synAck]).toEqual(["", ""]);
    expect([await pacing(u.client, c.client), await pacing(u.server, c.server)]).toEqual([RATE, UNLIMITED]);
    await addRules(u.client, []);
    const plain = await connection(family);
    expect(await pacing(u.client, plain.c.client)).toBe(UNLIMITED);
  });

  test.each(FAMILIES)(
    "%s: a request is asked, answered on the SYN-ACK, and applied at both ends",
    async (family) => {
      await addRules(u.client, [GRADE]);
      await addRules(u.server, [GRANTS]);
      const { c, syn, synAck, later } = await connection(family);
      expect([syn, synAck, later]).toEqual([ASKED, GRANTED, []]);
      expect(await priorities(c)).toEqual([4, 4]);
      await addRules(u.server, []);
      const alone = await connection(family);
      expect([alone.syn, alone.synAck]).toEqual([ASKED, ""]);
      expect(await priorities(alone.c)).toEqual([0, 0]);
    },
  );

  test.each(FAMILIES)("%s: an option of its own is on SYN, SYN-ACK and later segments", async (family) => {
    await addRules(u.client, [SAYS]);
    await addRules(u.server, [REPLIES]);
    const { c, syn, synAck, later } = await connection(family);
    expect([syn, synAck]).toEqual([NOTED, REPLIED]);
    expect(new Set(later)).toEqual(new Set([NOTED]));
    expect(await read(u.server, c.server, SO_MARK)).toBe(NOTE);
  });

  test("three of them and a built-in one in one scope: each does its part", async () => {
    await addRules(u.client, [TIMEOUT, PACE, GRADE, SAYS]);
    await addRules(u.server, [TIMEOUT, GRANTS, REPLIES]);
    const { c, syn, synAck } = await connection("v4");
    expect([syn, synAck].map((options) => options?.split(",").sort())).toEqual([
      [NOTED, ASKED].sort(),
      [REPLIED, GRANTED].sort(),
    ]);
    expect(await priorities(c)).toEqual([4, 4]);
    expect([await pacing(u.client, c.client), await read(u.server, c.server, SO_MARK)]).toEqual([RATE, NOTE]);
    expect(await u.timeouts(c)).toEqual({ client: 20_000, server: 20_000 });
  });

  test("callbacks that it wants: samples of the RTT until it has had enough, and the end", async () => {
    await addRules(u.client, [SAMPLES]);
    const { c } = await connection("v4");
    expect(await until(async () => (await read(u.client, c.client, SO_PRIORITY)) === 5)).toBe(true);
    await u.client.peer.close(c.client);
    await u.server.peer.close(c.server);
    expect(
      await until(async () => (await counters(u.client, DESCRIPTIONS.note.id)).clamped === 1, 10_000),
    ).toBe(true);
    expect(await counters(u.client, DESCRIPTIONS.note.id)).toMatchObject({ applied: 1, errors: 0 });
  });

  test("an exemption is kept from it, and what is set for a connection goes with the next", async () => {
    await addRules(u.client, [NEVER]);
    const exempt = await connection("v4");
    expect(await pacing(u.client, exempt.c.client)).toBe(UNLIMITED);
    await addRules(u.client, []);
    await addRules(u.client, [PACE]);
    const { c } = await connection("v4");
    expect(await pacing(u.client, c.client)).toBe(RATE);
    await u.client.peer.disconnect(c.client);
    const { port } = await u.server.peer.listen(u.server.v4);
    await addRules(u.client, []);
    await addRules(u.client, [{ ...PACE, value: [7_000_000] }]);
    await u.client.peer.connectFd(c.client, u.server.v4, port);
    expect(await pacing(u.client, c.client)).toBe(7_000_000);
  });

  test("rules of a scope within know what rules around it are for", async () => {
    await addRules(u.client, [TIMEOUT]);
    const outer = join(u.client.cgroup, "..");
    try {
      await addRules(outer, [PACE, SAYS]);
      await addRules(u.server, [REPLIES]);
      const { c, syn, synAck } = await connection("v4");
      expect([syn, synAck]).toEqual([NOTED, REPLIED]);
      expect(await pacing(u.client, c.client)).toBe(RATE);
      expect((await u.timeouts(c)).client).toBe(20_000);
    } finally {
      await addRules(outer, []);
    }
  });

  test("what a scope within says goes on being said, whatever the scopes around it have", async () => {
    const outer = join(u.client.cgroup, "..");
    try {
      await addRules(u.client, [SAYS]);
      await addRules(outer, [TIMEOUT]);
      const { c, syn, later } = await connection("v4");
      expect([syn, ...new Set(later)]).toEqual([NOTED, NOTED]);
      expect((await u.timeouts(c)).client).toBe(20_000);
    } finally {
      await addRules(outer, []);
    }
  });

  test("options that nobody may send are counted, and nothing else: twice, too long, unasked", async () => {
    await addRules(u.server, [REPLIES, GRANTS]);
    const wire = await u.wire(u.server);
    for (const [options, replied] of [
      ["4d06010203044d0601020304", ""],
      ["4d0701020304050101", ""],
      ["4d050102030101", ""],
      ["fe067d01000400", ""],
      ["fe067d00ffff0101", ""],
      [NOTED, REPLIED],
      [ASKED, GRANTED],
    ] as const) {
      const { port } = await u.server.peer.listen(wire.kernel.v4);
      const synAck = await wire.connect(
        { addr: wire.own.v4, port: 20_000 + (port % 20_000) },
        { addr: wire.kernel.v4, port },
        options,
      );
      const ours = splitOptions(synAck.options).filter(({ kind }) => kind === 77 || kind === 254);
      expect([options, ours.map(({ hex }) => hex).join()]).toEqual([options, replied]);
    }
    expect((await counters(u.server, DESCRIPTIONS.note.id)).malformed).toBeGreaterThanOrEqual(3);
    expect(await counters(u.server, DESCRIPTIONS.note.id)).toMatchObject({ errors: 0 });
    expect(await counters(u.server, DESCRIPTIONS.grade.id)).toMatchObject({ errors: 0 });
  });

  test("what cannot be linked, and what the verifier refuses, changes nothing and says why", async () => {
    await addRules(u.client, [PACE]);
    const source = join(u.lab.dir, "wrong.bpf.c");
    await Bun.write(
      source,
      `#include "tcpx_ext.h"
       struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1); __type(key, int); __type(value, int); } m SEC(".maps");
       TCPX_HOOK(established) { int key = 1; return *(int *)bpf_map_lookup_elem(&m, &key); }`,
    );
    const wrong = { id: 12, name: "wrong", bytes: await compileSlot(u.lab.dir, source) };
    const WRONG: Wanted = { ext: "wrong", kind: "local", value: [1] };
    try {
      for (const [bytes, code, what] of [
        [
          wrong.bytes,
          3,
          "the kernel refused extension wrong (EACCES): wrong.bpf.c:3: R0 invalid mem access 'map_value_or_null'",
        ],
        [wrong.bytes.subarray(0, 5000), 1, "extension wrong is cut off"],
      ] as const) {
        haveSlots([...objects, { ...wrong, bytes }]);
        const refused = await addRules(u.client, [WRONG]).catch((error: unknown) => error);
        expect(refused).toMatchObject({ code, message: what });
        const { c } = await connection("v4");
        expect(await pacing(u.client, c.client)).toBe(RATE);
      }
    } finally {
      haveSlots(objects);
    }
  });

  test("a host that has extensions, and no rules for them, runs the very program of one that has none", async () => {
    const program = async () => {
      const lib = await bridge();
      const scope = readHeads(lib).find(({ path }) => path === u.client.cgroup)!;
      const fd = lib.tcpx_prog_open(scope.progId);
      const [, tag] = /^prog_tag:\s+(\w+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))!;
      lib.tcpx_close(fd);
      return tag;
    };
    haveSlots([]);
    try {
      await addRules(u.client, [TIMEOUT]);
      const without = await program();
      await addRules(u.client, []);
      haveSlots(objects);
      await addRules(u.client, [TIMEOUT]);
      expect(await program()).toBe(without);
      await addRules(u.client, [PACE]);
      expect(await program()).not.toBe(without);
    } finally {
      haveSlots(objects);
    }
  });

  test("an object of version 1 of tcpx_ext.h, compiled then, is loaded and does what it did", async () => {
    const old = { id: 13, name: "old", bytes: await Bun.file(API_1_OBJECT).bytes() };
    const option = { option: { exid: 0x7d77, least: 4, most: 11, onSynAck: "reply" as const } };
    try {
      haveSlots([...objects, { ...old, ...option }]);
      await addRules(u.client, [{ ext: "old", kind: "local", value: [0, 6] }]);
      const { c } = await connection("v4");
      expect(await priorities(c)).toEqual([6, 0]);
      await addRules(u.client, [{ ext: "old", kind: "ask", value: [0xabcd, 0] }]);
      expect((await connection("v4")).syn).toBe("fe0b7d7701abcd00000000");
      await addRules(u.client, []);
    } finally {
      haveSlots(objects);
    }
  });

  test("a tcpx that does not have them shows their rules, and takes them away", async () => {
    await addRules(u.client, [PACE, TIMEOUT]);
    const args = ["--cgroup", u.client.cgroup];
    const { stdout } = await tcpxOk(["status", ...args]);
    expect(stdout).toContain(u.client.cgroup.split("/").at(-1)!);
    expect((await tcpxOk(["uto", "show", ...args])).stdout).toContain("20s");
    const refused = await tcpx(["uto", "set", "30s", ...args, "--wait"]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("extension 8")]);
    const { c } = await connection("v4");
    expect(await pacing(u.client, c.client)).toBe(RATE); // as before
    await tcpxOk(["connections", ...args], { netns: u.client.netns });
  });
});
