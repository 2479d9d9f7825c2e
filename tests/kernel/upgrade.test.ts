// SPDX-License-Identifier: MIT
// A newer executable finds an older one's rules: it takes them over, with no connection without its rule.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { LAYOUT_VERSION } from "../../cli/layout/layout.generated.ts";
import { version } from "../../package.json";
import { connecting as connectingMeanwhile, type Ends } from "../support/connection-loop.ts";
import { killed, shortest, sweep } from "../support/kills.ts";
import { connectPeers } from "../support/lab.ts";
import { buildOther } from "../support/other-build.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import type { TcpxResult } from "../support/tcpx.ts";
import { UtoLab } from "../support/uto-lab.ts";
import { part } from "../support/views.ts";

const NEWER = "99.0.0";
const OWN = LAYOUT_VERSION;

interface Seen {
  cgroup: string;
  version: string;
  layout: number;
  timeouts: number[];
  link: number;
}

describeIf(labRequirement.ok, labRequirement.reason)("upgrade", () => {
  let u: UtoLab;
  let host: PrivateHost;
  let program: string;
  let inner: string;
  let elsewhere: string;

  beforeAll(async () => {
    u = await UtoLab.create();
    host = await PrivateHost.create(u.lab);
    inner = u.lab.cgroup("inner", u.client.cgroup);
    elsewhere = u.lab.cgroup("elsewhere");
    program = await buildOther(u.lab.dir, 1, NEWER);
  }, 120_000);
  afterEach(async () => {
    await host.reset(["--wait"]);
    expect(await host.pins()).toEqual([]);
  });
  afterAll(() => u[Symbol.asyncDispose]());

  const words = (text: string, cgroup?: string) => [
    ...text.split(" "),
    ...(cgroup ? ["--cgroup", cgroup] : []),
  ];
  const old = (text: string, cgroup?: string) => host.ok(words(text, cgroup), { json: true });
  const newer = (text: string, cgroup?: string) => host.ok(words(text, cgroup), { json: true, program });

  async function scopes(by: typeof old = newer): Promise<Seen[]> {
    // biome-ignore lint/suspicious/noExplicitAny: a document of the program under test
    return (await by("status")).json.scopes.map((s: any) => ({
      cgroup: s.cgroup,
      version: s.version,
      layout: s.layout,
      // biome-ignore lint/suspicious/noExplicitAny: a document of the program under test
      timeouts: [...new Set<number>(s.rules.map((rule: any) => rule.timeout_ms))],
      link: s.link_id,
    }));
  }

  /** Rules of ours in three scopes, one of them in another one. */
  async function begin(): Promise<Seen[]> {
    await old("uto set 30s", u.client.cgroup);
    await old("uto set 20s --to 192.0.2.0/24", inner);
    await old("uto accept --min 1s --max 1h", u.server.cgroup);
    return scopes(old);
  }

  /** The user timeouts of connections that are made as long as `work` takes. */
  async function connecting(work: () => Promise<unknown>): Promise<number[]> {
    const timeouts = ({ client, server }: Ends) =>
      Promise.all([u.timeout(u.client, client), u.timeout(u.server, server)]);
    return (await connectingMeanwhile(u, timeouts, work)).flat();
  }

  test("the newer one reads the rules; its first change, anywhere, takes over all of them", async () => {
    const before = await begin();
    expect(before.map(({ version: v, layout }) => [v, layout])).toEqual(before.map(() => [version, OWN]));
    expect(await scopes()).toEqual(before);
    expect((await newer("uto show", u.client.cgroup)).json.rules).toHaveLength(2);
    expect((await newer("uto set 30s", u.client.cgroup)).json.changed).toBe(false);
    const sent = async () =>
      (await newer("status", u.client.cgroup)).json.scopes[0].counters.uto.sent as number;
    await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    const counted = await sent();
    expect(counted).toBeGreaterThan(0);

    const takeOver = async () => {
      await Bun.sleep(50);
      await newer("iw set 20", elsewhere);
      await Bun.sleep(50);
    };
    const seen = await connecting(takeOver);

    const after = await scopes();
    // the same links: nothing was detached and attached again
    const taken = before.map((scope) => ({ ...scope, version: NEWER, layout: OWN + 1 }));
    expect(after.filter(({ cgroup }) => !cgroup.endsWith("elsewhere"))).toEqual(taken);
    expect(after).toHaveLength(4);
    expect((await host.pins()).filter((path) => path.includes(`/v${OWN}`))).toEqual([]);
    expect(await sent()).toBeGreaterThan(counted);

    // the two share the machine, not always evenly: once more, until connections enough were made meanwhile
    for (let n = 0; n < 9 && seen.length <= 40; n++) {
      await host.reset();
      await begin();
      seen.push(...(await connecting(takeOver)));
    }
    expect(seen.length).toBeGreaterThan(40);
    expect(new Set(seen)).toEqual(new Set([30_000]));
  }, 180_000);

  test("the older one refuses politely, and changes nothing; its reset still removes everything", async () => {
    await newer("uto set 30s", u.client.cgroup);
    const pins = await host.pins();
    for (const text of ["uto set 10s", "uto unset --all", "uto set 10s --dry-run", "status", "uto show"]) {
      const refused: TcpxResult = await host.tcpx(
        words(text, text === "status" ? undefined : u.client.cgroup),
      );
      expect([refused.code, refused.stdout]).toEqual([1, ""]);
      const said = `tcpx: the rules here are of a newer tcpx (${NEWER}, layout ${OWN + 1}); this one is `;
      expect(refused.stderr).toStartWith(`${said}${version}, layout ${OWN}; use the newer one`);
      expect(refused.stderr.trimEnd().split("\n")).toHaveLength(1);
    }
    expect(await host.pins()).toEqual(pins);
    expect((await scopes())[0]).toMatchObject({ version: NEWER, timeouts: [30_000] });
    await host.reset();
    expect(await host.pins()).toEqual([]);
  });

  test("killed at any moment, every scope keeps its rules, and the next command goes on", async () => {
    let hits = 0;
    const duration = async () => {
      const times: number[] = [];
      for (let n = 0; n < 3; n++) {
        await host.reset(["--wait"]);
        await begin();
        times.push(await shortest([() => newer("uto set 10s", elsewhere)]));
      }
      return Math.min(...times);
    };
    const round = async (_: number, part: number, whole: number) => {
      await host.reset(["--wait"]);
      const before = await begin();
      const command = `${program} uto set 10s --cgroup ${elsewhere}`;
      if (await killed(host, command, 1 + whole * part)) hits++;
      const known = (await scopes()).filter(({ cgroup }) => !cgroup.endsWith("elsewhere"));
      const rules = (list: Seen[]) => list.map(({ cgroup, timeouts, link }) => ({ cgroup, timeouts, link }));
      expect(rules(known)).toEqual(rules(before));
      expect(new Set(await connecting(() => Bun.sleep(5)))).toEqual(new Set([30_000]));
      await newer("uto set 11s", elsewhere);
      const ended = await scopes();
      expect(ended.map(({ layout }) => layout)).toEqual(ended.map(() => OWN + 1));
      expect(rules(ended.filter(({ cgroup }) => !cgroup.endsWith("elsewhere")))).toEqual(rules(before));
      expect((await host.pins()).filter((path) => /\/gen-\d+$/.test(path))).toHaveLength(4);
    };
    await sweep({ rounds: 12, sweeps: 3, duration, round, enough: () => hits > 3 });
    expect(hits).toBeGreaterThan(3); // else the kills did not test anything
  }, 180_000);

  test("a scope whose cgroup has gone is not taken over, but removed", async () => {
    const gone = u.lab.cgroup("gone");
    await old("uto set 30s", gone);
    await old("uto set 30s", u.client.cgroup);
    await host.sh(`rmdir ${gone}`);
    await newer("uto set 10s", elsewhere);
    expect((await scopes()).map(({ layout }) => layout)).toEqual([OWN + 1, OWN + 1]);
    expect((await host.pins()).filter((path) => path.includes(`/v${OWN}`))).toEqual([]);
  });

  test.each([true, false])("the site's table is carried over; with rules: %p", async (withRules) => {
    const tables = "[exid]\ncc-ask = 0x7d00\n[algorithms]\nmycc = 0x8001\n";
    const rules = `[[scope]]\ncgroup = "${u.client.cgroup}"\n[[scope.cc-request]]\nset = "mycc"\n`;
    await host.ok(["apply", "-"], { stdin: withRules ? tables + rules : `scope = []\n${tables}` });
    const policy = (await host.ok(["export"])).stdout;
    expect((await host.ok(["export"], { program })).stdout).toBe(policy);
    await newer("uto set 10s", elsewhere);
    const { site, scopes } = (await newer("status")).json;
    expect(site).toMatchObject({ exid: { "cc-ask": 0x7d00 }, algorithm_numbers: { mycc: 0x8001 } });
    const outdated = scopes.map((scope: { outdated: boolean }) => scope.outdated);
    expect(outdated).toEqual(withRules ? [false, false] : [false]);
    const [asked] = (await newer("cc-request set mycc --dry-run", elsewhere)).json.added;
    expect(asked.option).toBe("fe067d008001");
    expect((await host.pins()).filter((path) => path.includes(`/v${OWN}`))).toEqual([]);
  });

  test("the older one's ACK agent gives way to the newer one's", async () => {
    await old("ack set --every 8", u.client.cgroup);
    await newer("uto set 10s", elsewhere);
    const { agent } = (await newer("status")).json;
    expect(agent).toMatchObject({ running: true, version: NEWER, problems: [] });
    expect(agent.cgroups).toHaveLength(1);
  });

  test("what is known of paths that refuse options goes on to be known", async () => {
    const { fd: listener, port } = await u.server.peer.listen(u.server.v4);
    const connects = async () => {
      const client = await u.client.peer.socket(4);
      const done = await u.client.peer.connectFd(client, u.server.v4, port, 700).then(
        () => true,
        () => false,
      );
      await u.client.peer.close(client);
      return done;
    };
    await u.filter(u.server, "tcp flags syn / fin,syn,rst,ack tcp option 28 exists reject with tcp reset");
    await old("uto set 30s", u.client.cgroup);
    expect([await connects(), await connects()]).toEqual([false, true]);
    await newer("uto set 10s", elsewhere);
    expect(await connects()).toBe(true);
    await u.filter(u.server, "");
    await u.server.peer.close(listener);
  });

  test("resets are held back as before, also in a scope that the newer one cannot see", async () => {
    await old("uto set 30s", u.client.cgroup);
    await old("uto set 30s", inner);
    await old("uto accept", u.server.cgroup);
    const held = async (by: typeof old) =>
      // biome-ignore lint/suspicious/noExplicitAny: a document of the program under test
      (await by("status")).json.scopes.map((s: any) => [s.link_id, s.holds_resets]);
    const before = await held(old);
    expect(before.map(([, holds]: [number, boolean]) => holds)).toEqual([true, true, false]);
    await host.ok(words("iw accept --max 40 --cgroup /"), { program, wrap: part(elsewhere) });
    const after = await held(newer);
    expect(after).toEqual(expect.arrayContaining(before));
    expect(await scopes()).toMatchObject(after.map(() => ({ layout: OWN + 1 })));
  });
});
