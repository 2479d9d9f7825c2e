// SPDX-License-Identifier: MIT
// First flights over a veth pair, as super-packets: how many bytes share one TCP header, with options
// on the data and without.
//
// Options of tcpx are on data only until the first of it is acknowledged, so a flight is one write right
// after the handshake, on a new connection each.

import type { Packet } from "./lab.ts";
import { run } from "./process.ts";
import { RequestLab } from "./request-lab.ts";

export const MSS = 1448;

/** Who merges: TSO leaves the cutting to the device, GRO puts together what has arrived in pieces. */
export type Merger = "TSO" | "GRO";

export interface Flight {
  /** Data at the sender's device and at the receiver's. */
  sent: Packet[];
  received: Packet[];
}

export class Merging implements AsyncDisposable {
  private port = 7400;

  private constructor(readonly r: RequestLab) {}

  static async create(): Promise<Merging> {
    return new Merging(await RequestLab.create());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.r[Symbol.asyncDispose]();
  }

  async use(merger: Merger): Promise<void> {
    const { client, server } = this.r;
    const tso = merger === "TSO" ? "on" : "off";
    const gro = merger === "GRO" ? "on" : "off";
    const set = (netns: string, device: string, ...words: string[]) =>
      run(["ethtool", "-K", device, ...words], { netns });
    await set(client.netns, client.device, "tso", tso, "gso", "on");
    await set(server.netns, server.device, "gro", gro);
  }

  /** `count` new connections, one after the other, each with one write of these bytes from the client. */
  async flights(count: number, bytes: number): Promise<Flight> {
    const { client, server, lab } = this.r;
    const captures = [
      await lab.capture(client.netns, client.device),
      await lab.capture(server.netns, server.device),
    ];
    const first = this.port + 1;
    for (let i = 0; i < count; i++) await this.flight(bytes);
    const filter = `tcp.len > 0 && tcp.dstport >= ${first} && tcp.dstport <= ${this.port}`;
    for (const capture of captures) await capture.stop();
    const [sent = [], received = []] = await Promise.all(captures.map((capture) => capture.packets(filter)));
    return { sent, received };
  }

  private async flight(bytes: number): Promise<void> {
    const { client, server } = this.r;
    const c = await this.r.open("v4", { port: ++this.port });
    await Promise.all([client.peer.send(c.client, bytes), server.peer.recv(c.server, bytes)]);
    await client.peer.close(c.client);
    await server.peer.close(c.server);
    await server.peer.close(c.listener);
  }
}
