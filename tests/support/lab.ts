// SPDX-License-Identifier: MIT
// The lab of the kernel tests: private network namespaces, child cgroups, real sockets and packets.
// Whatever a Lab makes is pushed on its cleanup stack at once and is gone after its disposal. All names
// start with tcpx-t-<pid namespace>-<pid>-, so that leftovers of a killed run are recognised and swept by the next one.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildSupport } from "./build.ts";
import { Capture } from "./capture.ts";
import {
  leftovers,
  OWN_PREFIX,
  open,
  processesOf,
  removeCgroup,
  statExists,
  sweep,
  watchExit,
} from "./leftovers.ts";
import * as network from "./network.ts";
import { Peer } from "./peer.ts";
import { type Child, cgroupMount, enter, NETNS_DIR, type Place, run, stop, until } from "./process.ts";
import { Wire } from "./wire.ts";

export * from "./capture.ts";
export * from "./judges.ts";
export { leftovers, processesOf } from "./leftovers.ts";
export { PeerError, peerErrorOf } from "./line-protocol.ts";
export type { Link, LinkEnd, Routed } from "./network.ts";
export * from "./peer.ts";
export { attempts, type Child, cgroupMount, enter, type Place, run, until } from "./process.ts";
export * from "./wire.ts";

export interface SpawnOptions extends Place {
  env?: Record<string, string | undefined>;
  stderr?: "pipe" | "inherit";
}

export class Lab implements AsyncDisposable {
  readonly prefix = `${OWN_PREFIX}${crypto.randomUUID().slice(0, 6)}`;
  /** A temporary directory of this lab. */
  readonly dir = join(tmpdir(), this.prefix);
  private readonly undo: (() => Promise<unknown>)[] = [];
  private readonly children = new Set<Child>();
  private readonly namespaces = new Set<string>();
  private root: string | undefined;
  private links = 0;
  private wires = 0;
  private captures = 0;

  static async create(): Promise<Lab> {
    watchExit();
    if (open.size === 0) sweep();
    await buildSupport();
    return new Lab();
  }

  private constructor() {
    open.add(this);
    mkdirSync(this.dir);
    this.undo.push(async () => rmSync(this.dir, { recursive: true, force: true }));
  }

