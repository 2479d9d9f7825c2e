// SPDX-License-Identifier: MIT
// A congestion control that the kernel has for a while and that none of ours has a number for: tests/support/congestion.
import { buildSupport, controlObject } from "./build.ts";

/** Its name in the kernel. */
export const CONTROL = "tcpx_test";

export class TestControl implements AsyncDisposable {
  private constructor(private readonly child: Bun.Subprocess<"pipe", "pipe", "inherit">) {}

  /** It goes again, at the latest with this process. */
  static async load(): Promise<TestControl> {
    const { congestion } = await buildSupport();
    const child = Bun.spawn([congestion, await controlObject()], { stdin: "pipe", stdout: "pipe" });
    const { value } = await child.stdout.getReader().read();
    if (!value) throw new Error(`no congestion control: exit ${await child.exited}`);
    return new TestControl(child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.child.stdin.end();
    await this.child.exited;
  }
}
