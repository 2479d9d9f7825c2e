// SPDX-License-Identifier: MIT
// Bytes to a port of 127.0.0.1 in a namespace, a connection each, and what came back until the server closed it.
import { connect, type Socket } from "node:net";
import { run } from "./process.ts";

/** What the server answers to each of these; "" where it just ends the connection. */
export async function rawAnswers(
  netns: string,
  port: number,
  requests: readonly Buffer[],
): Promise<string[]> {
  const stdin = JSON.stringify(requests.map((bytes) => bytes.toString("base64")));
  const said = await run([process.execPath, import.meta.path, String(port)], { netns }, stdin);
  return (JSON.parse(said) as string[]).map((text) => Buffer.from(text, "base64").toString("latin1"));
}

/**
 * So many connections at once that send the first half. When the server has ended `excess` of them, the others
 * send the rest; how many of these are answered.
 */
export async function crowd(netns: string, port: number, size: number, excess: number): Promise<number> {
  const argv = [process.execPath, import.meta.path, String(port), String(size), String(excess)];
  return Number(await run(argv, { netns }));
}

const HALVES = ["GET /metr", "ics HTTP/1.1\r\nHost: a\r\n\r\n"] as const;

/** Resolves with what came back when the connection has ended, however. */
function talk(port: number, bytes: Buffer): { socket: Socket; answer: Promise<Buffer> } {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const parts: Buffer[] = [];
  const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
  socket.on("data", (part: Buffer) => parts.push(part));
  socket.on("error", () => {});
  socket.on("close", () => resolve(Buffer.concat(parts)));
  return { socket, answer: promise };
}

async function crowded(port: number, size: number, excess: number): Promise<number> {
  let ended = 0;
  const talks = Array.from({ length: size }, () => talk(port, Buffer.from(HALVES[0])));
  for (const { socket } of talks) {
    socket.on("close", () => {
      if (++ended !== excess) return;
      for (const { socket } of talks) if (!socket.destroyed) socket.write(HALVES[1]);
    });
  }
  const answers = await Promise.all(talks.map(({ answer }) => answer));
  return answers.filter((answer) => answer.toString("latin1").startsWith("HTTP/1.1 200 ")).length;
}

if (import.meta.main) {
  const [port = 0, size = 0, excess = 0] = process.argv.slice(2).map(Number);
  if (size > 0) console.log(await crowded(port, size, excess));
  else {
    const requests = (await Bun.stdin.json()) as string[];
    const talks = requests.map((text) => talk(port, Buffer.from(text, "base64")));
    const answers = await Promise.all(talks.map(({ answer }) => answer));
    console.log(JSON.stringify(answers.map((bytes) => bytes.toString("base64"))));
  }
}
