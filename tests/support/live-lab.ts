// SPDX-License-Identifier: MIT
// What the tests of --live share: the two hosts of the request tests, and connections between them that end
// with their test.
import { capOf, DEFAULT_CAP } from "./ack-lab.ts";
import { type Connection, congestionOf } from "./lab.ts";
import { DEFAULT, RequestLab } from "./request-lab.ts";
import type { Side } from "./uto-lab.ts";

/** Settings of a connection that nobody has touched. */
export const STOCK = [0, DEFAULT.cc, DEFAULT_CAP];

export class LiveLab implements AsyncDisposable {
  private readonly connections: Connection[] = [];

  private constructor(readonly r: RequestLab) {}

  static async create(): Promise<LiveLab> {
    return new LiveLab(await RequestLab.create());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.r[Symbol.asyncDispose]();
  }

  /** After each test. */
  async clear(): Promise<void> {
    for (const c of this.connections.splice(0)) {
      await this.r.client.peer.reset(c.client); // no test's connection is another one's bystander
      await this.r.server.peer.close(c.listener);
    }
    await this.r.clear();
  }

  /** A connection with some exchanges. */
  async opened(family: "v4" | "v6" = "v4", port = 0): Promise<Connection> {
    const c = await this.r.open(family, { port });
    this.connections.push(c);
    await this.r.exchange(c, 2);
    return c;
  }

  /** A rule command with --live; what it says about connections. */
  async live(where: Side | string, words: string) {
    return (await this.r.rule(where, `${words} --live`)).json.live;
  }

  /** What another process reads from a socket: user timeout, congestion control, delayed-ACK cap. */
  async settings(side: Pick<Side, "peer">, fd: number) {
    return [await this.r.u.timeout(side, fd), await congestionOf(side.peer.pid, fd), await capOf(side, fd)];
  }
}
