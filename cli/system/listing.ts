// SPDX-License-Identifier: MIT
// What another program of the system lists, within bounds of time and size.

import { childEnvironment, programOf } from "./child.ts";

const LIMIT_MS = 5000;
const LIMIT_BYTES = 16 << 20;

/** No text: why there is none. */
export type Listing = { text: string } | { why: string };

async function readAll(stream: ReadableStream<Uint8Array>, most: number): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > most) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
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
    timeout: LIMIT_MS,
    killSignal: "SIGKILL",
  });
  const complaint = readAll(child.stderr, LIMIT_BYTES);
  const text = await readAll(child.stdout, LIMIT_BYTES);
  if (text === undefined) {
    child.kill("SIGKILL");
    await child.exited;
    return { why: `${name} lists more than ${LIMIT_BYTES >> 20} MiB` };
  }
  const [code, said] = [await child.exited, (await complaint)?.trim().split("\n")[0]];
  if (child.signalCode === "SIGKILL") return { why: `${name} was not done after ${LIMIT_MS / 1000} s` };
  if (child.signalCode) return { why: `${name} was ended by ${child.signalCode}` };
  return code === 0 ? { text } : { why: `${name}: ${said || `exit code ${code}`}` };
}
