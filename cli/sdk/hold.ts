// SPDX-License-Identifier: MIT
// What goes on after a trial, for `ext dev`: connections, and their events, until somebody has changed the folder.

import { childEnvironment } from "../system/child.ts";
import { self } from "../system/self.ts";
import { ADDRESS, type Family, PORT } from "./network.ts";
import type { Here } from "./trial.ts";

/** For the watcher to have its ring. */
const BEGIN_MS = 300;
/** Between two connections, and how long each is there. */
const BETWEEN_MS = 5000;
const TALK_MS = 500;

/** Prints events as `tcpx watch` does, until the signal. */
export async function watchEvents(flags: readonly string[], signal: AbortSignal): Promise<void> {
  const child = Bun.spawn([...self(), "watch", "--all-netns", ...flags], {
    env: childEnvironment(),
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  });
  signal.addEventListener("abort", () => child.kill("SIGKILL"));
  await Bun.sleep(BEGIN_MS);
}

const pause = (ms: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });

/** Has the listeners that there are get a connection from time to time, until it is time to end. */
export async function goOn(stage: Here, families: readonly Family[]): Promise<void> {
  while (!stage.signal.aborted) {
    await pause(BETWEEN_MS, stage.signal);
    for (const family of families) {
      if (stage.signal.aborted) return;
      await using _ = stage.launch("dial", "client", ADDRESS[family].server, `${PORT}`);
      await pause(TALK_MS, stage.signal);
    }
  }
}
