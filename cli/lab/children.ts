// SPDX-License-Identifier: MIT
// Child processes of demo and doctor: tcpx itself, in a namespace and a cgroup, telling events as lines
// of JSON on stdout. They look at their sockets themselves: who traces nobody (kernel.yama.ptrace_scope=3), or lacks
// CAP_SYS_PTRACE, can have no other process's socket.

import type { ConnectionView } from "../extensions/types.ts";
import { self } from "../system/self.ts";

/** For an answer. */
const ANSWER_MS = 5000;

export interface Event {
  event: string;
  [key: string]: unknown;
}

export interface ChildPlace {
  /** Path of a namespace; "new" for one of its own, "-" for ours. */
  netns: string;
  cgroup?: string;
}

/** A `tcpx internal-peer` process. */
export class Child implements AsyncDisposable {
  private readonly process;
  private readonly events: Event[] = [];
  private readonly waiting = new Set<() => void>();
  private ended = false;
  private asked = 0;

  constructor(role: string, place: ChildPlace, ...args: string[]) {
    const argv = [...self(), "internal-peer", role, place.netns, place.cgroup ?? "-", args.join(",")];
    this.process = Bun.spawn(argv, { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    void this.read();
  }

  get pid(): number {
    return this.process.pid;
  }

  private async read(): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of this.process.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.events.push(JSON.parse(line) as Event);
      for (const wake of this.waiting) wake();
    }
    this.ended = true;
    for (const wake of this.waiting) wake();
  }

  /** Events of this name so far. */
  seen(event: string): Event[] {
    return this.events.filter((e) => e.event === event);
  }

  /** The first event of one of these names, or undefined when the time is over or the child has ended. */
  async wait(event: string | readonly string[], ms: number): Promise<Event | undefined> {
    const names = [event].flat();
    const deadline = performance.now() + ms;
    for (;;) {
      const found = this.events.find((e) => names.includes(e.event));
      const left = deadline - performance.now();
      if (found || this.ended || left <= 0) return found;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, left);
        const { waiting } = this;
        function done() {
          clearTimeout(timer);
          waiting.delete(done);
          resolve();
        }
        waiting.add(done);
      });
    }
  }

  /** Has it do something; its answer, or undefined when there is none. */
  private call(what: string, ...args: number[]): Promise<Event | undefined> {
    const name = `${what} ${++this.asked}`;
    this.process.stdin.write(`${[name, ...args].join(" ")}\n`);
    this.process.stdin.flush();
    return this.wait(name, ANSWER_MS);
  }

  /** Its connection, its listener left out; undefined when it has none. */
  async view(): Promise<ConnectionView | undefined> {
    return (await this.call("view"))?.view as ConnectionView | undefined;
  }

  /** The connections that it accepts from now on send at most so fast, evenly spaced. @throws Error */
  async pace(bytesPerSecond: number): Promise<void> {
    if (!(await this.call("pace", bytesPerSecond))) throw new Error("the listener cannot be paced");
  }

  /** What it said on stderr; waits for its end. */
  async complaint(): Promise<string> {
    return (await new Response(this.process.stderr).text()).trim();
  }

  kill(): void {
    this.process.kill("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.process.exited;
  }
}
