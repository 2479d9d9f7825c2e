// SPDX-License-Identifier: MIT
// Talking to the agent: one line of JSON there, one line back, on a stream socket that only we can reach.

import type { Socket } from "node:net";
import { Exit, TcpxError } from "../base/errors.ts";
import { checkRunDir, SOCKET } from "./run-dir.ts";

export type Op = "sync" | "status" | "stop";

export interface AgentRequest {
  op: Op;
  /** sync: a network namespace that is to be served at once, by a file of a living process. */
  netns?: { path: string; inode: number } | undefined;
  /** Also what is in the way of the routes: that takes a look at each namespace. */
  ways?: boolean;
}

const ANSWER_MS = 5000;

/** The agent has answered that it cannot. */
export class Refusal extends TcpxError {}

/** The first line that arrives, of at most `most` bytes; undefined when the other side ends without one. */
export function firstLine(socket: Socket, most: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let length = 0;
    socket.on("data", (part: Buffer) => {
      parts.push(part);
      length += part.length;
      const at = part.indexOf(10);
      if (at >= 0) resolve(Buffer.concat(parts, length - part.length + at).toString());
      else if (length > most) reject(new Error("line too long"));
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(undefined));
  });
}

const ABSENT = ["ENOENT", "ECONNREFUSED", "ECONNRESET", "EPIPE"];

/**
 * Asks the agent; undefined when none runs, or it ended before it answered.
 * @throws TcpxError when it does not answer in `ms`, or the directory is not ours
 */
export async function askAgent<Answer>(request: AgentRequest, ms = ANSWER_MS): Promise<Answer | undefined> {
  if (!checkRunDir()) return undefined;
  const { createConnection } = await import("node:net"); // most commands never come here
  const socket = createConnection(SOCKET);
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const hint = "`tcpx agent --stop` ends it";
      reject(new TcpxError(Exit.FAILED, `the agent does not answer (${ms} ms)`, { hint }));
    }, ms);
  });
  try {
    socket.on("connect", () => socket.write(`${JSON.stringify(request)}\n`));
    const line = await Promise.race([firstLine(socket, Number.MAX_SAFE_INTEGER), late]);
    if (line === undefined) return undefined;
    const answer = JSON.parse(line) as Answer & { error?: string };
    if (answer.error === undefined) return answer;
    throw new Refusal(Exit.FAILED, `the agent: ${answer.error}`);
  } catch (error) {
    if (ABSENT.includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}
