// SPDX-License-Identifier: MIT
// Places of our own for demo and doctor: client, router and server in namespaces, and cgroups.
// Everything is named after this process, so that leftovers of a killed one are recognised.

import { existsSync, readdirSync, readFileSync, rmdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { Exit, TcpxError } from "../base/errors.ts";
import { removeLeftRuns } from "../loader/run-scopes.ts";
import { childEnvironment, programOf } from "../system/child.ts";
import { makeDirectories, makeDirectory } from "../system/files.ts";
import { cgroupRoot, findCgroupRoot } from "../system/host.ts";

/** Inode of our pid namespace: a pid of another one tells nothing about who is alive. */
const PID_NS = statSync("/proc/self/ns/pid").ino;
const NAMES = new RegExp(`^tcpx-(?:demo|doctor|ext)-${PID_NS}-(\\d+)`);
const RUN_NETNS = "/run/netns";

/** Runs `ip`; throws with its own words. */
async function ip(...args: string[]): Promise<void> {
  const program = programOf("ip");
  if (!program) {
    throw new TcpxError(Exit.UNSUPPORTED, "the program 'ip' is missing", {
      hint: "install the package iproute2",
    });
  }
  const env = childEnvironment();
  const child = Bun.spawn([program, ...args], { env, stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const [text, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  if (code !== 0) throw new TcpxError(Exit.FAILED, `ip ${args.join(" ")}: ${text.trim()}`);
}

/** Ends what runs in a cgroup and removes it, children first. */
async function removeCgroup(path: string): Promise<void> {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeCgroup(join(path, entry.name));
  }
  for (let attempt = 0; ; attempt++) {
    const pids = readFileSync(join(path, "cgroup.procs"), "utf8")
      .split("\n")
      .map(Number)
      .filter((pid) => pid > 0); // 0: not of our pid namespace
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // gone meanwhile
      }
    }
    try {
      rmdirSync(path);
      return;
    } catch (error) {
      if (attempt >= 100) throw error; // EBUSY until the last process has been reaped
      await Bun.sleep(20);
    }
  }
}

export type Place = "client" | "router" | "server";

export const ADDRESS = { client: "192.0.2.1", server: "198.51.100.1" } as const;
const GATEWAY = { client: "192.0.2.254", server: "198.51.100.254" } as const;

/** client (192.0.2.1) -- router -- server (198.51.100.1); removed when its block ends. */
export class Sandbox implements AsyncDisposable {
  private readonly name = `tcpx-demo-${PID_NS}-${process.pid}`;

  netns(place: Place): string {
    return join(RUN_NETNS, `${this.name}-${place}`);
  }

  cgroup(place: Place): string {
    return join(cgroupRoot(), this.name, place);
  }

  /** Builds it; whatever exists when that fails goes with dispose. */
  async create(): Promise<void> {
    for (const place of ["client", "router", "server"] as const) {
      await ip("netns", "add", `${this.name}-${place}`);
      await ip("-n", `${this.name}-${place}`, "link", "set", "lo", "up");
    }
    for (const end of ["client", "server"] as const) {
      makeDirectories(this.cgroup(end), 0o755);
      await this.connect(end);
    }
    await this.forward(true);
  }

  private async connect(end: "client" | "server"): Promise<void> {
    const [own, router] = [`${this.name}-${end}`, `${this.name}-router`];
    await ip("-n", own, "link", "add", "eth0", "type", "veth", "peer", "name", `to-${end}`, "netns", router);
    await ip("-n", own, "address", "add", `${ADDRESS[end]}/24`, "dev", "eth0");
    await ip("-n", router, "address", "add", `${GATEWAY[end]}/24`, "dev", `to-${end}`);
    // one segment per packet, as on most paths: else a single ACK is for forty of them
    await ip("-n", own, "link", "set", "eth0", "gso_max_segs", "1");
    await ip("-n", own, "link", "set", "eth0", "up");
    await ip("-n", router, "link", "set", `to-${end}`, "up");
    await ip("-n", own, "route", "add", "default", "via", GATEWAY[end]);
  }

  /** A router that does not forward drops silently: a black hole, no ICMP. */
  async forward(on: boolean): Promise<void> {
    const write = `echo ${on ? 1 : 0} > /proc/sys/net/ipv4/ip_forward`;
    await ip("netns", "exec", `${this.name}-router`, "sh", "-c", write);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await removeOne(this.name);
  }
}

/** What hosts of their own are called, which `ext test` makes. */
export const privateName = (): string => `tcpx-ext-${PID_NS}-${process.pid}`;

/** Cgroups and namespaces of this name. */
export async function removeOne(name: string): Promise<void> {
  const root = findCgroupRoot();
  if (root !== undefined) await removeCgroup(join(root, name));
  const namespaces = existsSync(RUN_NETNS) ? readdirSync(RUN_NETNS) : [];
  for (const netns of namespaces) if (netns.startsWith(`${name}-`)) await ip("netns", "delete", netns);
}

/** A cgroup without a network; removed when its block ends. */
export function temporaryCgroup(): { path: string } & AsyncDisposable {
  const name = `tcpx-doctor-${PID_NS}-${process.pid}`;
  const path = join(cgroupRoot(), name);
  makeDirectory(path, 0o755);
  return { path, [Symbol.asyncDispose]: () => removeOne(name) };
}

/** Removes what demos, doctors and watchers of runs that were killed have left; returns their names. */
export async function removeLeftovers(): Promise<string[]> {
  const root = findCgroupRoot();
  const entries = [root, RUN_NETNS].flatMap((dir) =>
    dir !== undefined && existsSync(dir) ? readdirSync(dir) : [],
  );
  const dead = new Set<string>();
  for (const entry of entries) {
    const [name, pid] = NAMES.exec(entry) ?? [];
    if (name && !existsSync(`/proc/${pid}`)) dead.add(name);
  }
  for (const name of dead) await removeOne(name);
  return [...dead, ...removeLeftRuns()];
}
