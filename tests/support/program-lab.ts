// SPDX-License-Identifier: MIT
// Whole programs of others: objects of tests/support/programs, and a host that loads them.
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../scripts/lib/run.ts";
import { foreignRequirement } from "./foreign.ts";
import { PrivateHost } from "./private-host.ts";
import { every, labRequirement } from "./requires.ts";
import type { TcpxResult } from "./tcpx.ts";
import { UtoLab } from "./uto-lab.ts";

export const programRequirement = every("programs", labRequirement, foreignRequirement);

/** Congestion controls that the kernel has now. */
export const available = (): string[] =>
  readFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control", "utf8").trim().split(/\s+/);

/** Does this kernel have congestion controls of BPF programs that are replaced in one step? */
export const hasLinks = readFileSync("/sys/kernel/btf/vmlinux").includes("\0bpf_struct_ops_link\0");

interface Attached {
  id: number;
  name: string;
}

export class ProgramLab implements AsyncDisposable {
  private objects = 0;

  private constructor(
    readonly u: UtoLab,
    readonly host: PrivateHost,
    /** A name of a congestion control that nobody else has. */
    readonly control: string,
  ) {}

  static async create(): Promise<ProgramLab> {
    const u = await UtoLab.create();
    const control = `t_${crypto.randomUUID().slice(0, 8)}`;
    return new ProgramLab(u, await PrivateHost.create(u.lab), control);
  }

  get scope(): string {
    return this.u.client.cgroup;
  }

  /** Compiles one of them. @param name what its file is called */
  async object(source: "count" | "control", name = "", ...flags: string[]): Promise<string> {
    const include = `-I/usr/include/${(await run(["gcc", "-print-multiarch"])).trim()}`;
    const object = join(this.u.lab.dir, `${name || `${source}${++this.objects}`}.bpf.o`);
    const how = ["-g", "-O2", "-target", "bpf", "-mcpu=v3", "-Wall", "-Werror"];
    const from = join(import.meta.dir, "programs", `${source}.bpf.c`);
    const named = source === "control" ? [`-DNAME="${this.control}"`] : [];
    await run(["clang", ...how, ...named, ...flags, include, "-c", from, "-o", object]);
    return object;
  }

  /** A command at the scope. */
  at = (words: string) => [...words.split(" "), "--cgroup", this.scope];
  ok = (words: string): Promise<TcpxResult> => this.host.ok(words.split(" "), { json: true });
  okAt = (words: string): Promise<TcpxResult> => this.host.ok(this.at(words), { json: true });
  refused = (args: string[]): Promise<TcpxResult> => this.host.tcpx(args);

  // biome-ignore lint/suspicious/noExplicitAny: a document of the program under test
  async loaded(): Promise<any[]> {
    return (await this.ok("status")).json.loaded_programs;
  }

  /** What bpftool finds on the cgroup. */
  async attached(cgroup = this.scope): Promise<Attached[]> {
    const text = await run(["bpftool", "-j", "cgroup", "show", cgroup]);
    return text.trim() === "" ? [] : JSON.parse(text);
  }

  /** What the program in force has counted. */
  async counted(): Promise<number> {
    const [program] = (await this.attached()).filter(({ name }) => name === "count");
    const { map_ids: ids } = JSON.parse(await run(["bpftool", "-j", "prog", "show", "id", `${program!.id}`]));
    const shown = await Promise.all(
      ids.map(async (id: number) => JSON.parse(await run(["bpftool", "-j", "map", "show", "id", `${id}`]))),
    );
    const { id } = shown.find(({ name }) => name === "opened");
    const [entry] = JSON.parse(await run(["bpftool", "-j", "map", "dump", "id", `${id}`]));
    return entry.formatted?.value ?? Number.parseInt(entry.value[0], 16);
  }

  /** Afterwards the host has nothing. */
  async clear(): Promise<void> {
    await this.host.reset(["--wait"]);
    expect(await this.host.pins()).toEqual([]);
    expect((await this.attached()).map(({ name }) => name)).not.toContain("count");
    expect(available()).not.toContain(this.control);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.u[Symbol.asyncDispose]();
  }
}
