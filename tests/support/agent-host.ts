// SPDX-License-Identifier: MIT
// A private host (its own /run, so that its agent is alone) for the tests of the ACK agent's life.
import { expect } from "bun:test";
import { Lab, until } from "./lab.ts";
import { PrivateHost } from "./private-host.ts";
import type { TcpxResult } from "./tcpx.ts";

/** One process of the private host; pids are those in there. */
export interface Process {
  pid: number;
  ppid: number;
  sid: number;
  tty: string;
  args: string;
}

export class AgentHost implements AsyncDisposable {
  private constructor(
    readonly lab: Lab,
    readonly host: PrivateHost,
    /** Two scopes, one in the other. */
    readonly outer: string,
    readonly inner: string,
  ) {}

  static async create(): Promise<AgentHost> {
    const lab = await Lab.create();
    const outer = lab.cgroup("outer");
    return new AgentHost(lab, await PrivateHost.create(lab), outer, lab.cgroup("inner", outer));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab[Symbol.asyncDispose]();
  }

  /** Takes all rules back and ends the agent; nothing may be left then. */
  async clear(): Promise<void> {
    for (const cgroup of [this.inner, this.outer]) {
      await this.host.ok(["ack", "unset", "--all", "--cgroup", cgroup]);
    }
    await this.host.ok(["agent", "--stop"]);
    expect(await this.remains()).toEqual([]);
  }

  /** `tcpx ack WORDS --json` in a scope. */
  ack(words: string, cgroup = this.outer): Promise<TcpxResult> {
    return this.host.ok(["ack", ...words.split(" "), "--cgroup", cgroup], { json: true });
  }

  /** `agent` of `tcpx status --json`. */
  // biome-ignore lint/suspicious/noExplicitAny: a document of the program under test
  async agent(): Promise<any> {
    return (await this.host.ok(["status"], { json: true })).json.agent;
  }

  async processes(): Promise<Process[]> {
    const lines = (await this.host.sh("ps -eo pid=,ppid=,sid=,tty=,args=")).trim().split("\n");
    return lines
      .map((line) => /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line)!)
      .map(([, pid, ppid, sid, tty = "", args = ""]) => ({
        pid: Number(pid),
        ppid: Number(ppid),
        sid: Number(sid),
        tty,
        args,
      }));
  }

  async agents(): Promise<Process[]> {
    return (await this.processes()).filter(({ args }) => /tcpx (internal-)?agent/.test(args));
  }

  /** What is left of agents: processes, guards, files. */
  async remains(): Promise<string[]> {
    let found: string[] = [];
    await until(async () => {
      const text = await this.host.sh("ps -eo comm= | grep '^tcpx'; find /run/tcpx 2>/dev/null; true");
      found = text.split("\n").filter(Boolean);
      return found.length === 0;
    });
    return found;
  }

  /** Signals it as an administrator, or the kernel, might, and waits for its end. */
  async kill(signal = "KILL"): Promise<number> {
    const [{ pid } = { pid: 0 }] = await this.agents();
    if (pid === 0) throw new Error("no agent runs"); // 0 would be every process of this group
    await this.host.sh(`kill -${signal} ${pid}`);
    expect(await until(async () => (await this.agents()).every((agent) => agent.pid !== pid))).toBe(true);
    return pid;
  }
}
