// SPDX-License-Identifier: MIT
// The child processes of a demo, and its end when the user has had enough.

import { Exit, TcpxError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { Child } from "./children.ts";
import type { Place, Sandbox } from "./sandbox.ts";

/** For a child to say that it is ready, or for a packet to be seen. */
export const READY_MS = 5000;

/** Where the processes of a place are. */
export type Places = Pick<Sandbox, "netns" | "cgroup">;

/** Processes at the places of a sandbox; they end with it. */
export class Stage<S extends Places = Sandbox> implements AsyncDisposable {
  private readonly children: Child[] = [];

  constructor(
    readonly lib: Bridge,
    readonly sandbox: S,
    readonly signal: AbortSignal,
  ) {
    // a dead child ends every wait for it, and the next step sees why
    signal.addEventListener("abort", () => this.children.forEach((child) => void child.kill()));
  }

  /** Between two steps: throws when the user has had enough. */
  check(): void {
    this.signal.throwIfAborted();
  }

  /** Starts a child process at a place. */
  launch(role: string, place: Place, ...args: string[]): Child {
    const where = { netns: this.sandbox.netns(place), cgroup: this.sandbox.cgroup(place) };
    const child = new Child(role, where, ...args);
    this.children.push(child);
    return child;
  }

  /** The same, and waits until it says that it is ready. */
  async start(role: string, place: Place, ready: string, ...args: string[]): Promise<Child> {
    const child = this.launch(role, place, ...args);
    const isReady = await child.wait(ready, READY_MS);
    this.check();
    if (isReady) return child;
    const complaint = await Promise.race([child.complaint(), Bun.sleep(100).then(() => "")]);
    throw new TcpxError(Exit.FAILED, `the ${role} process did not get ready ${complaint}`.trim());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.children.map((child) => child[Symbol.asyncDispose]()));
  }
}

/** Aborts on Ctrl-C, SIGTERM and SIGHUP, so that cleanup comes before the end. */
export function interruption(): { signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const stop = (name: string) =>
    controller.abort(new TcpxError(Exit.FAILED, `interrupted by ${name}; everything was removed`));
  for (const name of signals) process.once(name, stop);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const name of signals) process.off(name, stop);
    },
  };
}
