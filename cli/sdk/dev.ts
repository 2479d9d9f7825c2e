// SPDX-License-Identifier: MIT
// `ext dev`: a trial at every change of the folder. What is wrong is told, and the next change is waited for.

import { type FSWatcher, watch } from "node:fs";
import { resolve } from "node:path";
import { Exit, type ExitCode, TcpxError } from "../base/errors.ts";
import { programName, readFolder } from "./folder.ts";
import { requireOwn, type TestOptions, testOnce } from "./test.ts";

/** Editors save in several steps. */
const SETTLE_MS = 150;
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
    requireOwn(dir);
    await testOnce(dir, { ...options, signal: both, goOn: true });
  } catch (error) {
    if (both.aborted) return;
    if (!(error instanceof TcpxError)) throw error;
    io.fail(error);
  }
  if (!both.aborted) io.messages.info("waiting for a change of the folder; Ctrl-C ends");
  await hasChanged;
}

/** Goes on until it is interrupted. */
export async function develop(dir: string, options: TestOptions): Promise<ExitCode> {
  const { signal, io } = options;
  requireOwn(dir);
  const folder = readFolder(dir);
  if (folder.manifestText === undefined) programName(folder); // in another one there is nothing to wait for
  using changes = new Changes(resolve(dir));
  for (let n = 1; !signal.aborted; n++) {
    if (n > 1) io.print(`\n--- ${new Date().toTimeString().slice(0, 8)}: changed ---\n`);
    changes.forget();
    await round(dir, options, changes);
  }
  return Exit.DONE;
}
