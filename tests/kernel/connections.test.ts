// SPDX-License-Identifier: MIT
// `tcpx connections` beside what ss and getsockopt say of the same sockets.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { bridge } from "../../cli/bridge/bridge.ts";
import { listSockets } from "../../cli/observe/iterate.ts";
import { IPPROTO_TCP, TCP_CONGESTION } from "../support/constants.ts";
import { ssInfo } from "../support/judges.ts";
import { type Connection, connectPeers, enter, Lab, type Peer, until } from "../support/lab.ts";
import { algorithmRequirement, DEFAULT, RequestLab } from "../support/request-lab.ts";
import { describeIf, every, labRequirement } from "../support/requires.ts";
import { tcpx, tcpxPath } from "../support/tcpx.ts";
import { type Side, tcpxOk } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, algorithmRequirement("cubic"), algorithmRequirement("reno"));

interface Endpoint {
  address: string;
  port: number;
}

// biome-ignore lint/suspicious/noExplicitAny: a document of the program under test
type Row = any;

const NOTHING = { status: "none", asked: null, granted: null };
const NO_RULE = { status: "none", rule: null, applied: null, reason: null };
/** Nothing asked by either side, and no rule of our own. */
const SILENT = { ours: NOTHING, peers: NOTHING, local: NO_RULE };

