// SPDX-License-Identifier: MIT
// What observers tell of extensions that tcpx does not ship: connections, watch, status and metrics; and what is told
// of them by a tcpx that does not have them.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { join } from "node:path";
import { bridge } from "../../cli/bridge/bridge.ts";
import { readCounters } from "../../cli/loader/counters.ts";
import { readScope } from "../../cli/loader/state.ts";
import { countersText } from "../../cli/observe/counted.ts";
import { familiesOf } from "../../cli/observe/families.ts";
import { listSockets } from "../../cli/observe/iterate.ts";
import { connectionDocument } from "../../cli/observe/json.ts";
import { saidParts } from "../../cli/observe/rows.ts";
import { negotiated } from "../../cli/observe/said.ts";
import { pick } from "../../cli/observe/select.ts";
import { parseSelectors } from "../../cli/policy/selector.ts";
import { type Connection, connectPeers, until } from "../support/lab.ts";
import { NETNS_DIR } from "../support/process.ts";
import { describeIf, every, hasTool, labRequirement } from "../support/requires.ts";
import { addRules, haveSlots, type Wanted } from "../support/slot-lab.ts";
import { compileSlot, DESCRIPTIONS, SLOT_NAMES, slotSource } from "../support/slot-objects.ts";
import { type Side, tcpxOk, UtoLab } from "../support/uto-lab.ts";
import { Watch } from "../support/watch-lab.ts";

const needs = every("all", labRequirement, hasTool("clang"));
const RATE = 1_500_000;
const PACE: Wanted = { ext: "pace", kind: "local", value: [RATE] };
const NEVER: Wanted = { ext: "pace", kind: "local", value: [0], none: true };
const GRADE: Wanted = { ext: "grade", kind: "ask", value: [6] };
const GRANTS: Wanted = { ext: "grade", kind: "accept", value: [4] };
const SAYS: Wanted = { ext: "note", kind: "ask", value: [7, 8, 9] };
const TIMEOUT: Wanted = { ext: "uto", kind: "local", value: [20_000] };

