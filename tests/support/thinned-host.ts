// SPDX-License-Identifier: MIT
// Hosts that download from one sender, each in a network namespace and a scope of its own, thinned by the
// real command and its agent.
import { AgentHost } from "./agent-host.ts";
import {
  attempts,
  type Capture,
  type Connection,
  connectPeers,
  type Lab,
  type LinkEnd,
  type Peer,
} from "./lab.ts";
import type { ConnectOptions } from "./peer.ts";

export interface Receiver extends LinkEnd {
  peer: Peer;
  cgroup: string;
  /** The sender's end of the link. */
  sender: LinkEnd;
}

/** What `tcpx ack show` counts for a rule. */
export interface Counts {
  passed: number;
  dropped: number;
  flushed: number;
  reasons: Record<string, number>;
}

export interface Download extends ConnectOptions {
  v6?: boolean;
  /** The sender opens the connection. */
  passive?: boolean;
  /** An IPv4 connection of an IPv6 socket at the receiver. */
  mapped?: boolean;
}

/** Ends of a connection by what they do, not by who opened it. */
export interface Flow {
  from: number;
  to: number;
  /** The sender's port. */
  port: number;
}

export class ThinnedHost implements AsyncDisposable {
  private constructor(
    readonly a: AgentHost,
    readonly sender: Peer,
    readonly receivers: readonly Receiver[],
  ) {}

  static async create(count = 1): Promise<ThinnedHost> {
    const a = await AgentHost.create();
    const { lab } = a;
    const sender = await lab.netns("sender");
    const receivers: Receiver[] = [];
    for (let i = 0; i < count; i++) {
      const netns = await lab.netns(`receiver${i}`);
      const { a: near, b } = await lab.link("sender", `receiver${i}`);
      const cgroup = lab.cgroup(`scope${i}`, a.outer);
      receivers.push({ ...b, sender: near, cgroup, peer: await lab.peer(netns, cgroup) });
      // a process of the private host, by which its agent finds the namespace
      lab.spawn([...a.host.wrap, "sleep", "600"], { netns });
    }
    const host = new ThinnedHost(a, await lab.peer(sender), receivers);
    await host.segments(1);
    return host;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.a[Symbol.asyncDispose]();
  }

  get lab(): Lab {
    return this.a.lab;
  }

  get first(): Receiver {
    return this.receivers[0]!;
  }

  /** How many segments a packet of the sender has at the most; the device's own limit is 65535. */
  async segments(most: number): Promise<void> {
    for (const { sender } of this.receivers) {
      const set = ["ip", "link", "set", sender.device, "gso_max_segs", `${most}`];
      await this.lab.exec(sender.netns, set);
    }
  }

  /** A connection that exists when a rule does gets it. */
  async open(r: Receiver, how: Download = {}): Promise<Flow> {
    if (how.passive) {
      const addr = how.v6 ? r.v6 : r.v4;
      const { fd, port } = await r.peer.listen(how.mapped ? "::" : addr, 0, {
        v6only: false,
        mptcp: how.mptcp ?? false,
      });
      const [from, to] = await Promise.all([this.sender.connect(addr, port, how), r.peer.accept(fd)]);
      return { from, to: to.fd, port: (await this.sender.sockName(from)).port };
    }
    if (how.mapped) {
      const { fd, port } = await this.sender.listen(r.sender.v4);
      const to = await r.peer.connect(`::ffff:${r.sender.v4}`, port);
      return { from: (await this.sender.accept(fd)).fd, to, port };
    }
    const c: Connection = await connectPeers(r.peer, this.sender, how.v6 ? r.sender.v6 : r.sender.v4, how);
    return { from: c.server, to: c.client, port: c.port };
  }

  /** All of it arrives as it was sent, or it throws. */
  async transfer(r: Receiver, flow: Flow, bytes: number, ms = 30_000): Promise<void> {
    const [sent, got] = await Promise.all([
      this.sender.send(flow.from, bytes, ms),
      r.peer.recv(flow.to, bytes, ms),
    ]);
    if (sent !== got) throw new Error(`${bytes} bytes arrived changed`);
  }

  /** Transfers until that many ACKs were held back: how many are depends on how busy the machine is. */
  async holdBack(r: Receiver, flow: Flow, count: number, bytes = 3_000_000): Promise<boolean> {
    const before = (await this.counts(r)).dropped;
    const isHeldBack = async () => {
      await this.transfer(r, flow, bytes);
      return (await this.counts(r)).dropped - before >= count;
    };
    return await attempts(8, isHeldBack, Boolean);
  }

  async close(r: Receiver, flow: Flow): Promise<void> {
    await r.peer.close(flow.to);
    await this.sender.close(flow.from);
  }

  /** Of the only rule of a scope. */
  async counts(r: Receiver): Promise<Counts> {
    return (await this.a.ack("show", r.cgroup)).json.ack_rules[0].counters;
  }

  /** A counter of the sender's TCP, such as TcpExtTCPTimeouts. */
  async counter(name: string): Promise<number> {
    const text = await this.lab.exec("sender", ["nstat", "-asz", name]);
    const line = text.split("\n").find((l) => l.startsWith(name)) ?? "";
    return Number(line.split(/\s+/)[1] ?? 0);
  }

  /** What a receiver's device sees meanwhile. */
  async recorded(r: Receiver, work: () => Promise<unknown>, filter = "tcp"): Promise<Capture> {
    const capture = await this.lab.capture(r.netns, r.device, filter);
    await work();
    await capture.stop();
    return capture;
  }

  /** Entries of the agent's map of held ACKs. */
  async holds(): Promise<number> {
    const { pid } = await this.a.agent();
    const text = await this.a.host.sh(`grep -h map_id /proc/${pid}/fdinfo/* | sort -u`);
    for (const [id] of text.matchAll(/\d+/g)) {
      const map = JSON.parse(await this.lab.exec(undefined, ["bpftool", "map", "show", "id", id, "-j"]));
      if (map.name !== "holds") continue;
      return JSON.parse(await this.lab.exec(undefined, ["bpftool", "map", "dump", "id", id, "-j"])).length;
    }
    throw new Error("the agent has no map of held ACKs");
  }
}
