// SPDX-License-Identifier: MIT
// `ext dev`: a trial at every change of the folder. What is wrong is told, and the next change is waited for.

import { type FSWatcher, watch } from "node:fs";
import { Exit, type ExitCode, TcpxError } from "../base/errors.ts";
import { bridge } from "../bridge/bridge.ts";
import type { Io } from "../output/io.ts";
import { Outlet } from "../output/outlet.ts";
import { stdout } from "../output/streams.ts";
import { programName, readFolder } from "./folder.ts";
import { type TestOptions, testOnce } from "./test.ts";

/** Editors save in several steps. */
const SETTLE_MS = 150;
const LOOK_MS = 250;
/** What editors and builds leave there. */
const NOT_OURS = /^\.|~$|\.(?:sw[a-z]|tmp|o|tcpx)$|^\d+$/;

/** Says when the folder has changed. */
class Changes implements Disposable {
  private readonly watcher: FSWatcher;
  private timer: Timer | undefined;
  private waiting: (() => void)[] = [];
  private changed = false;

  constructor(dir: string) {
    this.watcher = watch(dir, (_event, name) => {
      if (name !== null && NOT_OURS.test(String(name))) return;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.tell(), SETTLE_MS);
    });
    this.watcher.on("error", () => this.tell()); // reading it says why
  }

  private tell(): void {
    this.changed = true;
    for (const wake of this.waiting.splice(0)) wake();
  }

  /** From now on. */
  forget(): void {
    this.changed = false;
  }

  /** When it has changed, or it is time to end. */
  async next(signal: AbortSignal): Promise<void> {
    if (this.changed || signal.aborted) return;
    await new Promise<void>((wake) => {
      this.waiting.push(wake);
      signal.addEventListener("abort", () => wake(), { once: true });
    });
  }

  [Symbol.dispose](): void {
    clearTimeout(this.timer);
    this.watcher.close();
  }
}

/** One trial, until the folder changes. */
async function round(dir: string, options: TestOptions, changes: Changes): Promise<void> {
  const { io, signal } = options;
  const enough = new AbortController();
  const both = AbortSignal.any([signal, enough.signal]);
  const hasChanged = changes.next(both).then(() => enough.abort());
  try {
    await testOnce(dir, { ...options, signal: both, goOn: true });
  } catch (error) {
    if (both.aborted) return;
    if (!(error instanceof TcpxError)) throw error;
    io.fail(error);
  }
  if (!both.aborted) io.messages.info("waiting for a change of the folder; Ctrl-C ends");
  await hasChanged;
}

/** Aborts when nobody reads any more, as behind `| head`: nothing may be written before the next save. */
async function unread({ flags }: Io): Promise<{ signal: AbortSignal } & Disposable> {
  const outlet = new Outlet(await bridge(), flags.quiet && !flags.json);
  const gone = new AbortController();
  const timer = setInterval(() => {
    if (stdout.broken || outlet.closed) gone.abort(new Error("nobody reads any more"));
  }, LOOK_MS);
  return { signal: gone.signal, [Symbol.dispose]: () => clearInterval(timer) };
}

/** Goes on until it is interrupted, or nobody reads any more. */
export async function develop(dir: string, given: TestOptions): Promise<ExitCode> {
  const { io } = given;
  using gone = await unread(io);
  const signal = AbortSignal.any([given.signal, gone.signal]);
  const options = { ...given, signal };
  const folder = readFolder(dir);
  if (folder.manifestText === undefined) programName(folder); // in another one there is nothing to wait for
  using changes = new Changes(folder.path);
  for (let n = 1; !signal.aborted; n++) {
    if (n > 1) io.print(`\n--- ${new Date().toTimeString().slice(0, 8)}: changed ---\n`);
    changes.forget();
    await round(dir, options, changes);
  }
  return Exit.DONE;
}