describeIf(needs.ok, needs.reason)("extensions in slots, as observers tell them", () => {
  let u: UtoLab;
  let watching: Watch | undefined;

  beforeAll(async () => {
    u = await UtoLab.create();
    const compiled = SLOT_NAMES.map(async (name) => ({
      ...DESCRIPTIONS[name],
      bytes: await compileSlot(u.lab.dir, slotSource(name)),
    }));
    haveSlots(await Promise.all(compiled));
  }, 60_000);
  afterEach(async () => {
    await watching?.end("SIGTERM");
    watching = undefined;
    for (const side of [u.client, u.server]) await addRules(side, []);
  });
  afterAll(() => u[Symbol.asyncDispose]());

  async function opened(family: "v4" | "v6" = "v4"): Promise<Connection> {
    const c = await connectPeers(u.client.peer, u.server.peer, u.server[family]);
    await u.exchange(c);
    return c;
  }

  async function listed(side: Side, { port }: Connection) {
    const path = join(NETNS_DIR, side.netns);
    const list = await listSockets(await bridge(), 0n, [{ path, inode: statSync(path).ino }]);
    const at = pick(list, parseSelectors({}), undefined).find((one) =>
      [list.localPort(one), list.remotePort(one)].includes(port),
    )!;
    return { list, at };
  }

  /** "pace set 1500000 0" and the like. */
  async function said(side: Side, c: Connection): Promise<string[]> {
    const { list, at } = await listed(side, c);
    return saidParts(negotiated(list, at));
  }

  test.each(["v4", "v6"] as const)(
    "%s: what local rules have done, and what was asked and granted",
    async (family) => {
      await addRules(u.client, [PACE, GRADE, SAYS, TIMEOUT]);
      await addRules(u.server, [GRANTS]);
      const c = await opened(family);
      expect(await said(u.client, c)).toEqual([
        "uto set 20s",
        "pace set 1500000 0",
        "grade granted 4 (asked 6)",
        "note asked 7 8 9",
      ]);
      expect(await said(u.server, c)).toEqual(["grade gave 4 (asked 6)"]);
      const { list, at } = await listed(u.client, c);
      const { connections } = JSON.parse([...connectionDocument(list, [at], { count: 1 })].join(""));
      expect(connections[0].extensions).toMatchObject({
        pace: { local: { status: "applied", rule: { words: [RATE, 0] } }, ours: { status: "none" } },
        grade: { ours: { status: "granted", asked: { bits: 6 }, granted: { bits: 4 } } },
        note: { ours: { status: "asked", asked: { words: [7, 8, 9] } } },
      });
    },
  );

  test("what nobody has answered, an exemption, and connections without a rule", async () => {
    const before = await opened();
    await addRules(u.client, [NEVER, GRADE]);
    const c = await opened();
    expect(await until(async () => (await said(u.client, c)).includes("grade unanswered 6"))).toBe(true);
    expect(await said(u.client, c)).toEqual(["pace exempt", "grade unanswered 6"]);
    expect(await said(u.client, before)).toEqual([]);
    await addRules(u.client, []);
    expect(await said(u.client, await opened())).toEqual([]);
  });

  test("a slot that was another extension's tells nothing of it", async () => {
    await addRules(u.client, [PACE]);
    const c = await opened();
    const { list, at } = await listed(u.client, c);
    expect(saidParts(negotiated(list, at))).toEqual(["pace set 1500000 0"]);
    const bytes = await compileSlot(u.lab.dir, slotSource("pace"));
    haveSlots([{ ...DESCRIPTIONS.pace, stateVersion: 2, bytes }]);
    expect(saidParts(negotiated(list, at))).toEqual([]);
    haveSlots([{ ...DESCRIPTIONS.pace, bytes }]);
    const others = SLOT_NAMES.map(async (name) => ({
      ...DESCRIPTIONS[name],
      bytes: await compileSlot(u.lab.dir, slotSource(name)),
    }));
    haveSlots(await Promise.all(others));
  });

  test("a tcpx that does not have them tells the same of ext-8 and ext-9, everywhere", async () => {
    await addRules(u.client, [PACE, GRADE]);
    await addRules(u.server, [GRANTS]);
    watching = await Watch.start(u.lab, ["--all-netns"]);
    const c = await opened();
    const args = ["connections", "--port", String(c.port), "--to", "0.0.0.0/0"];
    const { json } = await tcpxOk(args, { netns: u.client.netns, json: true });
    expect(json.connections[0].extensions).toMatchObject({
      "ext-8": { local: { status: "applied", rule: { words: [RATE, 0] } } },
      "ext-9": { ours: { status: "granted", asked: { bits: 6 }, granted: { bits: 4 } } },
    });
    expect((await tcpxOk(args, { netns: u.client.netns })).stdout).toContain("ext-9 granted 4 (asked 6)");
    const events = () => watching!.events.filter(({ extension }) => extension === "ext-9");
    expect(await until(async () => events().length === 2)).toBe(true);
    expect(
      events()
        .map(({ side, event }) => `${side} ${event}`)
        .sort(),
    ).toEqual(["ours granted", "peers granted"]);
    const { json: status } = await tcpxOk(["status", "--cgroup", u.client.cgroup], { json: true });
    expect(status.scopes[0].counters).toMatchObject({ "ext-8": { applied: 1 }, "ext-9": { granted: 1 } });
    const { stdout } = await tcpxOk(["metrics"]);
    expect(stdout).toContain('extension="ext-9"');
  });

  test("counters have the names of those that are here", async () => {
    await addRules(u.client, [PACE]);
    await opened();
    const lib = await bridge();
    const scope = statSync(u.client.cgroup, { bigint: true }).ino;
    const counters = readCounters(lib, scope);
    expect(countersText(counters)).toMatch(/COUNTER +pace/);
    const state = readScope(lib, scope)!;
    const families = familiesOf([{ state, counters }], undefined);
    const applied = families.find(({ name }) => name === "tcpx_applied_settings")!;
    expect(applied.samples.map(({ labels }) => labels?.extension)).toEqual(["pace"]);
  });
});
