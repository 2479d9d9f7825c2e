// SPDX-License-Identifier: MIT
// The recipe of CONTRIBUTING, followed: a sample in a copy of the tree needs its own files and a line in each registry,
// and then it is set, seen, told, counted, exported and undone like every other extension.

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { dirname } from "node:path";
import { SOL_SOCKET } from "../support/constants.ts";
import { connectPeers, sockoptOf, splitOptions } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { optionsOf } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { REGISTRIES, SampleTree } from "../support/sample-tree.ts";
import type { TcpxOptions, TcpxResult } from "../support/tcpx.ts";
import { type Side, UtoLab } from "../support/uto-lab.ts";
import { Watch } from "../support/watch-lab.ts";

const needs = every("all", labRequirement, captureRequirement);
/** Written by the build, where an extension has programs of other types. */
const OBJECTS = "cli/bridge/sock-objects.generated.ts";
const GENERATED = [
  "cli/layout/layout.generated.ts",
  "docs/policy.schema.json",
  "embedded-bpf/extensions.generated.h",
];
const FAMILIES = ["v4", "v6"] as const;
type Family = (typeof FAMILIES)[number];

const SO_MAX_PACING_RATE = 47;
const UNLIMITED = 0xffffffff;
const SO_PRIORITY = 12;
const SO_MARK = 36;
/** [level, name] of the byte that has the DSCP: IP_TOS, IPV6_TCLASS. */
const OCTET = { v4: [0, 1], v6: [41, 67] } as const;

/** What sockets and packets say of a connection, whatever tcpx says. */
interface Judged {
  client: number;
  server: number;
  /** Options of experiments on the SYN, and on the SYN-ACK. */
  options: string[];
  /** Those whose segments have DSCP 46. */
  marked: ("client" | "server")[];
}

interface Sample {
  name: string;
  /** Rules, as behind its name: for the client, and for the server. */
  client: string;
  server?: string;
  /** The client's as `show` has it: kind, and JSON. */
  shown: [kind: string, json: object];
  /** A value that differs, and what nobody takes. */
  other: string;
  wrong: string[];
  /** The usual, and what a connection has with these rules. */
  plain: Judged;
  ruled: Judged;
  read(end: Side, fd: number, family: Family): Promise<number>;
  /** What `connections` says at each end: in its text, and in JSON. */
  told: Record<"client" | "server", [text: string, json: object]>;
  /** Events of the connection, as Watch.of() has them. */
  events: string[];
  /** Counters of the client's scope after a connection. */
  counted: object;
  /** What completes behind it. */
  completed: string[];
  /** What `run` takes behind its flag; the word behind `set` when left out. */
  run?: string;
  /** Kinds that `set none` exempts; one when left out. */
  exempts?: number;
  /** A connection has no room for it beside the other samples. */
  alone?: true;
  /** What it is for; both when left out. */
  families?: readonly Family[];
}

const NOTHING = { status: "none", asked: null, granted: null };
const NO_RULE = { status: "none", rule: null, applied: null, reason: null };
const RATE = { bytes_per_second: 1_000_000 };
const DSCP = { dscp: 46 };

