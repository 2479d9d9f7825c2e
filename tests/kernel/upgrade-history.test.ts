// SPDX-License-Identifier: MIT
// Rules of the last executable of every layout since 6 are taken over exactly, of every extension and kind.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { dirname } from "node:path";
import { LAYOUT_VERSION } from "../../cli/layout/layout.generated.ts";
import { version } from "../../package.json";
import { CONTROL, TestControl } from "../support/congestion.ts";
import { connecting as connectingMeanwhile, type Ends } from "../support/connection-loop.ts";
import { executableOf, HISTORY } from "../support/history.ts";
import { killed, shortest, sweep } from "../support/kills.ts";
import { congestionOf } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";
import { UtoLab } from "../support/uto-lab.ts";
import { showPart } from "../support/views.ts";

const SITE = `
[exid]
cc-ask = 0x7d00
iw-answer = 0x7d11
tarr = 0x00ad
[algorithms]
mycc = 0x8001
${CONTROL} = 0x8002
`;

/** What the connections of the loop show, and a site's algorithm by its slot. */
const CLIENT = `
[[scope]]
cgroup = "/client"
[[scope.uto]]
set = "30s"
[[scope.uto]]
set = "32767min"
force = true
to = "2001:db8::/32"
port = [22, 2222]
[[scope.uto]]
set = "none"
to = "192.0.2.9"
[[scope.cc-request]]
set = "mycc"
to = "198.51.100.0/24"
[[scope.cc-request]]
set = "none"
to = "198.51.100.7"
[[scope.cc-request]]
set = "${CONTROL}"
local = true
[[scope.cc-request]]
set = "reno"
local = true
force = true
from = "203.0.113.0/24"
[[scope.iw]]
set = 40
to = "2001:db8::/33"
[[scope.iw]]
set = 1024
local = true
port = 443
[[scope.iw]]
set = "none"
to = "192.0.2.128/25"
`;

/** What has an agent, which takes its time to come and go. */
const CLIENT_ACK = `
[[scope.ack]]
set = true
every = 1
mark-bit = 7
to = "192.0.2.0/24"
[[scope.ack]]
set = true
every = 8
delay = "rtt/4"
min-acks-per-rtt = 0
port = 8080
[[scope.ack]]
set = true
delay = "40ms"
from = "2001:db8:1::/48"
[[scope.ack]]
set = "none"
to = "192.0.2.77"
[[scope.ack]]
request = true
every = 10
delay = "rtt/255"
to = "192.0.2.0/24"
[[scope.ack]]
request = true
every = 127
tarr = true
port = 65535
[[scope.ack]]
request = "none"
from = "10.0.0.0/8"
`;

const INNER = `
[[scope]]
cgroup = "/client/inner"
[[scope.uto]]
set = "20s"
advertise = false
to = "192.0.2.0/24"
[[scope.cc-request]]
set = "none"
local = true
port = 25
`;

const SERVER = `
[[scope]]
cgroup = "/server"
[[scope.uto]]
accept = true
min = "1s"
max = "1h"
[[scope.uto]]
accept = "none"
from = "2001:db8::1"
[[scope.uto]]
accept = true
force = true
to = "198.51.100.0/24"
port = 1
[[scope.cc-request]]
accept = ["reno", "cubic", "${CONTROL}"]
force = true
from = "10.0.0.0/8"
[[scope.cc-request]]
accept = "none"
[[scope.iw]]
accept = true
max = 32
from = "10.0.0.0/8"
[[scope.iw]]
accept = "none"
from = "::/0"
port = 443
`;

const SERVER_ACK = `
[[scope.ack]]
accept = true
max-every = 16
max-delay = "50ms"
mark-bit = 31
[[scope.ack]]
accept = "none"
from = "192.0.2.1"
`;

/** For all network namespaces; those of single ones are set by commands. */
const ROOT = `
[[scope]]
[[scope.uto]]
set = "1ms"
to = "203.0.113.0/25"
all-netns = true
[[scope.iw]]
set = 7
to = "203.0.113.0/25"
all-netns = true
`;

