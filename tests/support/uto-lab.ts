// SPDX-License-Identifier: MIT
// Two hosts for the tests of `tcpx uto`: a client and a server, each with a network namespace, a cgroup
// that is the scope of its rules, and a peer with its sockets.
import { expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { IPPROTO_TCP, TCP_USER_TIMEOUT } from "./constants.ts";
import {
  type Capture,
  type Connection,
  Lab,
  type LinkEnd,
  type Packet,
  type Peer,
  processesOf,
  sockoptOf,
  type Wire,
} from "./lab.ts";
import { type TcpxOptions, type TcpxResult, tcpx } from "./tcpx.ts";

export interface Side extends LinkEnd {
  peer: Peer;
  /** Path of the cgroup: the scope. */
  cgroup: string;
}

/** Counters of `tcpx status`, such as sent, received, applied. */
export type UtoCounters = Record<string, number>;

/** A command that has to succeed. */
export async function tcpxOk(args: readonly string[], options: TcpxOptions = {}): Promise<TcpxResult> {
  const result = await tcpx(args, options);
  expect(`${args.join(" ")}: exit ${result.code} ${result.stderr}`).toStartWith(`${args.join(" ")}: exit 0`);
  return result;
}

/** What `tcpx status` says about one cgroup; undefined when there is nothing. */
// biome-ignore lint/suspicious/noExplicitAny: a document of the program under test
export async function scopeOf(cgroup: string, command = tcpxOk): Promise<any> {
  return (await command(["status", "--cgroup", cgroup], { json: true })).json.scopes[0];
}

/** The User Timeout Option of a packet in hex, "" without; two of them are separated by a comma. */
export function utoOf(packet: Packet): string {
  const found = packet.optionList.filter((option) => option.kind === 28).map((option) => option.hex);
  return found.join(",");
}

async function linked(lab: Lab): Promise<{ client: LinkEnd; server: LinkEnd }> {
  await lab.netns("client");
  await lab.netns("server");
  const { a, b } = await lab.link("client", "server");
  return { client: a, server: b };
}

export class UtoLab implements AsyncDisposable {
  private readonly scopes = new Set<string>();

  private constructor(
    readonly lab: Lab,
    readonly client: Side,
    readonly server: Side,
  ) {}

  /** The two on one link, or on a path of the lab's own (Lab.routed). */
  static async create(path?: (lab: Lab) => Promise<{ client: LinkEnd; server: LinkEnd }>): Promise<UtoLab> {
    const lab = await Lab.create();
    const { client, server } = await (path ?? linked)(lab);
    const side = async (name: string, end: LinkEnd): Promise<Side> => {
      const cgroup = lab.cgroup(name);
      return { peer: await lab.peer(end.netns, cgroup), cgroup, ...end };
    };
    return new UtoLab(lab, await side("client", client), await side("server", server));
  }

  /** Rules go before the cgroups do: without its cgroup a scope would be left for the next tcpx. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.clear();
    await this.lab[Symbol.asyncDispose]();
  }

  /** `tcpx uto WORDS` in the scope of a side (or of a cgroup). */
  async rule(where: Side | string, words: string): Promise<TcpxResult> {
    const cgroup = typeof where === "string" ? where : where.cgroup;
    this.scopes.add(cgroup);
    return await tcpxOk(["uto", ...words.split(" "), "--cgroup", cgroup, "--wait"], { json: true });
  }

  /**
   * Keeps a side's listeners unarmed by the rules that are made meanwhile: its peer, whose sockets stay
   * in the scope, waits in another cgroup, so that no process of the scope lives in their namespace.
   */
  async unseen<T>(side: Side, work: () => Promise<T>): Promise<T> {
    const away = this.lab.cgroup("away");
    const move = (from: string, to: string) => {
      for (const pid of processesOf(from)) writeFileSync(join(to, "cgroup.procs"), `${pid}`);
    };
    move(side.cgroup, away);
    try {
      return await work();
    } finally {
      move(away, side.cgroup);
    }
  }

  /** Removes the rules of every scope that this lab has used. */
  async clear(): Promise<void> {
    for (const cgroup of this.scopes) {
      await tcpxOk(["uto", "unset", "--all", "--cgroup", cgroup, "--wait"]);
      this.scopes.delete(cgroup);
    }
  }

  /** TCP_USER_TIMEOUT as another process reads it, milliseconds. */
  timeout(side: Pick<Side, "peer">, fd: number): Promise<number> {
    return sockoptOf(side.peer.pid, fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
  }

  async timeouts(c: Connection): Promise<{ client: number; server: number }> {
    return {
      client: await this.timeout(this.client, c.client),
      server: await this.timeout(this.server, c.server),
    };
  }

  async counters(where: Side | string): Promise<UtoCounters> {
    const scope = await scopeOf(typeof where === "string" ? where : where.cgroup);
    expect(scope?.counters.uto).toMatchObject({ errors: 0 });
    return scope.counters.uto;
  }

  /** Requests of the client that the server echoes. */
  async exchange(c: Connection, count = 3): Promise<void> {
    await this.server.peer.echo(c.server);
    await this.client.peer.exchange(c.client, count, 100);
  }

  /** A capture of everything between the two, taken at the client: drops at the server are not missing. */
  capture(): Promise<Capture> {
    return this.lab.capture(this.client.netns, this.client.device);
  }

  /** An nft rule for what arrives at a side; "" takes it away. */
  async filter(side: Side, rule: string): Promise<void> {
    const chain = "type filter hook input priority 0; policy accept;";
    const table = rule && `table inet lab {\n chain c {\n ${chain}\n ${rule}\n }\n}\n`;
    await this.lab.nft(side.netns, `add table inet lab\ndelete table inet lab\n${table}`);
  }

  wire(side: Side): Promise<Wire> {
    return this.lab.wire(side.netns);
  }
}

export interface Trace {
  all: Packet[];
  client: Packet[];
  server: Packet[];
}

/** The packets of one connection, by sender; the port is the listening one. */
export async function trace(capture: Capture, port: number): Promise<Trace> {
  const all = await capture.packets(`tcp.port == ${port}`);
  return {
    all,
    client: all.filter((packet) => packet.dport === port),
    server: all.filter((packet) => packet.sport === port),
  };
}

/**
 * The packets of one sender without what it sent once more: sequence numbers that were there before, or the
 * same ACK again. A machine that stands still lets a timer for lost data expire though none is lost.
 */
export function firsts(packets: readonly Packet[]): Packet[] {
  const ahead = (a: number, b: number) => ((a - b) | 0) > 0; // sequence numbers wrap
  let sent: number | undefined;
  const acks = new Set<number>();
  return packets.filter(({ seq, ack, length, flags }) => {
    const end = seq + length + (/[SF]/.test(flags) ? 1 : 0);
    const isNew = end === seq ? flags !== "A" || !acks.has(ack) : sent === undefined || ahead(end, sent);
    if (end === seq) acks.add(ack);
    else if (isNew) sent = end;
    return isNew;
  });
}