const SAMPLES: Sample[] = [
  {
    name: "throttle",
    client: "set 1000000",
    shown: ["local", RATE],
    other: "set 2000000",
    wrong: [
      "set 999",
      "set 4000000001",
      "set fast",
      "set",
      "set 1000000 --force",
      "set none --live",
      "accept 5",
    ],
    plain: { client: UNLIMITED, server: UNLIMITED, options: ["", ""], marked: [] },
    ruled: { client: 1_000_000, server: UNLIMITED, options: ["", ""], marked: [] },
    read: async ({ peer }, fd) => (await sockoptOf(peer.pid, fd, SOL_SOCKET, SO_MAX_PACING_RATE)) >>> 0,
    told: {
      client: [
        "throttle set 1000000 B/s",
        {
          ours: NOTHING,
          peers: NOTHING,
          local: { status: "applied", rule: RATE, applied: RATE, reason: null },
        },
      ],
      server: ["", { ours: NOTHING, peers: NOTHING, local: NO_RULE }],
    },
    events: [],
    counted: { applied: 1, sent: 0, errors: 0 },
    completed: ["set", "show", "unset"],
  },
  {
    name: "dscp-request",
    client: "set 46",
    server: "accept --max 46",
    shown: ["ask", { ...DSCP, option: "fe067c60002e" }],
    other: "set 10",
    wrong: [
      "set 64",
      "set EF",
      "set",
      "set 46 --from 192.0.2.1",
      "accept",
      "accept all",
      "accept none --max 1",
    ],
    plain: { client: 0, server: 0, options: ["", ""], marked: [] },
    ruled: { client: 0, server: 46 << 2, options: ["fe067c60002e", "fe067c61002e"], marked: ["server"] },
    read: ({ peer }, fd, family) => sockoptOf(peer.pid, fd, OCTET[family][0], OCTET[family][1]),
    told: {
      client: [
        "dscp-request granted 46",
        { ours: { status: "granted", asked: DSCP, granted: DSCP }, peers: NOTHING, local: NO_RULE },
      ],
      server: [
        "dscp-request gave 46",
        { ours: NOTHING, peers: { status: "granted", asked: DSCP, granted: DSCP }, local: NO_RULE },
      ],
    },
    events: ["dscp-request granted 46 46", "their dscp-request granted 46 46"],
    counted: { sent: 1, granted: 1, refused: 0, errors: 0 },
    completed: ["accept", "set", "show", "unset"],
  },
];

SAMPLES.push({
  name: "classify",
  client: "set --priority 5",
  shown: ["priority", { priority: 5 }],
  other: "set --priority 6",
  wrong: [
    "set",
    "set 5",
    "set --priority 65536",
    "set --mark x",
    "set none --mark 1",
    "set --mark none --priority",
    "unset local",
  ],
  plain: { client: 0, server: 0, options: ["", ""], marked: [] },
  ruled: { client: 5, server: 0, options: ["", ""], marked: [] },
  read: ({ peer }, fd) => sockoptOf(peer.pid, fd, SOL_SOCKET, SO_PRIORITY),
  told: {
    client: [
      "classify set priority 5",
      {
        ours: NOTHING,
        peers: NOTHING,
        local: { status: "applied", rule: { priority: 5 }, applied: { priority: 5 }, reason: null },
      },
    ],
    server: ["", { ours: NOTHING, peers: NOTHING, local: NO_RULE }],
  },
  events: [],
  counted: { applied: 1, sent: 0, errors: 0 },
  completed: ["set", "show", "unset"],
  run: "priority=5",
  exempts: 2,
  alone: true,
});

/** Addresses of the client that its connections may come from, beside the one that the kernel chooses. */
const SOURCES = ["198.18.77.7", "198.18.77.8"] as const;
const SOURCE = { address: SOURCES[0] };

SAMPLES.push({
  name: "bind-address",
  client: `set ${SOURCES[0]}`,
  shown: ["local", SOURCE],
  other: `set ${SOURCES[1]}`,
  wrong: [
    "set",
    "set 0.0.0.0",
    "set 224.0.0.1",
    "set 192.0.2",
    "set 2001:db8::1",
    "set 192.0.2.7 --force",
    "set 192.0.2.7 --from 192.0.2.1",
    "accept 192.0.2.7",
  ],
  plain: { client: 0, server: 0, options: ["", ""], marked: [] },
  ruled: { client: 1, server: 1, options: ["", ""], marked: [] },
  read: async ({ peer }, fd) => {
    const ends = [await peer.sockName(fd), await peer.peerName(fd)];
    return ends.some(({ addr }) => addr === SOURCES[0]) ? 1 : 0;
  },
  told: {
    client: [
      `bind-address set ${SOURCES[0]}`,
      {
        ours: NOTHING,
        peers: NOTHING,
        local: { status: "applied", rule: SOURCE, applied: SOURCE, reason: null },
      },
    ],
    server: ["", { ours: NOTHING, peers: NOTHING, local: NO_RULE }],
  },
  events: [],
  counted: { applied: 1, sent: 0, errors: 0 },
  completed: ["set", "show", "unset"],
  alone: true,
  families: ["v4"],
});