  /** Undoes everything in reverse, goes on after a failure, and checks that nothing is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    const errors: unknown[] = [];
    for (let step = this.undo.pop(); step; step = this.undo.pop()) await step().catch((e) => errors.push(e));
    open.delete(this);
    for (const path of leftovers(this.prefix)) errors.push(new Error(`left behind: ${path}`));
    if (errors.length > 0) throw new AggregateError(errors, `the lab ${this.prefix} was not cleaned up`);
  }

  /** For an exit handler, where nothing can be awaited. */
  abandon(): void {
    open.delete(this);
    for (const child of this.children) child.kill("SIGKILL");
    for (const name of this.namespaces) Bun.spawnSync(["ip", "netns", "del", name]);
    if (this.root) {
      this.killRest(this.root);
      for (let tries = 0; !removeCgroup(this.root) && tries < 50; tries++) Bun.sleepSync(20);
    }
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Full name of a namespace; short names are those given to netns(). */
  ns(name: string): string {
    return name.startsWith(this.prefix) ? name : `${this.prefix}-${name}`;
  }

  private short(name: string): string {
    return this.ns(name).slice(this.prefix.length + 1);
  }

  /** Creates a network namespace with lo up and returns its full name. */
  async netns(name: string): Promise<string> {
    const full = this.ns(name);
    this.namespaces.add(full);
    this.undo.push(async () => {
      if (statExists(join(NETNS_DIR, full))) await run(["ip", "netns", "del", full]);
      this.namespaces.delete(full);
    });
    await run(["ip", "netns", "add", full]);
    // Addresses are usable at once, without duplicate address detection.
    await this.sysctl(full, "net.ipv6.conf.default.accept_dad", 0);
    await run(["ip", "-n", full, "link", "set", "lo", "up"]);
    return full;
  }

  /** A veth pair between two namespaces; the devices are called to-<other>. */
  async link(
    a: string,
    b: string,
    addrs: Partial<Record<"a4" | "b4" | "a6" | "b6", string>> = {},
  ): Promise<network.Link> {
    const n = ++this.links;
    const left = {
      netns: this.ns(a),
      device: `to-${this.short(b)}`,
      v4: addrs.a4 ?? `10.77.${n}.1`,
      v6: addrs.a6 ?? `fd77:${n}::1`,
    };
    const right = {
      netns: this.ns(b),
      device: `to-${this.short(a)}`,
      v4: addrs.b4 ?? `10.77.${n}.2`,
      v6: addrs.b6 ?? `fd77:${n}::2`,
    };
    await network.veth(n, left, right);
    return { a: left, b: right };
  }

  /** client - router - server, in three new namespaces of these names. */
  async routed(
    names: readonly [string, string, string] = ["client", "router", "server"],
  ): Promise<network.Routed> {
    for (const name of names) await this.netns(name);
    const near = await this.link(names[0], names[1]);
    const far = await this.link(names[1], names[2]);
    return await network.route(near, far);
  }

  /** A child of this lab's own cgroup, or of another cgroup of it; returns the path. */
  cgroup(name: string, parent?: string): string {
    if (!this.root) {
      const root = join(cgroupMount(), this.prefix);
      this.root = root;
      this.undo.push(async () => {
        this.killRest(root);
        if (!(await until(() => removeCgroup(root)))) throw new Error(`${root} does not become empty`);
      });
      mkdirSync(root);
    }
    const path = join(parent ?? this.root, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** Only what this lab put there can be in its cgroups, and its descendants. */
  private killRest(root: string): void {
    for (const pid of processesOf(root)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // it has just ended
      }
    }
  }

  /** Starts a program; it is ended with the lab. The pid is the program's own. */
  spawn(command: readonly string[], { netns, cgroup, env, stderr = "inherit" }: SpawnOptions = {}): Child {
    const child = Bun.spawn(enter(command, { netns: netns && this.ns(netns), cgroup }), {
      env: { ...process.env, ...env },
      stdin: "pipe",
      stdout: "pipe",
      stderr,
    }) as Child;
    this.children.add(child);
    this.undo.push(async () => {
      await stop(child);
      this.children.delete(child);
    });
    return child;
  }

  /** Runs a command to its end in a namespace and returns its stdout. */
  exec(netns: string | undefined, command: readonly string[], stdin = "", cgroup?: string): Promise<string> {
    return run(command, { netns: netns && this.ns(netns), cgroup }, stdin);
  }

  /** A process that holds kernel sockets. */
  async peer(netns: string, cgroup?: string): Promise<Peer> {
    const { peer } = await buildSupport();
    return new Peer(this.spawn([peer], { netns, cgroup }));
  }

  /** A TUN device in the namespace and the user-space TCP endpoint behind it. */
  async wire(netns: string): Promise<Wire> {
    const n = ++this.wires;
    const device = `wire${n}`;
    const kernel = { v4: `10.78.${n}.1`, v6: `fd78:${n}::1` };
    const own = { v4: `10.78.${n}.2`, v6: `fd78:${n}::2` };
    const { wire } = await buildSupport();
    const client = new Wire(this.spawn([wire], { netns }), device, kernel, own);
    await client.request(`open ${device} ${kernel.v4}/24 ${kernel.v6}/64`);
    return client;
  }

  async sysctl(netns: string, key: string, value: string | number): Promise<void> {
    await network.sysctl(this.ns(netns), key, value);
  }

  async nft(netns: string, ruleset: string): Promise<void> {
    await network.nft(this.ns(netns), ruleset);
  }

  /** Delay, loss or rate of what leaves through a device: netem("a", "to-b", "delay 20ms"). */
  async netem(netns: string, device: string, how: string): Promise<void> {
    await this.exec(netns, ["tc", "qdisc", "replace", "dev", device, "root", "netem", ...how.split(" ")]);
  }

  /** Records packets; resolves when tcpdump really listens. The filter is a pcap one. */
  async capture(netns: string, device: string, filter = "tcp"): Promise<Capture> {
    const file = join(this.dir, `${++this.captures}.pcap`);
    // It has no use for another user than root, who owns the directory. A buffer of 32 MiB: room while it waits.
    const how = ["-Z", "root", "-n", "-U", "--immediate-mode", "-s", "200", "-B", "32768"];
    const argv = ["tcpdump", ...how, "-i", device, "-w", file, filter];
    return await Capture.of(this.spawn(argv, { netns, stderr: "pipe" }), file);
  }

  /** A file in the lab's directory; returns its path. */
  file(name: string, text: string): string {
    const path = join(this.dir, name);
    writeFileSync(path, text);
    return path;
  }
}
