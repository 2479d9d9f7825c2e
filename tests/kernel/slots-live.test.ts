// SPDX-License-Identifier: MIT
// --live of extensions that tcpx does not ship: connections that exist get their rules, and give back what they were
// given. Judged by sockets as another process reads them, and by captures.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { bridge } from "../../cli/bridge/bridge.ts";
import { addExtension } from "../../cli/extensions/index.ts";
import { slotExtension } from "../../cli/extensions/slots.ts";
import { askLive, type Job, State, setLive, undoLive } from "../../cli/live/effects.ts";
import { requireLive } from "../../cli/live/probe.ts";
import { restoreConnections } from "../../cli/live/restore.ts";
import { findScope } from "../../cli/loader/cgroup-place.ts";
import type { SlotObject } from "../../cli/loader/slots.ts";
import { readScope } from "../../cli/loader/state.ts";
import { type Rule, ruleId } from "../../cli/policy/rule.ts";
import { SOL_SOCKET } from "../support/constants.ts";
import { type Connection, connectPeers, sockoptOf } from "../support/lab.ts";
import { optionsOf } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, hasTool, labRequirement } from "../support/requires.ts";
import { addRules, haveSlots, ruleOf, type Wanted } from "../support/slot-lab.ts";
import { compileSlot, DESCRIPTIONS, SLOT_NAMES, slotSource } from "../support/slot-objects.ts";
import { type Side, trace, UtoLab } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, hasTool("clang"));
const SO_MAX_PACING_RATE = 47;
const UNLIMITED = 0xffffffff;
const [SLOW, FAST] = [1_500_000, 7_000_000];
const PACE: Wanted = { ext: "pace", kind: "local", value: [SLOW] };
const TIMEOUT: Wanted = { ext: "uto", kind: "local", value: [20_000] };

