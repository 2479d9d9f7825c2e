// SPDX-License-Identifier: MIT
// One line per request to a test program, one per answer.
import type { Child } from "./process.ts";

const REPLY_SLACK_MS = 5000;

/** An "err" answer of a test program; errno is 0 where it has none. */
export class PeerError extends Error {
  constructor(
    command: string,
    readonly errno: number,
    readonly code: string,
  ) {
    super(`${command}: ${code} (${errno})`);
  }
}

/** For a request that should fail: its error. */
export async function peerErrorOf(request: Promise<unknown>): Promise<PeerError> {
  const answer = await request.catch((error: unknown) => error);
  if (answer instanceof PeerError) return answer;
  throw new Error(`expected a PeerError, got ${answer}`);
}

interface Pending {
  resolve(words: string): void;
  reject(error: Error): void;
}

/** One program that answers lines; every request has an id, so several can be under way. */
export class LineClient {
  private readonly pending = new Map<string, Pending>();
  private count = 0;

  constructor(readonly child: Child) {
    void this.read();
  }

  get pid(): number {
    return this.child.pid;
  }

  /** Sends one command and returns what follows "ok". */
  request(command: string, ms = REPLY_SLACK_MS): Promise<string> {
    const id = `@${++this.count}`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.pending.delete(id);
        reject(new Error(`no answer to "${command}" from pid ${this.pid}`));
      }, ms + REPLY_SLACK_MS);
      this.pending.set(id, {
        reject,
        resolve: (words) => {
          clearTimeout(timer);
          if (/^ok\b/.test(words)) return resolve(words.slice(3));
          const [, first = "", ...rest] = words.split(" ");
          const errno = Number(first);
          reject(
            errno > 0 ? new PeerError(command, errno, rest.join(" ")) : new PeerError(command, 0, first),
          );
        },
      });
      this.child.stdin.write(`${id} ${command}\n`);
      this.child.stdin.flush();
    });
  }

  /** A request whose answer is one number. */
  async number(command: string, ms?: number): Promise<number> {
    return Number((await this.request(command, ms)).split(" ")[0]);
  }

  private async read(): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of this.child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.answer(line);
    }
    // A request of a program that died; after a planned stop nobody waits any more.
    const why = new Error(`the test program with pid ${this.pid} ended`);
    for (const waiting of this.pending.values()) waiting.reject(why);
  }

  private answer(line: string): void {
    const space = line.indexOf(" ");
    const id = line.slice(0, space);
    this.pending.get(id)?.resolve(line.slice(space + 1));
    this.pending.delete(id);
  }
}

export function pairs(text: string): Record<string, string> {
  return Object.fromEntries(text.split(" ").map((word) => word.split("=", 2)));
}
