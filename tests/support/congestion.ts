// SPDX-License-Identifier: MIT
// A congestion control that the kernel has for a while and that none of ours has a number for: tests/support/congestion.
import { buildSupport, controlObject } from "./build.ts";
import { attempts } from "./process.ts";

/** Its name in the kernel. */
export const CONTROL = "tcpx_test";

export class TestControl implements AsyncDisposable {
  private constructor(private readonly child: Bun.Subprocess<"pipe", "pipe", "inherit">) {}

  /** It goes again, at the latest with this process. */
  static async load(): Promise<TestControl> {
    const { congestion } = await buildSupport();
    const object = await controlObject();
    const start = async () => {
      const child = Bun.spawn([congestion, object], { stdin: "pipe", stdout: "pipe" });
      const { value } = await child.stdout.getReader().read();
      if (!value) await Promise.all([child.exited, Bun.sleep(100)]);
      return { child, isReady: value !== undefined };
    };
    // one of a test before stays until the kernel has done with its last socket
    const { child, isReady } = await attempts(50, start, (started) => started.isReady);
    if (!isReady) throw new Error(`no congestion control: exit ${await child.exited}`);
    return new TestControl(child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.child.stdin.end();
    await this.child.exited;
  }
}
