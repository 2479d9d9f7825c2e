// SPDX-License-Identifier: MIT
// Two hosts inside the guest, and commands of tcpx that have to succeed.

import { IPPROTO_TCP, TCP_USER_TIMEOUT } from "../support/constants.ts";
import { type Connection, connectPeers, Lab, type Peer, until } from "../support/lab.ts";
import { type TcpxOptions, type TcpxResult, tcpx } from "../support/tcpx.ts";

const EXIT_UNSUPPORTED = 3;

/** tcpx says that this kernel cannot do it, and says so with the exit code that is documented for it. */
export class Unsupported extends Error {}

/** The lines of libbpf and the verifier begin with a library's name; the last other line is tcpx's own. */
function reason({ stderr, json }: TcpxResult): string {
  return json?.error?.what ?? stderr.trim().split("\n").at(-1) ?? "";
}

/** A command that has to succeed; what it said goes to the console when it does not. */
export async function tcpxOk(args: string[], options: TcpxOptions = {}): Promise<TcpxResult> {
  const result = await tcpx(args, { json: true, timeoutMs: 80_000, ...options });
  if (result.code === 0) return result;
  console.log(result.stderr.split("\n").slice(-60).join("\n"));
  const text = `tcpx ${args.join(" ")}: exit ${result.code}: ${reason(result)}`;
  throw result.code === EXIT_UNSUPPORTED ? new Unsupported(text) : new Error(text);
}

export function check(good: boolean, otherwise: string): void {
  if (!good) throw new Error(otherwise);
}

/** The value of net.ipv4.tcp_ecn with which both directions negotiate AccECN (Linux 7.0). */
export const TCP_ECN_ACCECN = 3;

export interface Side {
  peer: Peer;
  /** Full name of the network namespace. */
  netns: string;
  device: string;
  /** Path of the cgroup: the scope. */
  cgroup: string;
  v4: string;
  v6: string;
}

export interface Timeouts {
  client: number;
  server: number;
}

/** A client and a server on one link; rules in their scopes go with them. */
export class Pair implements AsyncDisposable {
  private readonly rules = new Set<string>();

  private constructor(
    readonly lab: Lab,
    readonly client: Side,
    readonly server: Side,
  ) {}

  static async create(): Promise<Pair> {
    const lab = await Lab.create();
    await lab.netns("client");
    await lab.netns("server");
    const { a, b } = await lab.link("client", "server");
    const side = async (name: string, { netns, device, v4, v6 }: typeof a): Promise<Side> => {
      const cgroup = lab.cgroup(name);
      return { peer: await lab.peer(netns, cgroup), netns, device, cgroup, v4, v6 };
    };
    return new Pair(lab, await side("client", a), await side("server", b));
  }

  /** `tcpx WORDS` in the scope of a side. */
  async rule({ cgroup }: Side, words: string): Promise<void> {
    const [extension = "", ...rest] = words.split(" ");
    this.rules.add(`${extension} unset --all --cgroup ${cgroup}`);
    await tcpxOk([extension, ...rest, "--cgroup", cgroup]);
  }

  /** Connections negotiate AccECN from here on. False: this kernel cannot. */
  async useAccEcn(): Promise<boolean> {
    const both = [this.client.netns, this.server.netns];
    const set = both.map((netns) => this.lab.sysctl(netns, "net.ipv4.tcp_ecn", TCP_ECN_ACCECN));
    return (await Promise.allSettled(set)).every(({ status }) => status === "fulfilled");
  }

  async clear(): Promise<void> {
    for (const words of this.rules) await tcpxOk(words.split(" "));
    this.rules.clear();
  }

  /** A connection, and a few requests over it that are answered. */
  async connect(addr: string, [from, to]: [Side, Side] = [this.client, this.server]): Promise<Connection> {
    const connection = await connectPeers(from.peer, to.peer, addr);
    await to.peer.echo(connection.server);
    await from.peer.exchange(connection.client, 3, 100);
    return connection;
  }

  /** TCP_USER_TIMEOUT as the getsockopt of the process says, milliseconds. */
  timeoutOf(side: Side, fd: number): Promise<number> {
    return side.peer.getopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
  }

  /** Of a connection from client to server. */
  async timeouts({ client, server }: Connection): Promise<Timeouts> {
    return {
      client: await this.timeoutOf(this.client, client),
      server: await this.timeoutOf(this.server, server),
    };
  }

  /** Throws unless both ends soon have these timeouts. */
  async expectTimeouts(connection: Connection, wanted: Timeouts): Promise<void> {
    let seen: Timeouts | undefined;
    await until(async () => {
      seen = await this.timeouts(connection);
      return seen.client === wanted.client && seen.server === wanted.server;
    });
    check(Bun.deepEquals(seen, wanted), `timeouts ${JSON.stringify(seen)}, not ${JSON.stringify(wanted)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clear();
    await this.lab[Symbol.asyncDispose]();
  }
}
