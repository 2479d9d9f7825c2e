// SPDX-License-Identifier: MIT
// A host of its own as far as tcpx can see: a mount namespace with another bpffs and another /run, and a pid
// namespace whose process 1 lives there. What happens to pins, mounts and the lock happens to nobody else, and all of it is
// gone with its last process. Cgroups and network namespaces are those of the machine.
import { expect } from "bun:test";
import { existsSync } from "node:fs";
import type { Lab } from "./lab.ts";
import { type Child, run, until } from "./process.ts";
import { type TcpxOptions, type TcpxResult, tcpx } from "./tcpx.ts";
import { tcpxOk } from "./uto-lab.ts";

const BPFFS = "/sys/fs/bpf";

export interface PrivateHostOptions {
  /** false: nobody has mounted bpffs yet. */
  bpffs?: boolean;
  /** false: the machine's /run, with its named network namespaces and its agent. */
  ownRun?: boolean;
  /** More shell commands before it is ready, such as mounts. */
  setup?: string;
  /** It is a container of this one, which sees its processes. */
  within?: PrivateHost;
  /** Path of the cgroup that it lives in. */
  cgroup?: string;
}

export class PrivateHost {
  private constructor(
    private readonly child: Child,
    /** Its process 1, as numbered by who is around it. */
    readonly init: string,
    private readonly within: PrivateHost | undefined,
    private readonly prefix: string,
  ) {}

  /** It ends with the lab. */
  static async create(
    lab: Lab,
    { bpffs = true, ownRun = true, setup = "true", within, cgroup }: PrivateHostOptions = {},
  ): Promise<PrivateHost> {
    // Process 1 is a shell that waits: for cat, and so for every orphan, such as an agent that has ended.
    // The pid outside is read from the machine's /proc, before the new one is mounted over it.
    const script = `
      read -r pid rest </proc/self/stat
      mount -t proc proc /proc
      ${ownRun} && mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/netns
      while umount ${BPFFS} 2>/dev/null; do :; done
      ${bpffs} && mount -t bpf bpf ${BPFFS}
      ${setup}
      echo "$pid"
      exec 3<&0
      cat <&3 &
      wait`;
    const flags = ["--mount", "--pid", "--fork", "--kill-child"];
    const child = lab.spawn([...(within?.wrap ?? []), "unshare", ...flags, "sh", "-c", script], { cgroup });
    let said = "";
    for await (const chunk of child.stdout) {
      said += new TextDecoder().decode(chunk);
      if (said.includes("\n")) break;
    }
    const init = said.trim();
    if (!/^\d+$/.test(init)) throw new Error(`no private host: '${said}'`);
    return new PrivateHost(child, init, within, lab.prefix);
  }

  /** The command that runs the command after it in here. */
  get wrap(): string[] {
    return [...(this.within?.wrap ?? []), "nsenter", "-t", this.init, "-m", "-p", "--"];
  }

  tcpx(args: readonly string[], options: TcpxOptions = {}): Promise<TcpxResult> {
    return tcpx(args, { ...options, wrap: [...this.wrap, ...(options.wrap ?? [])] });
  }

  /** One that has to succeed. */
  ok(args: readonly string[], options: TcpxOptions = {}): Promise<TcpxResult> {
    return tcpxOk(args, { ...options, wrap: [...this.wrap, ...(options.wrap ?? [])] });
  }

  /**
   * `tcpx reset`. It looks through all cgroups of the machine, and what it cannot undo there belongs to other
   * bpffs: none of that is this lab's.
   */
  async reset(flags: readonly string[] = [], options: TcpxOptions = {}): Promise<TcpxResult> {
    const done = await this.tcpx(["reset", ...flags], options);
    expect(done.stderr).not.toContain(this.prefix);
    if (done.code !== 0) expect(done.stderr).toMatch(/^tcpx: still there: /);
    return done;
  }

  /** A shell script in here; returns its stdout. */
  sh(script: string): Promise<string> {
    return run([...this.wrap, "sh", "-c", script]);
  }

  /** Everything below /sys/fs/bpf except the file system's own two files, sorted. */
  async pins(): Promise<string[]> {
    const found = await this.sh(`find ${BPFFS} -mindepth 1 ! -name '*.debug'`);
    return found.split("\n").filter(Boolean).sort();
  }

  /** The mount source of bpffs, "" while it is not mounted. */
  async bpffs(): Promise<string> {
    const line = (await this.sh("cat /proc/mounts")).split("\n").find((l) => l.includes(` ${BPFFS} bpf `));
    return line?.split(" ")[0] ?? "";
  }

  /** Ends it at once; the rules go with it. */
  async stop(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.child.exited;
    if (this.within) return;
    await until(() => !existsSync(`/proc/${this.init}`)); // it ends after all others in there have
  }
}