describeIf(needs.ok, needs.reason)("tcpx connections", () => {
  let r: RequestLab;

  beforeAll(async () => {
    r = await RequestLab.create();
  });
  afterEach(() => r.clear());
  afterAll(() => r[Symbol.asyncDispose]());

  async function rows(where: Pick<Side, "netns">, args: string[]): Promise<Row[]> {
    const { json } = await tcpxOk(["connections", ...args], { netns: where.netns, json: true });
    expect(json.count).toBe(json.connections.length);
    return json.connections;
  }

  const inScope = (side: Side, ...args: string[]) => rows(side, ["--cgroup", side.cgroup, ...args]);
  const port = (c: Connection) => ["--port", `${c.port}`];

  /** The one connection of a side through this listener. */
  async function only(side: Side, c: Connection): Promise<Row> {
    const found = await inScope(side, ...port(c));
    expect(found.length).toBe(1);
    return found[0];
  }

  const text = ({ address, port }: Endpoint) => `${address.includes(":") ? `[${address}]` : address}:${port}`;

  test("addresses, states and settings are those of ss", async () => {
    await r.usual();
    await r.rule(r.client, "uto set 30s");
    const made = [await r.open("v4"), await r.open("v6"), await r.open("v4")];
    for (const c of made) await r.exchange(c);
    await r.client.peer.shutdown(made[2]!.client);
    const acknowledged = async () => (await ssInfo(r.client.netns, ["state", "fin-wait-2"])).length > 0;
    expect(await until(acknowledged)).toBe(true);
    for (const side of [r.client, r.server]) {
      const ports = new Set(made.map((c) => c.port));
      const theirs = await ssInfo(side.netns);
      const seen = theirs.filter(({ local, peer }) =>
        [local, peer].some((end) => ports.has(Number(end.split(":").at(-1)))),
      );
      const ours = (await Promise.all(made.map((c) => inScope(side, ...port(c))))).flat();
      expect(ours.length).toBe(3);
      const names: Record<string, string> = {
        ESTAB: "established",
        "CLOSE-WAIT": "close-wait",
        "FIN-WAIT-2": "fin-wait-2",
      };
      const judged = seen.map(({ state, local, peer, info, raw }) => ({
        state: names[state],
        local,
        peer,
        cc: / (cubic|reno) /.exec(raw)?.[1],
        cwnd: Number(info.cwnd),
        rtt: Number(info.rtt?.split("/")[0]),
      }));
      const said = ours.map((row: Row) => ({
        state: row.state,
        local: text(row.local),
        peer: text(row.peer),
        cc: row.congestion_control,
        cwnd: row.cwnd,
        rtt: row.rtt_us / 1000,
      }));
      const sort = (list: { local: string; peer: string }[]) =>
        list.map((entry) => JSON.stringify(entry)).sort();
      expect(sort(said)).toEqual(sort(judged));
    }
    const [first] = made;
    expect((await only(r.client, first!)).user_timeout_ms).toBe(30_000);
    expect((await only(r.client, first!)).user_timeout_ms).toBe(await r.u.timeout(r.client, first!.client));
  });

  test("both sides of granted requests", async () => {
    await r.usual();
    await r.rule(r.client, "uto set 30s");
    await r.rule(r.server, "uto accept --min 40s");
    await r.rule(r.client, "ack request --every 16");
    await r.rule(r.server, "ack accept --max-every 8 --max-delay 40ms");
    const c = await r.open();
    await r.exchange(c);
    const client = await only(r.client, c);
    expect(client).toMatchObject({
      direction: "opened",
      user_timeout_ms: 30_000,
      congestion_control: "reno",
    });
    expect(client.extensions).toEqual({
      uto: {
        ours: { status: "asked", asked: { timeout_ms: 30_000 }, granted: null },
        peers: NOTHING,
        local: {
          ...{
            status: "applied",
            rule: { timeout_ms: 30_000 },
            applied: { timeout_ms: 30_000 },
            reason: null,
          },
        },
      },
      "cc-request": {
        ...SILENT,
        ours: { status: "granted", asked: { algorithm: "cubic" }, granted: { algorithm: "cubic" } },
      },
      iw: { ...SILENT, ours: { status: "granted", asked: { segments: 40 }, granted: { segments: 32 } } },
      ack: {
        ...SILENT,
        ours: {
          status: "granted",
          asked: { every: 16, divisor: 0 },
          granted: { every: 8, divisor: 0 },
        },
        strategy: null,
      },
    });
    const server = await only(r.server, c);
    expect(server).toMatchObject({
      direction: "accepted",
      user_timeout_ms: 40_000,
      congestion_control: "cubic",
    });
    expect(server.delayed_ack_max_us).toBe(40_000);
    expect(server.extensions).toMatchObject({
      uto: {
        ours: NOTHING,
        peers: { status: "granted", asked: { timeout_ms: 30_000 }, granted: { timeout_ms: 40_000 } },
      },
      "cc-request": {
        ours: NOTHING,
        peers: { status: "granted", asked: { algorithm: "cubic" }, granted: { algorithm: "cubic" } },
      },
      iw: { ours: NOTHING, peers: { status: "granted", asked: { segments: 40 }, granted: { segments: 32 } } },
      ack: { ours: NOTHING, peers: { status: "granted" }, strategy: { every: 8, delay_us: 40_000 } },
    });
  });

  test("refused by either side, and not answered at all", async () => {
    await r.rule(r.client, "cc-request set cubic");
    await r.rule(r.client, "iw set 20");
    await r.rule(r.server, "cc-request accept reno");
    const c = await r.open();
    await r.exchange(c);
    const { extensions } = await only(r.client, c);
    expect(extensions["cc-request"].ours).toEqual({
      status: "refused",
      asked: { algorithm: "cubic" },
      granted: null,
    });
    expect(extensions.iw.ours).toEqual({ status: "unanswered", asked: { segments: 20 }, granted: null });
    expect((await only(r.server, c)).extensions["cc-request"].peers.status).toBe("refused");
    await r.clear();
    await r.rule(r.client, "iw set 20");
    const alone = await r.open();
    expect((await only(r.client, alone)).extensions.iw.ours.status).toBe("asked");
    expect((await only(r.server, alone)).extensions.iw).toEqual(SILENT);
  });

  test("a user timeout that the application has chosen is denied to the peer", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.rule(r.server, "uto accept --min 5s");
    const { fd, port: at } = await r.server.peer.listen(r.server.v4);
    await r.server.peer.setopt(fd, IPPROTO_TCP, 18, 12_345);
    const [client, accepted] = await Promise.all([
      r.client.peer.connect(r.server.v4, at),
      r.server.peer.accept(fd),
    ]);
    const row = await only(r.server, { listener: fd, port: at, client, server: accepted.fd });
    expect(row.user_timeout_ms).toBe(12_345);
    expect(row.extensions.uto.peers).toEqual({
      status: "refused",
      asked: { timeout_ms: 30_000 },
      granted: null,
    });
  });

  test("a scope has the connections of the scopes below it, and no others", async () => {
    const inner = r.lab.cgroup("inner", r.client.cgroup);
    const other = r.lab.cgroup("other");
    const peers = [r.client.peer, await r.lab.peer("client", inner), await r.lab.peer("client", other)];
    const made: Connection[] = [];
    for (const peer of peers) made.push(await connectPeers(peer, r.server.peer, r.server.v4));
    const listed = async (...args: string[]) =>
      (await rows(r.client, [...args, "--port", made.map((c) => c.port).join()])).map((row) =>
        made.findIndex((c) => c.port === row.peer.port),
      );
    const sorted = async (...args: string[]) => (await listed(...args)).sort();
    expect(await sorted("--cgroup", r.client.cgroup)).toEqual([0, 1]);
    expect(await sorted("--cgroup", inner)).toEqual([1]);
    expect(await sorted("--cgroup", other)).toEqual([2]);
    expect(await sorted()).toEqual([0, 1, 2]);
    const [row] = await rows(r.client, ["--cgroup", inner]);
    expect(row.cgroup_id).toBe(`${(await Bun.file(inner).stat()).ino}`);
  });

  test("IPv4 on an IPv6 socket is IPv4, and says so", async () => {
    const { fd, port: at } = await r.server.peer.listen("::", 0, { v6only: false });
    const [client, accepted] = await Promise.all([
      r.client.peer.connect(r.server.v4, at),
      r.server.peer.accept(fd),
    ]);
    const c = { listener: fd, port: at, client, server: accepted.fd };
    const row = await only(r.server, c);
    expect(row).toMatchObject({ family: 4, mapped: true, local: { address: r.server.v4, port: at } });
    expect(await only(r.client, c)).toMatchObject({ family: 4, mapped: false });
    expect((await inScope(r.server, "--from", r.client.v4, ...port(c))).length).toBe(1);
  });

  test("filters", async () => {
    const [v4, v6] = [await r.open("v4"), await r.open("v6")];
    const count = async (side: Side, ...args: string[]) => (await inScope(side, ...args)).length;
    const both = ["--port", `${v4.port},${v6.port}`];
    expect(await count(r.client, ...both)).toBe(2);
    expect(await count(r.client, ...both, "--to", r.server.v4)).toBe(1);
    expect(await count(r.client, ...both, "--to", `${r.server.v4},${r.server.v6}`)).toBe(2);
    expect(await count(r.client, ...both, "--from", r.server.v4)).toBe(0);
    expect(await count(r.server, ...both, "--from", r.client.v6)).toBe(1);
    expect(await count(r.server, ...both, "--to", "::/0")).toBe(0);
    expect(await count(r.server, ...both, "--state", "established")).toBe(2);
    expect(await count(r.server, ...both, "--state", "close-wait")).toBe(0);
    await r.client.peer.shutdown(v4.client);
    await r.server.peer.waitError(v4.server, 100);
    expect(await count(r.server, ...both, "--state", "close-wait")).toBe(1);
    expect(await count(r.client, ...both, "--state", "fin-wait-2")).toBe(1);
  });

  test("connections older than the first rule: the direction is known by the listener", async () => {
    const c = await r.open();
    await r.usual();
    for (const [side, direction] of [[r.client, "opened"] as const, [r.server, "accepted"] as const]) {
      const row = await only(side, c);
      expect(row).toMatchObject({ direction, scope_id: null, congestion_control: DEFAULT.cc });
      for (const name of ["uto", "cc-request", "iw"]) {
        expect(row.extensions[name]).toEqual(SILENT);
      }
    }
  });

  test("a connect() under way", async () => {
    await r.filter(r.server, "tcp dport 7 drop");
    await r.rule(r.client, "iw set 20");
    const fd = await r.client.peer.socket(4);
    await r.client.peer.connectFd(fd, r.server.v4, 7, 50).catch(() => {});
    const [row] = await inScope(r.client, "--port", "7");
    expect(row).toMatchObject({ state: "syn-sent", direction: "opened", rtt_us: null });
    expect(row.extensions.iw.ours.status).toBe("asked");
    await r.filter(r.server, "");
  });

  test("namespaces: the caller's, those of the scope's processes, and all", async () => {
    const c = await r.open();
    const empty = await r.lab.netns("empty");
    expect((await rows({ netns: empty }, port(c))).length).toBe(0);
    const scope = ["--cgroup", r.server.cgroup, ...port(c)];
    expect((await rows({ netns: empty }, scope)).map((row) => row.direction)).toEqual(["accepted"]);
    const everywhere = await rows({ netns: empty }, ["--all-netns", ...port(c)]);
    expect(everywhere.map((row) => row.direction).sort()).toEqual(["accepted", "opened"]);
    expect(new Set(everywhere.map((row) => row.netns)).size).toBe(2);
    const { stdout } = await tcpxOk(["connections", "--table", "--all-netns", ...port(c)], { netns: empty });
    for (const row of everywhere) expect(stdout).toContain(`\nnetns ${row.netns}\n`);
  });

  test("the program for old kernels finds the same", async () => {
    await r.usual();
    await r.exchange(await r.open("v4"));
    await r.exchange(await r.open("v6"));
    const lib = await bridge();
    for (const side of [r.client, r.server]) {
      const path = `/run/netns/${side.netns}`;
      const where = [{ path, inode: statSync(path).ino }];
      const bytes = async (name: string, noReads = false) =>
        (await listSockets(lib, 0n, where, [{ name, noReads }])).bytes.toHex();
      const usual = await bytes("list");
      expect(usual.length).toBeGreaterThan(0);
      expect(await bytes("list_by_hand")).toBe(usual);
      // where nothing asks for routes of single connections, all is there without reads
      expect(await bytes("list", true)).toHaveLength(usual.length);
    }
  });

  test("the table fits into 80 columns with everything negotiated over IPv6", async () => {
    await r.usual();
    for (const words of ["uto set 1h", "ack request --every 64 --delay rtt/16", "uto accept"]) {
      await r.rule(r.client, words);
      await r.rule(r.server, words.startsWith("ack") ? "ack accept --max-every 32" : words);
    }
    await r.exchange(await r.open("v6"));
    for (const side of [r.client, r.server]) {
      const { stdout } = await tcpxOk(["connections", "--table", "--cgroup", side.cgroup], {
        netns: side.netns,
      });
      const lines = stdout.split("\n");
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
      expect(stdout).toContain("uto asked 1h");
    }
  });

  test("a line per connection: by default in a pipe, with all that the document has", async () => {
    await r.usual();
    await r.rule(r.client, "uto set 1h");
    const made = [await r.open("v4"), await r.open("v6")];
    for (const c of made) await r.exchange(c);
    const words = ["connections", "--cgroup", r.client.cgroup, "--port", made.map((c) => c.port).join()];
    const { stdout } = await tcpxOk(words, { netns: r.client.netns });
    expect((await tcpxOk([...words, "--oneline"], { netns: r.client.netns })).stdout).toBe(stdout);
    const lines = stdout.trimEnd().split("\n");
    const rowsOf = await rows(r.client, words.slice(1));
    expect(lines.length).toBe(rowsOf.length);
    for (const [i, row] of rowsOf.entries()) {
      const [place = "", ...said] = lines[i]!.split(", ");
      const [state, local, sign, peer, ...settings] = place.split(" ");
      expect([state, local, sign, peer]).toEqual([row.state, text(row.local), ">", text(row.peer)]);
      const pairs = new Map(settings.flatMap((word, n) => (n % 2 ? [] : [[word, settings[n + 1]!]])));
      expect([...pairs.keys()]).toEqual(["netns", "timeout", "congestion", "cwnd", "rtt", "delack"]);
      expect([pairs.get("netns"), pairs.get("timeout"), pairs.get("congestion")]).toEqual([
        `${row.netns}`,
        "1h",
        row.congestion_control,
      ]);
      expect(said).toEqual([
        "uto asked 1h",
        "uto set 1h",
        "cc-request granted cubic",
        "iw granted 32 (asked 40)",
      ]);
    }
  });

  test("on a terminal it is the table, unless one line each is asked for", async () => {
    const c = await r.open();
    const onTerminal = (...flags: string[]) => {
      const words = [tcpxPath(), "connections", ...port(c), ...flags].join(" ");
      const argv = enter(["script", "-qec", words, "/dev/null"], { netns: r.client.netns });
      const { stdout } = Bun.spawnSync(argv, { env: { ...process.env, NO_COLOR: "1" }, stdin: "ignore" });
      return stdout.toString().replaceAll("\r", "").trimEnd().split("\n");
    };
    expect(onTerminal()[0]).toStartWith("STATE ");
    expect(onTerminal("--oneline")).toEqual([expect.stringMatching(/^established .* > .* delack \S+$/)]);
    const { code, stderr } = await tcpx(["connections", "--oneline", "--table"]);
    expect([code, stderr]).toEqual([2, "tcpx: --oneline and --table exclude each other; give one\n"]);
  });

  test("twice the same, and the sockets stay as they are", async () => {
    const c = await r.open();
    const before = await r.client.peer.tcpInfo(c.client);
    const once = await inScope(r.client);
    expect(await inScope(r.client)).toEqual(once);
    const after = await r.client.peer.tcpInfo(c.client);
    expect([after.state, after.snd_cwnd]).toEqual([before.state!, before.snd_cwnd!]);
    expect(await r.client.peer.getoptHex(c.client, IPPROTO_TCP, TCP_CONGESTION)).toStartWith(
      Buffer.from(DEFAULT.cc).toString("hex"),
    );
  });

  test("a reader that has gone is no error, a full disk is one", async () => {
    await r.open();
    const sh = (script: string) => {
      const argv = ["bash", "-c", script, tcpxPath()];
      const { stderr } = Bun.spawnSync(enter(argv, { netns: r.client.netns }), { stdin: "ignore" });
      return stderr.toString().trim();
    };
    for (const flag of ["", "--json"]) {
      expect(sh(`("$0" connections ${flag}; echo $? >&2) | (exec <&-; sleep 1)`)).toBe("0");
      const [message, code] = sh(`"$0" connections ${flag} >/dev/full; echo $? >&2`).split("\n");
      expect(message).toStartWith("tcpx: stdout cannot be written: ENOSPC");
      expect(code).toBe("1");
    }
  });

  test("what is wrong is named, before anything is asked of the kernel", async () => {
    const cases: [string, string][] = [
      ["--state listen", "'listen'"],
      ["--state established,", "has ''"],
      ["--to example.org", "'example.org'"],
      ["--port 0", "'0'"],
      ["--cgroup /nowhere", "/nowhere"],
      ["all", "'all'"],
    ];
    for (const [words, named] of cases) {
      const { code, stderr } = await tcpx(["connections", ...words.split(" ")], { netns: r.client.netns });
      expect([words, code]).toEqual([words, 2]);
      expect(stderr).toContain(named);
      expect(stderr.trim().split("\n").length).toBe(1);
    }
    const { code } = await tcpx(["connections"], { wrap: ["setpriv", "--reuid", "65534", "--clear-groups"] });
    expect(code).toBe(4);
  });
});

describeIf(labRequirement.ok, labRequirement.reason)("tcpx connections without rules", () => {
  test("none at all on this host, or none of ours: everything is none", async () => {
    await using lab = await Lab.create();
    const netns = await lab.netns("alone");
    const peer: Peer = await lab.peer("alone", lab.cgroup("alone"));
    await connectPeers(peer, peer, "127.0.0.1");
    const { json } = await tcpxOk(["connections"], { netns, json: true });
    expect(json.connections.map((row: Row) => row.direction).sort()).toEqual(["accepted", "opened"]);
    for (const { scope_id, extensions } of json.connections) {
      expect(scope_id).toBeNull();
      for (const said of Object.values(extensions))
        expect(said).toMatchObject({ ours: NOTHING, peers: NOTHING });
    }
    const empty = await lab.netns("empty");
    const said = async (...flags: string[]) => {
      const { stdout, stderr } = await tcpxOk(["connections", ...flags], { netns: empty });
      return [stdout, stderr];
    };
    expect(await said("--table")).toEqual(["no connections\n", ""]);
    expect(await said()).toEqual(["", "tcpx: no connections\n"]); // a script counts lines
    expect(await said("--oneline", "--quiet")).toEqual(["", ""]);
  });
});
