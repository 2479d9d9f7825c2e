// SPDX-License-Identifier: MIT
// stdout and stderr. A reader that goes, a full disk or a closed descriptor is noted, and never ends what a command
// is doing: the runtime would throw, wherever the command is then.

import { Exit, type ExitCode, TcpxError } from "../base/errors.ts";

class Stream {
  private failure: NodeJS.ErrnoException | undefined;
  /** What is not taken yet, and what ends waiting for it. */
  private readonly pending = new Map<Promise<void>, () => void>();
  private heard = false;

  constructor(private readonly name: "stdout" | "stderr") {}

  private fail(error: NodeJS.ErrnoException): void {
    this.failure ??= error;
    for (const end of this.pending.values()) end();
    this.pending.clear();
  }

  /** Resolves when the text has been taken, or cannot be. */
  write(text: string): Promise<void> {
    if (this.failure) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.pending.set(promise, resolve);
    const done = (error?: NodeJS.ErrnoException | null) => {
      if (error) this.fail(error);
      this.pending.delete(promise);
      resolve();
    };
    try {
      const stream = process[this.name];
      if (!this.heard) stream.on("error", (error) => this.fail(error));
      this.heard = true;
      stream.write(text, done);
    } catch (error) {
      done(error as Error);
    }
    return promise;
  }

  /** Waits until all that was written has been taken, or cannot be. */
  async flushed(): Promise<void> {
    await Promise.all(this.pending.keys());
  }

  /** Cannot anything be written any more? */
  get broken(): boolean {
    return this.failure !== undefined;
  }

  /** What is to be said of it; nothing where a reader has gone, as behind `| head`. */
  problem(): TcpxError | undefined {
    if (!this.failure || this.failure.code === "EPIPE") return undefined;
    const what = `${this.name} cannot be written: ${this.failure.code ?? this.failure.message}`;
    return new TcpxError(Exit.FAILED, what, { cause: this.failure });
  }
}

export const stdout = new Stream("stdout");
export const stderr = new Stream("stderr");

/** At the end of a command: its exit code, unless what it had to say is lost; that is told by `tell`. */
export async function ended(code: ExitCode, tell: (problem: TcpxError) => ExitCode): Promise<ExitCode> {
  await stdout.flushed();
  const problem = code === Exit.DONE ? stdout.problem() : undefined;
  return problem ? tell(problem) : code;
}
