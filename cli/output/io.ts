// SPDX-License-Identifier: MIT
// Where output goes: results to stdout, messages to stderr.

import { type ConsolaInstance, createConsola } from "consola/core";
import { Exit, TcpxError } from "../errors.ts";

/** Version of the JSON documents. */
export const SCHEMA = 1;

export interface IoFlags {
  json: boolean;
  quiet: boolean;
  verbose: boolean;
}

const CHUNK = 1 << 16;
const LEVELS: Record<string, string> = { error: "31", warn: "33" };

/** Is colour wanted on this stream? (https://no-color.org) */
export function useColour(stream: NodeJS.WriteStream): boolean {
  return Boolean(stream.isTTY) && !process.env.NO_COLOR && process.env.TERM !== "dumb";
}

/** Control characters of a value must reach neither the terminal nor make a second line. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** Larger pieces: each is written and waited for. */
function* inChunks(texts: Iterable<string>): Generator<string> {
  let held = "";
  for (const text of texts) {
    held += text;
    if (held.length < CHUNK) continue;
    yield held;
    held = "";
  }
  if (held !== "") yield held;
}

/** stdout and stderr of one command. */
export class Io {
  readonly messages: ConsolaInstance;

  constructor(readonly flags: IoFlags) {
    this.messages = createConsola({
      level: flags.verbose ? 4 : flags.quiet ? 0 : 3,
      reporters: [
        {
          log: ({ type, args }) => {
            const word = type === "error" ? "" : type === "warn" ? "warning: " : "";
            const colour = LEVELS[type];
            const prefix = colour && useColour(process.stderr) ? `\x1b[${colour}mtcpx:\x1b[0m` : "tcpx:";
            process.stderr.write(
              `${prefix} ${word}${type === "debug" ? args.join(" ") : oneLine(args.join(" "))}\n`,
            );
          },
        },
      ],
    });
  }

  /** A result for people; silent with --quiet and --json. */
  print(text: string): void {
    if (!this.flags.json && !this.flags.quiet && text !== "") process.stdout.write(`${text}\n`);
  }

  /** The result for scripts; silent without --json. */
  json(document: Record<string, unknown>): void {
    if (!this.flags.json) return;
    const replacer = (_: string, value: unknown) => (typeof value === "bigint" ? value.toString() : value);
    process.stdout.write(`${JSON.stringify({ schema: SCHEMA, ...document }, replacer)}\n`);
  }

  /**
   * A long result in parts, for people or for scripts; silent with --quiet, unless it is for scripts. Ends
   * early when nobody reads any more, as in `| head`.
   * @throws TcpxError when it cannot be written
   */
  async parts(texts: Iterable<string>): Promise<void> {
    if (this.flags.quiet && !this.flags.json) return;
    const { stdout } = process;
    const failure = Promise.withResolvers<never>();
    failure.promise.catch(() => {}); // it may come after the last look at it
    stdout.on("error", failure.reject);
    const written = (text: string) =>
      new Promise<void>((resolve, reject) => {
        stdout.write(text, (error) => (error ? reject(error) : resolve()));
      });
    try {
      for (const text of inChunks(texts)) await Promise.race([written(text), failure.promise]);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "EPIPE") return;
      throw new TcpxError(Exit.FAILED, `stdout cannot be written: ${message}`, { cause: error });
    }
  }

  /** One line on stderr, and the error document with --json. */
  fail(error: TcpxError): void {
    this.json({
      error: {
        code: error.code,
        what: error.message,
        value: error.value ?? null,
        hint: error.hint ?? null,
        ...error.place,
        ...(error.holder !== undefined && { holder: error.holder }),
      },
    });
    this.messages.error(error.hint ? `${error.message}; ${error.hint}` : error.message);
  }
}
