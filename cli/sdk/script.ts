// SPDX-License-Identifier: MIT
// The folder's own test, run on the host of the trial.

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { childEnvironment, programOf } from "../system/child.ts";
import { self } from "../system/self.ts";
import { ADDRESS, type Network, PORT } from "./network.ts";

const SCRIPT = "test.sh";
/** A test that takes longer has lost its way. */
const PATIENCE_MS = 60_000;

export interface ScriptResult {
  exit_code: number;
  took_s: number;
  timed_out: boolean;
}

/** `$TCPX` is one word: from a checkout it is two, so a program of our own stands for them. */
function tcpxProgram(dir: string): string {
  const words = self();
  if (words.length === 1) return words[0]!;
  const path = join(dir, "tcpx");
  writeFileSync(path, `#!/bin/sh\nexec ${words.map((word) => `'${word}'`).join(" ")} "$@"\n`, {
    mode: 0o755,
  });
  return path;
}

/**
 * Runs it; undefined: the folder has none. What it prints comes out where the caller says.
 * @param work a folder of ours
 */
export async function runScript(
  folder: string,
  work: string,
  network: Network,
  seen: readonly string[],
  quiet: boolean,
  signal: AbortSignal,
): Promise<ScriptResult | undefined> {
  if (!existsSync(join(folder, SCRIPT))) return undefined;
  const [tmp, seenPath] = [join(work, "tmp"), join(work, "seen")];
  mkdirSync(tmp, { recursive: true });
  writeFileSync(seenPath, seen.map((line) => `${line}\n`).join(""));
  const env = {
    ...childEnvironment(),
    TCPX: tcpxProgram(work),
    TCPX_CLIENT: network.door("client"),
    TCPX_SERVER: network.door("server"),
    TCPX_CLIENT_ADDRESS: ADDRESS.v4.client,
    TCPX_SERVER_ADDRESS: ADDRESS.v4.server,
    TCPX_CLIENT_ADDRESS6: ADDRESS.v6.client,
    TCPX_SERVER_ADDRESS6: ADDRESS.v6.server,
    TCPX_PORT: `${PORT}`,
    TCPX_SEEN: seenPath,
    TCPX_TMP: tmp,
  };
  const begun = performance.now();
  const child = Bun.spawn([programOf("sh") ?? "sh", SCRIPT], {
    cwd: folder,
    env,
    stdin: "ignore",
    stdout: quiet ? 2 : "inherit", // stdout is a document's
    stderr: "inherit",
  });
  let timedOut = false;
  const end = () => child.kill("SIGKILL");
  const timer = setTimeout(() => {
    timedOut = true;
    end();
  }, PATIENCE_MS);
  signal.addEventListener("abort", end);
  const code = await child.exited;
  clearTimeout(timer);
  signal.removeEventListener("abort", end);
  return { exit_code: code, took_s: Math.round(performance.now() - begun) / 1000, timed_out: timedOut };
}
