// SPDX-License-Identifier: MIT
// Callback flags where several programs of tcpx meet: scopes within scopes, which know each other, and another
// tcpx with a bpffs of its own, which is as foreign as anybody else.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { dirname } from "node:path";
import { FOREIGN, ForeignPrograms, foreignRequirement, Op } from "../support/foreign.ts";
import { congestionOf, connectPeers } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { CUBIC, ccAnswer, ccAsk, optionsOf, RequestLab } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { RunCounts, runsRequirement } from "../support/runs.ts";
import { type Side, trace } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, foreignRequirement, runsRequirement);
/** On nobody's way. */
const ELSEWHERE = "192.0.2.0/24";
const UTO_30S = "1c04001e";
const UTO_40S = "1c040028";

describeIf(needs.ok, needs.reason)("callback flags of several programs of tcpx", () => {
  let r: RequestLab;
  let other: PrivateHost;
  let foreign: ForeignPrograms;
  /** Below the scopes of the two sides: all sockets are made in here. */
  let inner: Record<"client" | "server", Side>;

  beforeAll(async () => {
    r = await RequestLab.create();
    other = await PrivateHost.create(r.lab);
    foreign = new ForeignPrograms(r.lab);
    const below = async (side: Side): Promise<Side> => {
      const cgroup = r.lab.cgroup("inner", side.cgroup);
      return { ...side, cgroup, peer: await r.lab.peer(side.netns, cgroup) };
    };
    inner = { client: await below(r.client), server: await below(r.server) };
  });
  afterEach(async () => {
    await reset();
    await r.clear();
    await foreign.detach();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  /** It sees our programs, too, which are not its own: so it ends with an error. */
  async function reset(): Promise<void> {
    await other.tcpx(["reset", "--wait"], { netns: r.client.netns });
    expect(await other.pins()).toEqual([]);
  }

  const open = () => connectPeers(inner.client.peer, inner.server.peer, r.server.v4);

  async function exchange(c: { client: number; server: number }, count: number): Promise<void> {
    await inner.server.peer.echo(c.server);
    await inner.client.peer.exchange(c.client, count, 100, 20_000);
  }

  const ELSEWHERE_RULES = [
    `uto set 30s --to ${ELSEWHERE}`,
    `uto accept --min 1s --from ${ELSEWHERE}`,
    `iw accept --max 20 --from ${ELSEWHERE}`,
  ];

  test.each([
    ["that no rule is for", ELSEWHERE_RULES, ELSEWHERE_RULES],
    ["that the inner scope has a rule for", ELSEWHERE_RULES, ["uto set 30s", "cc-request accept cubic"]],
    ["that the outer scope has a rule for", ["uto set 30s", "cc-request accept cubic"], ELSEWHERE_RULES],
  ])("a connection %s runs neither scope's program once it stands", async (_, outerRules, innerRules) => {
    for (const side of ["client", "server"] as const) {
      for (const words of outerRules) await r.rule(r[side], words);
      for (const words of innerRules) await r.rule(inner[side], words);
    }
    using counts = new RunCounts([r.client, r.server, inner.client, inner.server]);
    const start = await counts.total();
    const c = await open();
    await exchange(c, 10);
    const first = await counts.total();
    expect(first).toBeGreaterThan(start);
    await exchange(c, 1000);
    expect((await counts.total()) - first).toBeLessThanOrEqual(4);
  });

  /** Rules of the other tcpx around ours, in this order or at these places. */
  async function both(order: string, theirs: Record<"client" | "server", string[]>, ours: typeof theirs) {
    for (const name of ["client", "server"] as const) {
      const scope = r[name].cgroup;
      const cgroup = { above: dirname(scope), below: inner[name].cgroup }[order] ?? scope;
      const set = async () => {
        for (const words of theirs[name]) await other.ok([...words.split(" "), "--cgroup", cgroup]);
      };
      if (order === "before") await set();
      for (const words of ours[name]) await r.rule(r[name], words);
      if (order !== "before") await set();
    }
  }

  async function seen() {
    const { value: c, capture } = await r.record(async () => {
      const c = await open();
      await exchange(c, 5);
      return c;
    });
    const { client, server } = await trace(capture, c.port);
    const options = (packets: typeof client) =>
      packets.map((p) => optionsOf(p, 28, 254).split(",").sort().join());
    const data = options(server.filter((p) => p.length > 0));
    return { c, client: options(client), server: options(server), data };
  }

  test.each(["before", "after", "above", "below"])(
    "another tcpx, attached %s, and ours has no rule for the connection: it says all that it has to say",
    async (order) => {
      const theirs = {
        client: ["cc-request set cubic"],
        server: ["cc-request accept cubic", `uto set 40s --from ${r.client.v4}`],
      };
      await both(order, theirs, { client: ELSEWHERE_RULES, server: ELSEWHERE_RULES });
      const { c, client, server, data } = await seen();
      expect(client[0]).toBe(ccAsk(CUBIC));
      expect(server[0]).toBe([UTO_40S, ccAnswer(CUBIC)].sort().join());
      expect(data[0]).toBe(UTO_40S); // until its first byte is acknowledged
      expect(data.at(-1)).toBe("");
      expect(await congestionOf(inner.server.peer.pid, c.server)).toBe("cubic");
      expect(await congestionOf(inner.client.peer.pid, c.client)).toBe("reno");
    },
  );

  test.each(["before", "after", "below"])(
    "another tcpx, attached %s, and both have rules for the connection: each says its own",
    async (order) => {
      const theirs = { client: ["cc-request set cubic"], server: ["cc-request accept cubic"] };
      await both(order, theirs, { client: ["uto set 30s"], server: ["uto set 40s", "uto accept --min 1s"] });
      const { c, client, server, data } = await seen();
      expect(client[0]).toBe([UTO_30S, ccAsk(CUBIC)].sort().join());
      expect(server[0]).toBe([UTO_40S, ccAnswer(CUBIC)].sort().join());
      expect(data.at(-1)).toBe("");
      expect(await congestionOf(inner.server.peer.pid, c.server)).toBe("cubic");
      expect(await r.u.timeout(inner.server, c.server)).toBe(40_000);
    },
  );

  test("reset leaves the flags of others alone on the connections that it restores", async () => {
    await other.ok(["uto", "set", "30s", "--cgroup", r.client.cgroup]);
    await foreign.attach(r.client.cgroup, { at: [Op.ACTIVE_ESTABLISHED] });
    const c = await open();
    const theirs = async () => {
      const { capture } = await r.record(() => exchange(c, 10));
      const sent = (await capture.packets(`tcp.dstport == ${c.port}`)).filter((p) => p.length > 0);
      return sent.map((p) => optionsOf(p, 253));
    };
    expect(new Set(await theirs())).toEqual(new Set([FOREIGN]));
    await reset();
    expect(await r.u.timeout(inner.client, c.client)).toBe(0);
    expect(new Set(await theirs())).toEqual(new Set([FOREIGN]));
  });
});
