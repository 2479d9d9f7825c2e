// SPDX-License-Identifier: MIT
// Standard output for what has no end: written at once, at the pace of whoever reads it. Nothing is queued
// in the runtime, which could not end before somebody has read it.

import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, Errno, isErrno, unwrap } from "../bridge/bridge.ts";
import { inJson, painted } from "./safe.ts";

const STDOUT = 1;
const RETRY_MS = 10;
/** Bytes of text that are encoded at once. */
const PIECE = 1 << 16;
/** What a reader has left to take the rest when the end has come. */
const PATIENCE_MS = 1000;

/** A wait that ends early once the end has come. */
export class Pause {
  private wake: (() => void) | undefined;
  ended = false;

  end(): void {
    this.ended = true;
    this.wake?.();
  }

  async wait(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = undefined;
  }
}

export class Outlet {
  private readonly encoder = new TextEncoder();
  /** One for all that is written: what is allocated anew is memory that has to be mapped anew. */
  private readonly bytes = new Uint8Array(PIECE);
  private deadline: number | undefined;

  constructor(
    private readonly lib: Bridge,
    private readonly silent: boolean,
    private readonly json = false,
  ) {}

  private failure(error: unknown): TcpxError | undefined {
    if (isErrno(error, "EPIPE")) return undefined;
    const what = error instanceof Errno ? error.code : (error as Error).message;
    return new TcpxError(Exit.FAILED, `stdout cannot be written: ${what}`, { cause: error });
  }

  /** Does nobody read any more, as behind `| head`? */
  get closed(): boolean {
    if (this.silent) return false;
    try {
      unwrap("stdout", this.lib.tcpx_writable(STDOUT));
      return false;
    } catch (error) {
      return isErrno(error, "EPIPE");
    }
  }

  /** False: the end has come, and the reader still does not read. */
  private async patient(pause: Pause): Promise<boolean> {
    if (pause.ended) this.deadline ??= performance.now() + PATIENCE_MS;
    if (this.deadline !== undefined && performance.now() > this.deadline) return false;
    await pause.wait(RETRY_MS);
    return true;
  }

  /** As write(). */
  private async writeBytes(size: number, pause: Pause): Promise<boolean> {
    for (let at = 0; at < size; ) {
      try {
        const rest = this.bytes.subarray(at, size);
        at += unwrap("stdout", this.lib.tcpx_write_now(STDOUT, rest, rest.length));
      } catch (error) {
        const failure = this.failure(error);
        if (failure) throw failure;
        return false;
      }
      if (at < size && !(await this.patient(pause))) return false;
    }
    return true;
  }

  /**
   * False: nobody reads any more, or not before the end.
   * @throws TcpxError when it cannot be written
   */
  async write(text: string, pause: Pause): Promise<boolean> {
    if (this.silent) return true;
    const safe = this.json ? inJson(text) : painted(text);
    for (let at = 0; at < safe.length; ) {
      const { read, written } = this.encoder.encodeInto(safe.slice(at), this.bytes); // whole characters
      if (!(await this.writeBytes(written, pause))) return false;
      at += read;
    }
    return true;
  }
}