/** Of `iw set 40` and `iw accept --max 32`, on the SYN and on the SYN-ACK. */
const IW = ["fe067c100028", "fe067c110020"];
const MARKED = "ip.dsfield.dscp == 46 || ipv6.tclass.dscp == 46";

describeIf(needs.ok, needs.reason)("a sample in a copy of the tree", () => {
  let u: UtoLab;
  let host: PrivateHost;

  beforeAll(async () => {
    u = await UtoLab.create();
    host = await PrivateHost.create(u.lab);
    for (const source of SOURCES) {
      await u.lab.exec(u.client.netns, ["ip", "addr", "add", `${source}/32`, "dev", u.client.device]);
      await u.lab.exec(u.server.netns, ["ip", "route", "add", source, "via", u.client.v4]);
    }
  });
  afterAll(() => u[Symbol.asyncDispose]());

  describe.each(SAMPLES.map((sample) => ({ name: sample.name, sample })))("$name", ({ name, sample }) => {
    let tree: SampleTree;
    let program: string;

    beforeAll(async () => {
      tree = await SampleTree.create(u.lab.dir, name);
      await tree.build();
      ({ program } = tree);
    }, 300_000);
    afterEach(async () => {
      // nsenter is between it and us
      await host.sh(
        "for p in /proc/[0-9]*; do grep -qsz ^watch$ $p/cmdline && kill $(basename $p); done; true",
      );
      await host.ok(["apply", "-", "--wait"], { stdin: "scope = []", program });
    });

    const words = (text: string, where?: Side) => [
      ...text.split(" "),
      ...(where ? ["--cgroup", where.cgroup] : []),
    ];
    const ok = (text: string, where?: Side, how: TcpxOptions = {}): Promise<TcpxResult> =>
      host.ok(words(text, where), { program, ...how });
    // biome-ignore lint/suspicious/noExplicitAny: documents of the program under test
    const json = async (text: string, where?: Side, how: TcpxOptions = {}): Promise<any> =>
      (await ok(text, where, { json: true, ...how })).json;
    const rules = (where: Side) => json(`${name} show`, where).then(({ rules }) => rules);
    const set = async () => {
      await ok(`${name} ${sample.client}`, u.client);
      if (sample.server) await ok(`${name} ${sample.server}`, u.server);
    };

    /** A connection, and what is to be seen of it from outside. */
    async function connection(family: Family) {
      const capture = await u.capture();
      const c = await connectPeers(u.client.peer, u.server.peer, u.server[family]);
      await u.exchange(c);
      await capture.stop();
      const marked = await capture.packets(MARKED);
      const judged: Judged = {
        client: await sample.read(u.client, c.client, family),
        server: await sample.read(u.server, c.server, family),
        options: (await capture.packets("tcp.flags.syn == 1")).map((packet) => optionsOf(packet, 254)),
        marked: [...new Set(marked.map(({ sport }) => (sport === c.port ? "server" : "client")))],
      };
      return { c, judged };
    }

    test("needs its own files, a line in each registry, and what the build writes", async () => {
      const wanted = [
        ...tree.own.map((path) => `A ${path}`),
        ...[...REGISTRIES, ...GENERATED].map((path) => `M ${path}`),
        ...(tree.own.some((path) => path.endsWith("_sock.bpf.c")) ? [`M ${OBJECTS}`] : []),
      ];
      expect((await tree.changes()).sort()).toEqual(wanted.sort());
      for (const registry of REGISTRIES)
        expect([registry, await tree.lines(registry)]).toEqual([registry, { added: 1, removed: 0 }]);
    });

    test("passes the checks, and the tests that try every extension", async () => {
      const { text } = await tree.run(process.execPath, "scripts/check.ts");
      for (const check of ["registry", "rooms", "names", "layout"]) expect(text).toContain(`${check}: ok\n`);
      const [file] = tree.own.filter((path) => path.endsWith(".ts"));
      expect(text).not.toContain(file!); // nor has a formatter, a linter or the compiler anything to say of it
      for (const unit of ["extensions", "registry", "help", "run", "extension-names", "policy-print"]) {
        const done = await tree.run(process.execPath, "test", "--isolate", `./tests/unit/${unit}.test.ts`);
        expect([unit, done.code, done.text.match(/\(fail\).*/g)]).toEqual([unit, 0, null]);
      }
    }, 120_000);

    test("is in the help, the manual and the completion", async () => {
      expect((await ok("--help")).stdout).toMatch(new RegExp(`^  ${name} +\\w`, "m"));
      expect((await ok("run --help")).stdout).toMatch(new RegExp(`^ +--${name} `, "m"));
      const manual = (await ok("internal-man")).stdout.replaceAll("\\-", "-");
      expect(manual.includes(`.SS "tcpx ${name} set"`)).toBe(true);
      for (const verb of sample.completed)
        expect((await ok(`${name} ${verb} --help`)).stdout).toContain(`tcpx ${name} ${verb}`);
      const { stdout } = await host.ok(["internal-complete", "--", "fish", "", name], { program });
      const offered = stdout.split("\n").filter((line) => line.startsWith("w "));
      expect(offered.sort()).toEqual(sample.completed.map((word) => `w ${word}`));
    });

    test("set, show, unset, also as JSON; --dry-run and what is wrong change nothing", async () => {
      const [kind, value] = sample.shown;
      expect(await json(`${name} ${sample.client} --dry-run`, u.client)).toMatchObject({ changed: true });
      expect(await rules(u.client)).toEqual([]);
      for (const wrong of sample.wrong) {
        const { code, stderr } = await host.tcpx(words(`${name} ${wrong}`, u.client), { program });
        expect([wrong, code, stderr]).toEqual([wrong, 2, expect.stringMatching(/^tcpx: /)]);
      }
      expect(await host.pins()).toEqual([]);
      expect(await json(`${name} ${sample.client}`, u.client)).toMatchObject({ changed: true });
      expect(await json(`${name} ${sample.client}`, u.client)).toMatchObject({ changed: false });
      expect(await rules(u.client)).toEqual([expect.objectContaining({ extension: name, kind, ...value })]);
      await ok(`${name} ${sample.other} --to 192.0.2.0/24`, u.client);
      await ok(`${name} set none --to 192.0.2.7`, u.client);
      expect(await rules(u.client)).toHaveLength(2 + (sample.exempts ?? 1));
      expect((await ok(`${name} show`, u.client)).stdout).toContain("none");
      await ok(`${name} unset --to 192.0.2.0/24`, u.client);
      expect(await rules(u.client)).toHaveLength(1 + (sample.exempts ?? 1));
      await ok(`${name} unset --all`, u.client);
      expect(await rules(u.client)).toEqual([]);
      expect(await host.pins()).toEqual([]);
    });

    const families = sample.families ?? FAMILIES;
    test.each([...families])("%s: does it, and every command that looks says so", async (family) => {
      expect((await connection(family)).judged).toEqual(sample.plain);
      await set();
      const watch = await Watch.start(u.lab, ["--ext", name, "--all-netns"], { wrap: host.wrap, program });
      const { c, judged } = await connection(family);
      expect(judged).toEqual(sample.ruled);
      for (const end of ["client", "server"] as const) {
        const [text, value] = sample.told[end];
        const where = u[end];
        const how = { netns: where.netns };
        const { connections } = await json(`connections --port ${c.port}`, where, how);
        expect(connections).toHaveLength(1);
        expect(connections[0].extensions[name]).toEqual(value);
        const line = (await ok(`connections --port ${c.port}`, where, how)).stdout;
        expect(line.match(new RegExp(`${name} .*`))?.[0] ?? "").toBe(text);
      }
      expect(await watch.sees(c.port, sample.events)).toEqual(sample.events);
      const [scope] = (await json("status", u.client)).scopes;
      expect(scope.counters[name]).toMatchObject(sample.counted);
      expect((await ok("status", u.client)).stdout).toMatch(new RegExp(`COUNTER +${name}`));
      const [counter, count] = Object.entries(sample.counted)[0]!;
      expect((await ok("metrics")).stdout).toMatch(
        new RegExp(`tcpx_${counter}_\\w+\\{cgroup="[^"]*client",extension="${name}"\\} ${count}\n`),
      );
    });

    test("export and apply bring the same rules back", async () => {
      await set();
      await ok(`${name} set none --to 192.0.2.7 --port 443`, u.client);
      const before = [await rules(u.client), await rules(u.server)];
      const { stdout: policy } = await ok("export");
      await ok("apply - --wait", undefined, { stdin: "scope = []" });
      expect(await host.pins()).toEqual([]);
      await ok("apply - --wait", undefined, { stdin: policy });
      expect([await rules(u.client), await rules(u.server)]).toEqual(before);
      expect((await ok("export")).stdout).toBe(policy);
      expect((await connection(families.at(-1)!)).judged).toEqual(sample.ruled);
    });

    test("tcpx run has a flag for it", async () => {
      const value = sample.run ?? sample.client.split(" ")[1];
      const show = [program, name, "show", "--json", "--pid", "$$"].join(" ");
      const done = await host.ok(["run", `--${name}`, value!, "--", "sh", "-c", show], { program });
      expect(JSON.parse(done.stdout).rules).toEqual([expect.objectContaining(sample.shown[1])]);
    });

    test("rules and connections of an executable without it mean to this one what they meant", async () => {
      const old = (text: string, where: Side) => host.ok(words(text, where), { json: true });
      for (const line of ["uto set 30s", "iw set 40", "cc-request set reno --local", "ack set --delay 40ms"])
        await old(line, u.client);
      for (const line of ["uto accept --min 1s --max 1h", "iw accept --max 32"]) await old(line, u.server);
      const { c } = await connection("v4");
      const seen = async (how: TcpxOptions) => {
        const of = async (text: string, where: Side) =>
          (await host.ok(words(text, where), { json: true, netns: where.netns, ...how })).json;
        const shown = await Promise.all(
          ["uto", "iw", "cc-request", "ack"].map((one) => of(`${one} show`, u.client)),
        );
        const { connections } = await of(`connections --port ${c.port}`, u.client);
        const { scopes } = await of("status", u.client);
        return { shown, connections, scopes };
      };
      const [before, after] = [await seen({}), await seen({ program })];
      const own = after.connections[0].extensions[name];
      expect(own).toEqual({ ours: NOTHING, peers: NOTHING, local: NO_RULE });
      delete after.connections[0].extensions[name];
      delete after.scopes[0].counters[name];
      expect(after).toEqual(before);
      await set(); // the copy's programs take over what there is
      const next = await seen({ program });
      expect(next.shown).toEqual(before.shown);
      const { judged } = await connection("v4");
      // the first of the registry has the first place
      const options = sample.ruled.options.map((own, i) => [own, IW[i]].filter(Boolean).join(","));
      expect(judged).toEqual({ ...sample.ruled, options });
    });

    test("an executable without it says what to do about rules that it does not know, and resets them", async () => {
      await set();
      const { code, stderr } = await host.tcpx(["status"]);
      expect([code, stderr]).toEqual([
        1,
        expect.stringMatching(/cgroup \S+ are of another tcpx .*more extensions .*is none of ours/),
      ]);
      expect(stderr).toContain("`tcpx reset`");
      const { stdout } = await host.ok(["reset", "--dry-run"]);
      expect(stdout).toMatch(/would remove \d+ rule\(s\) of another tcpx \(\S+\) in cgroup /);
      await host.reset();
      expect(await host.pins()).toEqual([]);
    });

    /** What `connections` says of the extension at an end. */
    const saidAt = async (end: "client" | "server", port: number) => {
      const { connections } = await json(`connections --port ${port}`, u[end], { netns: u[end].netns });
      return connections[0].extensions[name];
    };

    if (name === "throttle") {
      test("--live: connections that exist get it, and give it back", async () => {
        const c = await connectPeers(u.client.peer, u.server.peer, u.server.v6);
        const netns = { netns: u.client.netns }; // its processes are not this host's
        const rate = () => sample.read(u.client, c.client, "v6");
        const changed = async (line: string) =>
          (await json(`${name} ${line} --live --port ${c.port}`, u.client, netns)).live;
        expect(await changed(sample.client)).toMatchObject({ changed_connections: 1 });
        expect(await rate()).toBe(1_000_000);
        expect(await changed(sample.client)).toMatchObject({ changed_connections: 0, same: 1 });
        expect(await changed(sample.other)).toMatchObject({ changed_connections: 1 });
        expect(await rate()).toBe(2_000_000);
        expect(await changed("unset")).toMatchObject({ changed_connections: 1 });
        expect(await rate()).toBe(UNLIMITED);
      });

      test("a rate of the application's own is kept; reset gives back what was ours", async () => {
        await set();
        const options = [[SOL_SOCKET, SO_MAX_PACING_RATE, 5000]] as const;
        const own = await connectPeers(u.client.peer, u.server.peer, u.server.v4, { options });
        expect(await sample.read(u.client, own.client, "v4")).toBe(5000);
        expect((await saidAt("client", own.port)).local).toMatchObject({
          status: "kept",
          reason: "application",
        });
        const ours = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
        const late = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
        expect((await saidAt("client", late.port)).local).toMatchObject({ status: "applied" });
        await u.client.peer.setopt(late.client, SOL_SOCKET, SO_MAX_PACING_RATE, 6000);
        expect((await saidAt("client", late.port)).local).toMatchObject({ status: "kept" });
        await host.reset([], { program, netns: u.client.netns });
        const rates = [own, late, ours].map(({ client }) => sample.read(u.client, client, "v4"));
        expect(await Promise.all(rates)).toEqual([5000, 6000, UNLIMITED]);
      });

      test("a socket that connects again where no rule is has no limit", async () => {
        const [one, two] = [await u.server.peer.listen(u.server.v4), await u.server.peer.listen(u.server.v4)];
        await ok(`${name} ${sample.client} --port ${one.port}`, u.client);
        const fd = await u.client.peer.connect(u.server.v4, one.port);
        expect(await sample.read(u.client, fd, "v4")).toBe(1_000_000);
        await u.client.peer.disconnect(fd);
        await u.client.peer.connectFd(fd, u.server.v4, two.port);
        expect(await sample.read(u.client, fd, "v4")).toBe(UNLIMITED);
      });
    } else if (name === "classify") {
      test("a narrower rule for one key leaves the wider one's other key in force", async () => {
        await ok(`${name} set --priority 5 --mark 7`, u.client);
        await ok(`${name} set --mark 9 --to ${u.server.v4}`, u.client);
        await ok(`${name} set --priority none --to ${u.server.v6}`, u.client);
        expect((await rules(u.client)).map(({ kind }: { kind: string }) => kind).sort()).toEqual([
          ...["mark", "mark", "priority", "priority"],
        ]);
        const has = async (family: Family) => {
          const c = await connectPeers(u.client.peer, u.server.peer, u.server[family]);
          const mark = await sockoptOf(u.client.peer.pid, c.client, SOL_SOCKET, SO_MARK);
          const { local } = await saidAt("client", c.port);
          return [await sample.read(u.client, c.client, family), mark, local.applied];
        };
        expect(await has("v4")).toEqual([5, 9, { priority: 5, mark: 9 }]);
        expect(await has("v6")).toEqual([0, 7, { mark: 7 }]);
        const { stdout: policy } = await ok("export");
        await ok(`${name} unset mark --all`, u.client);
        expect(await has("v4")).toEqual([5, 0, { priority: 5 }]);
        expect((await ok("metrics")).stdout).toMatch(
          /tcpx_rules\{cgroup="[^"]*client",extension="classify",kind="mark"\} 0\n/,
        );
        await ok("apply - --wait", undefined, { stdin: policy });
        expect(await has("v4")).toEqual([5, 9, { priority: 5, mark: 9 }]);
        const { stderr } = await host.tcpx(words(`${name} unset colour`, u.client), { program });
        expect(stderr).toContain("accepts priority, mark, or nothing for both");
      });

      test("an inner scope's rule of one key leaves the other one to the scope around it", async () => {
        const around = dirname(u.client.cgroup);
        await host.ok(words(`${name} set --priority 5 --mark 7 --cgroup ${around}`), { program });
        await ok(`${name} set --mark none`, u.client);
        const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
        const mark = await sockoptOf(u.client.peer.pid, c.client, SOL_SOCKET, SO_MARK);
        expect([await sample.read(u.client, c.client, "v4"), mark]).toEqual([5, 0]);
      });

      test("what the application has chosen is kept", async () => {
        await set();
        const options = [[SOL_SOCKET, SO_PRIORITY, 3]] as const;
        const own = await connectPeers(u.client.peer, u.server.peer, u.server.v4, { options });
        expect(await sample.read(u.client, own.client, "v4")).toBe(3);
        const [scope] = (await json("status", u.client)).scopes;
        expect(scope.counters[name]).toMatchObject({ applied: 0, kept: 1 });
        expect((await saidAt("client", own.port)).local).toEqual({
          status: "kept",
          rule: { priority: 5 },
          applied: null,
          reason: "application",
        });
      });

      test("a socket that connects again has what the rules of now say, and nothing of before", async () => {
        const { peer } = u.client;
        const around = dirname(u.client.cgroup);
        const { port } = await u.server.peer.listen(u.server.v4);
        const again = async (before: string, after: string) => {
          await ok(`${name} ${before}`, u.client);
          const fd = await peer.socket(4);
          await expect(peer.connectFd(fd, u.server.v4, 1)).rejects.toThrow("ECONNREFUSED");
          await peer.disconnect(fd);
          await ok(`${name} ${after}`, u.client);
          await peer.connectFd(fd, u.server.v4, port);
          return sample.read(u.client, fd, "v4");
        };
        expect(await again("set --priority 5", "set --priority 6")).toBe(6);
        expect(await again("set --priority 5", "set none")).toBe(0);
        await host.ok(words(`${name} set --mark 7 --cgroup ${around}`), { program }); // whose program comes behind
        expect(await again("set --priority 5", "set --priority 6")).toBe(6);
      });
    } else if (name === "dscp-request") {
      test("refused: above the limit, by the application's own choice, and where BPF cannot", async () => {
        await ok(`${name} ${sample.client}`, u.client);
        const watch = await Watch.start(u.lab, ["--ext", name, "--all-netns"], { wrap: host.wrap, program });
        /** @param promised what the SYN-ACK has said before anything could be tried */
        const refused = async (c: { port: number }, reason: string, ...promised: string[]) => {
          const events = [...promised, `${name} refused 46 null`, `their ${name} refused 46 null ${reason}`];
          expect(await watch.sees(c.port, events)).toEqual(events);
          for (const [end, side] of [
            ["client", "ours"],
            ["server", "peers"],
          ] as const)
            expect((await saidAt(end, c.port))[side]).toEqual({
              status: "refused",
              asked: DSCP,
              granted: null,
            });
        };
        const promise = `${name} granted 46 46`;
        await ok(`${name} accept --max 45`, u.server);
        const { c, judged } = await connection("v4");
        expect(judged).toEqual({ ...sample.plain, options: ["fe067c60002e", "fe067c61ffff"] });
        await refused(c, "not-allowed");

        await ok(`${name} ${sample.server}`, u.server);
        const { fd: listener, port } = await u.server.peer.listen(u.server.v4);
        await u.server.peer.setopt(listener, ...OCTET.v4, 8 << 2);
        const client = await u.client.peer.connect(u.server.v4, port);
        const { fd: server } = await u.server.peer.accept(listener);
        await u.exchange({ client, server, listener, port });
        expect(await sample.read(u.server, server, "v4")).toBe(8 << 2);
        await refused({ port }, "application", promise);

        const both = await u.server.peer.listen("::", 0, { v6only: false });
        const mapped = await u.client.peer.connect(u.server.v4, both.port);
        const accepted = await u.server.peer.accept(both.fd);
        await u.exchange({ client: mapped, server: accepted.fd, listener: both.fd, port: both.port });
        await refused(both, "kernel", promise);
      });

      test("a site's own identifier, which a policy file gives it", async () => {
        await set();
        const { stdout: policy } = await ok("export");
        const stdin = `${policy}\n[exid]\ndscp-ask = 0x7d60\n`;
        await ok("apply - --wait", undefined, { stdin });
        const { judged } = await connection("v4");
        expect(judged).toEqual({ ...sample.ruled, options: ["fe067d60002e", "fe067c61002e"] });
        expect((await ok("export")).stdout).toContain("dscp-ask = 0x7d60");
      });

      test("no DSCP at all: malformed, and not answered", async () => {
        await ok(`${name} accept --max 63`, u.server);
        const wire = await u.wire(u.server);
        const { fd: listener, port } = await u.server.peer.listen(wire.kernel.v6);
        const asks = "fe067c600040";
        const synAck = await wire.connect(
          { addr: wire.own.v6, port: 9001 },
          { addr: wire.kernel.v6, port },
          asks,
        );
        await u.server.peer.accept(listener);
        expect(splitOptions(synAck.options).filter(({ kind }) => kind === 254)).toEqual([]);
        const [scope] = (await json("status", u.server)).scopes;
        expect(scope.counters[name]).toMatchObject({ malformed: 1, received: 0, applied: 0, sent: 0 });
      });
    }
  });

  test("both at once, beside the others: a connection has room for the state of all", async () => {
    const together = SAMPLES.filter(({ alone }) => !alone);
    await using tree = await SampleTree.create(u.lab.dir, ...together.map(({ name }) => name));
    await tree.build();
    const { program } = tree;
    const ok = (text: string, { cgroup }: Side) =>
      host.ok([...text.split(" "), "--cgroup", cgroup], { program });
    await ok("uto set 30s", u.client);
    await ok("iw set 40", u.client);
    for (const { name, client, server } of together) {
      await ok(`${name} ${client}`, u.client);
      if (server) await ok(`${name} ${server}`, u.server);
    }
    for (const family of FAMILIES) {
      const c = await connectPeers(u.client.peer, u.server.peer, u.server[family]);
      await u.exchange(c);
      for (const { name, read, ruled, told } of together) {
        const judged = [await read(u.client, c.client, family), await read(u.server, c.server, family)];
        expect([name, ...judged]).toEqual([name, ruled.client, ruled.server]);
        const shown = await host.ok(["connections", "--port", `${c.port}`], {
          program,
          netns: u.client.netns,
        });
        expect(shown.stdout).toContain(told.client[0]);
      }
    }
    await host.ok(["apply", "-", "--wait"], { stdin: "scope = []", program });
  }, 120_000);
});
