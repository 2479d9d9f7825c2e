// SPDX-License-Identifier: MIT
// Connections whose segments are signed: TCP-AO covers the options unless its keys leave them out, TCP MD5 does not.

import { type AoKey, setAoKey, setMd5Key } from "../support/keys.ts";
import { type Connection, until } from "../support/lab.ts";
import { Watch } from "../support/watch-lab.ts";
import { degrades, type Result, works } from "./report.ts";
import { check, Pair, type Side, tcpxOk } from "./support.ts";

type Family = "v4" | "v6";
/** Puts a key on a socket for what it exchanges with an address; false: this kernel cannot. */
type Sign = (side: Side, fd: number, address: string) => Promise<boolean>;

const ao =
  (key: AoKey = {}): Sign =>
  ({ peer }, fd, address) =>
    setAoKey(peer, fd, address, key);
const md5: Sign = async ({ peer }, fd, address) => {
  await setMd5Key(peer, fd, address);
  return true;
};

const EXTENSIONS = ["uto", "cc-request", "iw", "ack"] as const;

/** In one command, as guests are slow: the client asks for everything, the server grants it. */
const policy = ({ client, server }: Pair) => `
[[scope]]
cgroup = "${client.cgroup}"
uto = [{ set = "30s" }]
cc-request = [{ set = "reno" }]
iw = [{ set = 40 }]
ack = [{ request = true, every = 4 }]
[[scope]]
cgroup = "${server.cgroup}"
uto = [{ accept = true, min = "1s" }]
cc-request = [{ accept = "reno" }]
iw = [{ accept = true, max = 32 }]
ack = [{ accept = true, max-every = 1 }]
`;
const apply = (text: string) => tcpxOk(["apply", "-"], { stdin: text });

async function haveAo(pair: Pair): Promise<boolean> {
  const fd = await pair.client.peer.socket(4);
  return await ao()(pair.client, fd, pair.server.v4);
}

/** A connection with some exchanges, whose both ends sign. */
async function connect(pair: Pair, sign: Sign, family: Family): Promise<Connection> {
  const { client, server } = pair;
  const listener = await server.peer.socket(family === "v4" ? 4 : 6);
  const port = await server.peer.bind(listener, server[family]);
  await sign(server, listener, client[family]);
  await server.peer.listenFd(listener);
  const fd = await client.peer.socket(family === "v4" ? 4 : 6);
  await sign(client, fd, server[family]);
  await client.peer.connectFd(fd, server[family], port);
  const c = { listener, port, client: fd, server: (await server.peer.accept(listener)).fd };
  await server.peer.echo(c.server);
  await client.peer.exchange(c.client, 5, 100);
  return c;
}

/** Segments that either end has thrown away for their signature, and those sent again. */
async function trouble(pair: Pair): Promise<number> {
  let total = 0;
  for (const { netns } of [pair.client, pair.server]) {
    const lines = (await pair.lab.exec(netns, ["cat", "/proc/net/netstat", "/proc/net/snmp"])).split("\n");
    for (const name of ["TCPAOBad", "TCPAOKeyNotFound", "TCPMD5Failure", "RetransSegs"]) {
      const at = lines.findIndex((line) => line.split(" ").includes(name));
      if (at >= 0) total += Number(lines[at + 1]!.split(" ")[lines[at]!.split(" ").indexOf(name)]);
    }
  }
  return total;
}

async function untroubled<T>(pair: Pair, what: string, work: () => Promise<T>): Promise<T> {
  const before = await trouble(pair);
  const value = await work();
  const after = await trouble(pair);
  check(after === before, `${what}: ${after - before} segments were thrown away, or sent again`);
  return value;
}

type Counts = Record<"sent" | "no_room" | "withheld", number[]>;

/** By extension. */
async function counted({ cgroup }: Side): Promise<Counts> {
  const { json } = await tcpxOk(["status", "--cgroup", cgroup]);
  const of = (name: string) => EXTENSIONS.map((extension) => json.scopes[0].counters[extension][name]);
  return { sent: of("sent"), no_room: of("no_room"), withheld: of("withheld") };
}

const more = (now: number[], before: number[]) => now.map((n, i) => n - before[i]!);

/** What `tcpx connections` says of a side's only connection on a port. */
async function said({ netns, cgroup }: Side, port: number) {
  const { json } = await tcpxOk(["connections", "--cgroup", cgroup, "--port", `${port}`], { netns });
  check(json.count === 1, `${json.count} connections on port ${port}`);
  return json.connections[0].extensions;
}

const same = (seen: unknown, wanted: unknown, what: string) =>
  check(Bun.deepEquals(seen, wanted), `${what}: ${JSON.stringify(seen)}, not ${JSON.stringify(wanted)}`);

/** The options of a SYN that the client sends to an endpoint in user space. */
async function synOf(pair: Pair, sign: Sign): Promise<string> {
  const { peer, netns } = pair.client;
  const wire = await pair.lab.wire(netns);
  await wire.listen(wire.own.v4, 4001);
  const fd = await peer.socket(4);
  await sign(pair.client, fd, wire.own.v4);
  const connecting = peer.connectFd(fd, wire.own.v4, 4001).catch(() => undefined);
  const { flow, options } = await wire.expect();
  await wire.rst(flow);
  await peer.close(fd);
  await connecting;
  return options;
}