const POLICY = SITE + ROOT + CLIENT + CLIENT_ACK + INNER + SERVER + SERVER_ACK;
const WITHOUT_AGENT = SITE + ROOT + CLIENT + INNER + SERVER;
/** What a connection of the loop has by these rules: of the client, its algorithm by the site's slot, of the server. */
const RULED = `30000 ${CONTROL} 30000`;
const OLD = HISTORY.map(({ layout }) => layout).filter((layout) => layout < LAYOUT_VERSION);

// biome-ignore lint/suspicious/noExplicitAny: documents of programs of several times
type Json = any;

/** In JSON of before a namespace is an object. */
const spelledNow = ({ netns, ...rule }: Json) =>
  netns === null || typeof netns === "number"
    ? { netns, ...rule }
    : { netns: netns.inode, netns_cookie: netns.cookie, ...rule };

describeIf(labRequirement.ok, labRequirement.reason)("upgrade from earlier layouts", () => {
  let u: UtoLab;
  let control: TestControl;
  /** Its root scope is the lab's cgroup. */
  let host: PrivateHost;
  const old = new Map<number, string>();

  beforeAll(async () => {
    for (const layout of OLD) old.set(layout, await executableOf(layout));
    control = await TestControl.load();
    u = await UtoLab.create();
    u.lab.cgroup("inner", u.client.cgroup);
    u.lab.cgroup("elsewhere");
    host = await PrivateHost.create(u.lab, { setup: showPart(dirname(u.client.cgroup)) });
  }, 300_000);
  afterEach(async () => {
    await host.reset(["--wait"]);
    expect(await host.pins()).toEqual([]);
  });
  afterAll(async () => {
    await u?.[Symbol.asyncDispose]();
    await control?.[Symbol.asyncDispose]();
  });

  /** A command of today's executable, or of another one. */
  const json = async (words: string, program?: string): Promise<Json> =>
    (await host.ok(words.split(" "), { json: true, ...(program && { program }) })).json;

  /** Rules of every extension and kind in nested scopes, and of single network namespaces. */
  async function begin(program: string, policy = POLICY): Promise<void> {
    await host.ok(["apply", "-", "--quiet"], { stdin: policy, program });
    for (const { netns } of [u.client, u.server]) {
      await host.ok(["uto", "set", "50s", "--to", "203.0.113.0/24"], { netns, program });
    }
  }

  /** The policy in force, without the scope whose rules make the take-over. */
  async function exported(program?: string): Promise<Json> {
    const policy: Json = Bun.TOML.parse((await host.ok(["export"], program ? { program } : {})).stdout);
    return { ...policy, scope: policy.scope.filter((s: Json) => s.cgroup !== "/elsewhere") };
  }

  async function scopes(program?: string): Promise<Json[]> {
    return (await json("status", program)).scopes.filter((s: Json) => s.cgroup !== "/elsewhere");
  }
  const links = (list: Json[]) => list.map((s) => [s.cgroup, s.id, s.link_id]);
  const rules = (list: Json[]) => list.map((s) => s.rules);

  /** Verdicts on connections that are made meanwhile. */
  const connecting = (work: () => Promise<unknown>) =>
    connectingMeanwhile(
      u,
      async ({ client, server }: Ends) => {
        const judged = [u.timeout(u.client, client), congestionOf(u.client.peer.pid, client)];
        return (await Promise.all([...judged, u.timeout(u.server, server)])).join(" ");
      },
      work,
      ["v4", "v6"],
    );

  const takeOver = async () => {
    await Bun.sleep(50);
    await json("iw set 20 --cgroup /elsewhere");
    await Bun.sleep(50);
  };

  /** Today's executable reads what the older one has, and changes nothing yet. */
  async function reads(program: string, layout: number): Promise<void> {
    const said = (await json("status", program)).scopes;
    const before = await scopes();
    expect(before).toMatchObject(said.map((s: Json) => ({ ...s, rules: s.rules.map(spelledNow) })));
    expect(before.map((s) => s.layout)).toEqual(before.map(() => layout));
    expect(await exported()).toEqual(await exported(program));
    expect((await json("uto set 30s --cgroup /client")).changed).toBe(false);
    expect(await scopes()).toEqual(before);
  }

  /** All of it is ours now; `before` is what the older one had. */
  async function isOurs(before: Json, layout: number): Promise<void> {
    const { site, agent } = await json("status");
    const after = await scopes();
    expect(rules(after)).toEqual(before.rules);
    expect(links(after)).toEqual(before.links); // nothing was detached and attached again
    const state = { layout: LAYOUT_VERSION, version, alive: true, damaged: false };
    expect(after).toMatchObject(after.map(() => ({ ...state, outdated: false, last_error: null })));
    expect((await host.pins()).filter((path) => path.includes(`/v${layout}`))).toEqual([]);
    expect(site).toEqual(before.site);
    expect(agent).toMatchObject({ running: true, layout: LAYOUT_VERSION, problems: [] });
    expect([agent.cgroups, agent.mark_bits]).toEqual(before.agent);
  }

  test.each(OLD)(
    "all that layout %d has is taken over, with no connection without its rules",
    async (layout) => {
      const program = old.get(layout)!;
      await begin(program);
      await reads(program, layout);
      const { site, agent, scopes } = await json("status");
      const policy = await exported();
      const seen = await connecting(takeOver);
      const before = { rules: rules(scopes), links: links(scopes) };
      await isOurs({ ...before, site, agent: [agent.cgroups, agent.mark_bits] }, layout);
      expect(await exported()).toEqual(policy);

      const refused = await host.tcpx(["uto", "set", "10s", "--cgroup", "/client"], { program });
      expect([refused.code, refused.stdout]).toEqual([1, ""]);
      const newer = `the rules here are of a newer tcpx (${version}, layout ${LAYOUT_VERSION})`;
      expect(refused.stderr).toStartWith(`tcpx: ${newer}; this one is `);
      expect(await exported()).toEqual(policy);

      // the two share the machine, not always evenly: once more, until connections enough were made meanwhile
      for (let n = 0; n < 9 && seen.length <= 40; n++) {
        await host.reset(["--wait"]);
        await begin(program);
        seen.push(...(await connecting(takeOver)));
      }
      expect(seen.length).toBeGreaterThan(40);
      expect(new Set(seen)).toEqual(new Set([RULED]));
    },
    180_000,
  );

  test.each(OLD)(
    "killed while it takes over layout %d, every scope keeps its rules",
    async (layout) => {
      const program = old.get(layout)!;
      let hits = 0;
      const duration = async () => {
        await host.reset(["--wait"]);
        await begin(program, WITHOUT_AGENT);
        return shortest([() => json("uto set 10s --cgroup /elsewhere")]);
      };
      const round = async (_: number, part: number, whole: number) => {
        await host.reset(["--wait"]);
        await begin(program, WITHOUT_AGENT);
        const before = await scopes();
        if (await killed(host, `${tcpxPath()} uto set 10s --cgroup /elsewhere`, 1 + whole * part)) hits++;
        const left = await scopes();
        expect([links(left), rules(left)]).toEqual([links(before), rules(before)]);
        expect(new Set(await connecting(() => Bun.sleep(5)))).toEqual(new Set([RULED]));
        await json("uto set 11s --cgroup /elsewhere");
        const ended = await scopes();
        expect([links(ended), rules(ended)]).toEqual([links(before), rules(before)]);
        expect(ended.map((s) => s.layout)).toEqual(ended.map(() => LAYOUT_VERSION));
        expect((await host.pins()).filter((path) => path.includes(`/v${layout}`))).toEqual([]);
      };
      await sweep({ rounds: 6, sweeps: 3, duration, round, enough: () => hits > 2 });
      expect(hits).toBeGreaterThan(2); // else the kills did not test anything
    },
    180_000,
  );

  test.each(OLD)("reset of either removes everything of layout %d and of ours", async (layout) => {
    const program = old.get(layout)!;
    await begin(program);
    await host.reset(["--wait"]);
    expect(await host.pins()).toEqual([]);
    await begin(program);
    await json("iw set 20 --cgroup /elsewhere");
    await host.reset(["--wait"], { program });
    expect(await host.pins()).toEqual([]);
    const [verdict] = await connecting(() => Bun.sleep(1));
    expect(verdict).toMatch(/^0 (?!tcpx)\S+ 0$/);
  });
});
