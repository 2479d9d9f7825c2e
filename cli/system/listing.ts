// SPDX-License-Identifier: MIT
// What another program of the system lists, within bounds of time and size.

import { childEnvironment, programOf } from "./child.ts";

const LIMIT_MS = 5000;
const LIMIT_BYTES = 16 << 20;

/** No text: why there is none. */
export type Listing = { text: string } | { why: string };

/** @returns undefined when there is more, or when it is given up */
async function readAll(stream: ReadableStream<Uint8Array>, given: AbortSignal): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = stream.getReader();
  const stop = () => void reader.cancel().catch(() => {});
  given.addEventListener("abort", stop);
  for (;;) {
    const { done, value } = await reader.read();
    if (given.aborted) return undefined;
    if (done) return Buffer.concat(chunks).toString();
    size += value.length;
    if (size > LIMIT_BYTES) return undefined;
    chunks.push(value);
  }
}

/** Runs it in our own namespaces; it gets nothing of the caller's environment. */
export async function listingOf(name: string, ...args: string[]): Promise<Listing> {
  const program = programOf(name);
  if (!program) return { why: `the program ${name} is missing` };
  const child = Bun.spawn([program, ...args], {
    env: childEnvironment(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
  });
  const given = new AbortController();
  let late = false;
  // It may be a script: what that has started holds the pipes, and is ended with it.
  const giveUp = () => {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // all of it has ended by itself
    }
    given.abort();
  };
  const timer = setTimeout(() => {
    late = true;
    giveUp();
  }, LIMIT_MS);
  try {
    const complaint = readAll(child.stderr, given.signal);
    const text = await readAll(child.stdout, given.signal);
    if (text === undefined && !late) {
      giveUp();
      return { why: `${name} lists more than ${LIMIT_BYTES >> 20} MiB` };
    }
    const [said, code] = [(await complaint)?.trim().split("\n")[0], await child.exited];
    if (late || text === undefined) return { why: `${name} was not done after ${LIMIT_MS / 1000} s` };
    if (child.signalCode) return { why: `${name} was ended by ${child.signalCode}` };
    return code === 0 ? { text } : { why: `${name}: ${said || `exit code ${code}`}` };
  } finally {
    clearTimeout(timer);
    given.abort();
  }
}
