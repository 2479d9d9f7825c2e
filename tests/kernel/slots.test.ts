// SPDX-License-Identifier: MIT
// Extensions that tcpx does not ship, linked into the program of a scope: what they set, what they say, what they are
// told. Judged by captures, and by sockets as another process reads them.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { FIRST_SLOT } from "../../cli/extensions/slots.ts";
import { SO_MARK, SOL_SOCKET } from "../support/constants.ts";
import { type Connection, connectPeers, type Packet, sockoptOf, until } from "../support/lab.ts";
import { optionsOf } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, hasTool, labRequirement } from "../support/requires.ts";
import { addRules, haveSlots, type Wanted } from "../support/slot-lab.ts";
import { compileSlot, DESCRIPTIONS, SLOT_NAMES, slotSource } from "../support/slot-objects.ts";
import { type Side, scopeOf, trace, UtoLab } from "../support/uto-lab.ts";

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

describeIf(needs.ok, needs.reason)("extensions in slots", () => {
  let u: UtoLab;

  beforeAll(async () => {
    u = await UtoLab.create();
    const objects = SLOT_NAMES.map(async (name) => ({
      ...DESCRIPTIONS[name],
      bytes: await compileSlot(u.lab.dir, slotSource(name)),
    }));
    haveSlots(await Promise.all(objects));
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
    const later = all.filter(({ flags }) => !flags.includes("S")).map(said).filter(Boolean);
    return { c, syn, synAck, later };
  }

  const counters = async (side: Side, id: number) => {
    const { counters: all } = await scopeOf(side.cgroup);
    return all[Object.values(DESCRIPTIONS).find((of) => of.id === id)!.name];
  };

  test.each(FAMILIES)("%s: a local rule is applied, and only where one is", async (family) => {
    await addRules(u.client, [PACE]);
    const { c, syn, synAck } = await connection(family);
    expect([syn, synAck]).toEqual(["", ""]);
    expect([await pacing(u.client, c.client), await pacing(u.server, c.server)]).toEqual([RATE, UNLIMITED]);
    await addRules(u.client, []);
    const plain = await connection(family);
    expect(await pacing(u.client, plain.c.client)).toBe(UNLIMITED);
  });

  test.each(FAMILIES)("%s: a request is asked, answered on the SYN-ACK, and applied at both ends", async (family) => {
    await addRules(u.client, [GRADE]);
    await addRules(u.server, [GRANTS]);
    const { c, syn, synAck, later } = await connection(family);
    expect([syn, synAck, later]).toEqual([ASKED, GRANTED, []]);
    expect(await priorities(c)).toEqual([4, 4]);
    await addRules(u.server, []);
    const alone = await connection(family);
    expect([alone.syn, alone.synAck]).toEqual([ASKED, ""]);
    expect(await priorities(alone.c)).toEqual([0, 0]);
  });

  test.each(FAMILIES)("%s: an option of its own is on SYN, SYN-ACK and later segments", async (family) => {
    await addRules(u.client, [SAYS]);
    await addRules(u.server, [REPLIES]);
    const { c, syn, synAck, later } = await connection(family);
    expect([syn, synAck]).toEqual([NOTED, REPLIED]);
    expect(new Set(later)).toEqual(new Set([NOTED]));
    expect(await read(u.server, c.server, SO_MARK)).toBe(NOTE);
  });
});