/** TCP MD5: 8 bytes are left on a SYN, for the user timeout and no request. Returns what the client has counted. */
async function withMd5(pair: Pair): Promise<Counts> {
  const syn = await synOf(pair, md5);
  check(/1312.*1c04001e/.test(syn) && !syn.includes("fe06"), `the SYN has ${syn}`);
  const counts = await counted(pair.client);
  same(counts, { sent: [1, 0, 0, 0], no_room: [0, 1, 1, 1], withheld: [0, 0, 0, 0] }, "one SYN with MD5");
  for (const family of ["v4", "v6"] as const) {
    const c = await untroubled(pair, `MD5 ${family}`, () => connect(pair, md5, family));
    await pair.expectTimeouts(c, { client: 30_000, server: 30_000 });
    check((await pair.server.peer.getcc(c.server)) === "reno", `${family}: reno was not granted`);
  }
  return await counted(pair.client);
}

const WITHHELD = [
  "ack withheld {} null signed",
  "cc-request withheld reno null signed",
  "iw withheld 40 null signed",
  "uto withheld 30000 null signed",
];

/** Nothing of ours is on a connection whose keys cover options, and why is told. Returns the last one. */
async function covered(pair: Pair, before: Counts): Promise<Connection> {
  const watch = await Watch.start(pair.lab, ["--cgroup", pair.client.cgroup]);
  let last: Connection | undefined;
  for (const family of ["v4", "v6"] as const) {
    const c = await untroubled(pair, `AO ${family}`, () => connect(pair, ao(), family));
    last = c;
    await pair.expectTimeouts(c, { client: 30_000, server: 0 });
    await until(() => watch.of(c.port).length >= WITHHELD.length, 15_000);
    same(
      watch.of(c.port).map((line) => line.replace(/\{.*?\}/, "{}")),
      WITHHELD,
      `watch, ${family}`,
    );
  }
  await watch.end();
  const extensions = await said(pair.client, last!.port);
  const ours = EXTENSIONS.map((name) => extensions[name].ours.status);
  same(
    ours,
    EXTENSIONS.map(() => "withheld"),
    "connections",
  );
  const counts = await counted(pair.client);
  same(more(counts.withheld, before.withheld), [2, 2, 2, 2], "withheld by the client");
  same(counts.sent, before.sent, "sent by the client");
  return last!;
}

/** --live: what would be said on such a connection is not, and that is told; on the two with MD5 it is. */
async function live(pair: Pair, c: Connection): Promise<void> {
  const { netns } = pair.client;
  const place = ["--cgroup", pair.client.cgroup, "--live"];
  await untroubled(pair, "--live", async () => {
    const uto = await tcpxOk(["uto", "set", "20s", ...place], { netns });
    same([uto.json.live.announced, uto.json.live.not_announced], [2, 2], "uto announced, and not");
    const ack = await tcpxOk(["ack", "request", "--every", "5", ...place], { netns });
    same([ack.json.live.announced, ack.json.live.skipped.signed], [2, 2], "ack announced, and not");
    await pair.client.peer.exchange(c.client, 5, 100);
  });
}

/** Keys that leave options out: all is said, where it fits beside the signature. */
async function uncovered(pair: Pair): Promise<void> {
  const before = await counted(pair.client);
  const key = ao({ withoutOptions: true });
  for (const family of ["v4", "v6"] as const) {
    const c = await untroubled(pair, `AO without options, ${family}`, () => connect(pair, key, family));
    await pair.expectTimeouts(c, { client: 20_000, server: 20_000 });
    check((await pair.server.peer.getcc(c.server)) === "reno", `${family}: reno was not granted`);
  }
  const then = await counted(pair.client);
  same(then.withheld, before.withheld, "withheld by the client");
  // a SYN has 4 bytes left
  check(then.no_room[0] === before.no_room[0], "no room for the user timeout");
  // a signature of 16 bytes leaves none on a SYN, and then the kernel asks nobody
  const full = ao({ withoutOptions: true, maclen: 16 });
  const c = await untroubled(pair, "a full SYN", () => connect(pair, full, "v4"));
  await pair.expectTimeouts(c, { client: 20_000, server: 20_000 });
  const now = await counted(pair.client);
  same(more(now.no_room, then.no_room)[0], 1, "no room on a full SYN");
}

/** The SYN-ACK and what follows, of a server that has something to say by itself. */
async function server(pair: Pair): Promise<void> {
  await apply(`[[scope]]\ncgroup = "${pair.server.cgroup}"\nuto = [{ set = "40s" }]\n`);
  const c = await untroubled(pair, "a server's SYN-ACK", () => connect(pair, ao(), "v4"));
  same((await said(pair.server, c.port)).uto.ours.status, "withheld", "the server's connection");
  const { sent, withheld } = await counted(pair.server);
  same([sent[0], withheld[0]], [0, 1], "the server");
}

export async function signedSegments(): Promise<Result> {
  await using pair = await Pair.create();
  try {
    await apply(policy(pair));
    const counts = await withMd5(pair);
    if (!(await haveAo(pair))) return degrades("TCP MD5 only");
    await live(pair, await covered(pair, counts));
    await uncovered(pair);
    await server(pair);
    return works("TCP MD5, TCP-AO");
  } finally {
    await apply("scope = []");
  }
}