describeIf(needs.ok, needs.reason)("extensions in slots, on connections that exist", () => {
  let u: UtoLab;
  let objects: SlotObject[];
  const opened: Connection[] = [];

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
    for (const c of opened.splice(0)) {
      await u.client.peer.reset(c.client);
      await u.server.peer.close(c.listener);
    }
    for (const side of [u.client, u.server]) await addRules(side, []);
  });
  afterAll(() => u[Symbol.asyncDispose]());

  async function open(family: "v4" | "v6" = "v4"): Promise<Connection> {
    const c = await connectPeers(u.client.peer, u.server.peer, u.server[family]);
    opened.push(c);
    await u.exchange(c);
    return c;
  }

  const read = (side: Side, fd: number, name: number) => sockoptOf(side.peer.pid, fd, SOL_SOCKET, name);
  const pacing = async (fd: number) => (await read(u.client, fd, SO_MAX_PACING_RATE)) >>> 0;

  /** What a command does beside its change of rules. */
  async function live<T>(
    side: Side,
    wanted: Wanted,
    act: (job: Job, rules: Rule[], rule: Rule) => Promise<T>,
  ) {
    const lib = await bridge();
    const scope = findScope(lib, side.cgroup);
    using state = State.open(lib, scope.id);
    const rules = readScope(lib, scope.id)?.rules ?? [];
    return await act({ lib, scope, allNetns: false, state }, rules, ruleOf(wanted));
  }

  const change = (rules: Rule[], rule: Rule) => ({
    rules,
    added: [rule],
    unchanged: [],
    removed: [],
    replaced: [],
  });
  const set = (wanted: Wanted) =>
    live(u.client, wanted, (job, rules, rule) => setLive(job, change(rules, rule), wanted.ext));
  const ask = (wanted: Wanted) =>
    live(u.client, wanted, (job, rules, rule) => askLive(job, change(rules, rule)));
  const undo = (wanted: Wanted) =>
    live(u.client, wanted, (job, _, rule) =>
      undoLive(job, wanted.ext, new Set([ruleId(job.scope.id, rule)])),
    );

  test.each(["v4", "v6"] as const)("%s: a local rule is set, once, and given back", async (family) => {
    const c = await open(family);
    await addRules(u.client, [PACE]);
    expect(await pacing(c.client)).toBe(UNLIMITED);
    expect(await set(PACE)).toMatchObject({ changed: 1, same: 0, namespaces: 1 });
    expect(await pacing(c.client)).toBe(SLOW);
    expect(await set(PACE)).toMatchObject({ changed: 0, same: 1 });
    await u.exchange(c);
    expect(await undo(PACE)).toMatchObject({ changed: 1 });
    expect(await pacing(c.client)).toBe(UNLIMITED);
    expect(await undo(PACE)).toMatchObject({ changed: 0, same: 0 });
  });

  test("another value replaces it, and what a handshake has set is given back, too", async () => {
    await addRules(u.client, [PACE]);
    const c = await open();
    expect(await pacing(c.client)).toBe(SLOW);
    await addRules(u.client, []);
    await addRules(u.client, [{ ...PACE, value: [FAST] }]);
    expect(await set({ ...PACE, value: [FAST] })).toMatchObject({ changed: 1 });
    expect(await pacing(c.client)).toBe(FAST);
    expect(await undo({ ...PACE, value: [FAST] })).toMatchObject({ changed: 1 });
    expect(await pacing(c.client)).toBe(UNLIMITED);
  });

  test("a refusal of the kernel's is told, and changes nothing", async () => {
    const source = join(u.lab.dir, "refused.bpf.c");
    await Bun.write(
      source,
      `#include "tcpx_ext.h"
       TCPX_HOOK(live_set) { tcpx_apply(1, 9999, 1); return 0; }
       TCPX_HOOK(live_undo) { return 0; }`,
    );
    haveSlots([...objects, { id: 12, name: "refused", bytes: await compileSlot(u.lab.dir, source) }]);
    await open();
    const wanted: Wanted = { ext: "refused", kind: "local", value: [1] };
    await addRules(u.client, [wanted]);
    const outcome = await set(wanted);
    expect(outcome).toMatchObject({ changed: 0 });
    expect([...outcome.skipped.keys()].map(([name]) => name)).toEqual(["failed"]);
    haveSlots(objects);
  });

  test("an object without the hooks, and one that the verifier refuses, are told before anything changes", async () => {
    const source = join(u.lab.dir, "wrong-live.bpf.c");
    await Bun.write(
      source,
      `#include "tcpx_ext.h"
       struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1); __type(key, int); __type(value, int); } m SEC(".maps");
       TCPX_HOOK(live_set) { int key = 1; return *(int *)bpf_map_lookup_elem(&m, &key); }
       TCPX_HOOK(live_undo) { return 0; }`,
    );
    haveSlots([...objects, { id: 12, name: "wrong-live", bytes: await compileSlot(u.lab.dir, source) }]);
    const lib = await bridge();
    for (const [ext, message] of [
      ["grade", "grade cannot change connections that exist (--live)"],
      ["wrong-live", "the kernel refused --live of wrong-live (EACCES)"],
    ] as const) {
      const refused = await requireLive(lib, ext, false).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: 3, message });
    }
    await requireLive(lib, "pace", false);
    haveSlots(objects);
  });

  test("reset gives back what was set, of built-in ones and of those in slots", async () => {
    await addRules(u.client, [PACE, TIMEOUT]);
    const c = await open();
    expect([await pacing(c.client), (await u.timeouts(c)).client]).toEqual([SLOW, 20_000]);
    const restored = (await restoreConnections(await bridge()))!;
    expect(restored.settings.filter((one) => one.restored > 0).map(({ extension }) => extension)).toEqual([
      "uto",
      "pace",
    ]);
    expect([await pacing(c.client), (await u.timeouts(c)).client]).toEqual([UNLIMITED, 0]);
  });

  test("a request is made, and an option said, on a connection that exists", async () => {
    const GRADE: Wanted = { ext: "grade", kind: "ask", value: [6] };
    const SAYS: Wanted = { ext: "note", kind: "ask", value: [0x01020304] };
    for (const object of objects) addExtension({ ...slotExtension(object), live: { asks: true } });
    const c = await open();
    await addRules(u.client, [GRADE, SAYS]);
    const capture = await u.capture();
    for (const wanted of [GRADE, SAYS]) {
      expect(await ask(wanted)).toMatchObject({ changed: 1, said: 1 });
      expect(await ask(wanted)).toMatchObject({ changed: 0, same: 1 });
      await u.exchange(c);
    }
    await capture.stop();
    const { all } = await trace(capture, c.port);
    const said = new Set(all.map((packet) => optionsOf(packet, 77, 254)).filter(Boolean));
    expect([...said]).toEqual(["fe067d000006", "4d0601020304"]);
  });
});
