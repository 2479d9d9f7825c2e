// SPDX-License-Identifier: MIT
// Where output goes: results to stdout, messages to stderr. All of it goes through here, and so is safe for a
// terminal whatever names are in it (safe.ts).

import { type ConsolaInstance, createConsola } from "consola/core";
import type { TcpxError } from "../base/errors.ts";
import { documentParts, documentText } from "./document.ts";
import { inJson, marked, painted, type Style, shortened, visible } from "./safe.ts";
import { stderr, stdout } from "./streams.ts";

/** Version of the JSON documents; docs/json.md says what it promises. */
export const SCHEMA = 2;

export interface IoFlags {
  json: boolean;
  quiet: boolean;
  verbose: boolean;
}

const CHUNK = 1 << 16;
/** Characters of a message; a value of any length may be in it. */
const LONGEST = 1000;
const STYLES: Record<string, Style> = { error: "red", warn: "yellow" };

/** Is colour wanted on this stream? (https://no-color.org) */
export function useColour(stream: NodeJS.WriteStream): boolean {
  return Boolean(stream.isTTY) && !process.env.NO_COLOR && process.env.TERM !== "dumb";
}

/** Text in a colour, where the stream has colours. */
export const styled = (style: Style, text: string, stream = process.stdout as NodeJS.WriteStream): string =>
  useColour(stream) ? marked(style, text) : text;

/** One JSON document, on a line. */
export function writeDocument(document: Record<string, unknown>): void {
  void stdout.write(`${inJson(documentText(document))}\n`);
}

function writeMessage(type: string, text: string): void {
  const style = STYLES[type];
  const name = style ? styled(style, "tcpx:", process.stderr) : "tcpx:";
  const prefix = `${name} ${type === "warn" ? "warning: " : ""}`;
  const room = LONGEST - Bun.stringWidth(prefix);
  const line = type === "debug" ? text.replaceAll("\t", "    ") : shortened(visible(text), room);
  void stderr.write(painted(`${prefix}${line}\n`));
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

const errorJson = (error: TcpxError): Record<string, unknown> => ({
  code: error.code,
  what: error.message,
  value: error.value ?? null,
  hint: error.hint ?? null,
  ...error.place,
  ...(error.holder !== undefined && { holder: error.holder }),
});

/** stdout and stderr of one command. */
export class Io {
  readonly messages: ConsolaInstance;

  constructor(readonly flags: IoFlags) {
    this.messages = createConsola({
      level: flags.verbose ? 4 : flags.quiet ? 0 : 3,
      reporters: [{ log: ({ type, args }) => writeMessage(type, args.join(" ")) }],
    });
  }

  /** Lines of another program, on stderr as it has said them. */
  quote(lines: readonly string[]): void {
    for (const line of lines)
      void stderr.write(painted(`${shortened(visible(line.replaceAll("\t", "    ")), LONGEST)}\n`));
  }

  /** A result for people; silent with --quiet and --json. */
  print(text: string): void {
    if (!this.flags.json && !this.flags.quiet && text !== "") this.page(text);
  }

  /** What was asked for with all flags, such as --help. */
  page(text: string): void {
    void stdout.write(painted(`${text}\n`));
  }

  /** The result for scripts; silent without --json. */
  json(document: Record<string, unknown>): void {
    if (this.flags.json) writeDocument({ schema: SCHEMA, ...document });
  }

  /** As json() for a document with long lists: each part is written before the next one is made. */
  async document(document: Record<string, unknown>): Promise<void> {
    if (this.flags.json) await this.parts(documentParts({ schema: SCHEMA, ...document }));
  }

  /** As print() for many rows, each with its line break. */
  async rows(texts: Iterable<string>): Promise<void> {
    if (!this.flags.json && !this.flags.quiet) await this.parts(texts);
  }

  /**
   * A long result in parts, for people or for scripts; silent with --quiet, unless it is for scripts. Ends
   * early when nobody reads any more, as in `| head`.
   * @throws TcpxError when it cannot be written
   */
  async parts(texts: Iterable<string>): Promise<void> {
    if (this.flags.quiet && !this.flags.json) return;
    const safe = this.flags.json ? inJson : painted;
    for (const text of inChunks(texts)) {
      await stdout.write(safe(text));
      if (stdout.broken) break;
    }
    const problem = stdout.problem();
    if (problem) throw problem;
  }

  /** With --verbose, where an error comes from. */
  trace(error: Error): void {
    const head = `${error.name}: ${error.message}`;
    const stack = error.stack ?? "";
    const frames = stack.startsWith(head) ? stack.slice(head.length) : "";
    this.messages.debug(shortened(visible(head), LONGEST) + frames);
  }

  /** One line on stderr for each thing that is wrong, and the error document with --json. */
  fail(error: TcpxError): void {
    const { others, more } = error;
    const all = [error, ...others];
    const several = others.length > 0 && { errors: all.map((one) => errorJson(one)), more };
    this.json({ error: { ...errorJson(error), ...several } });
    for (const { message, hint } of all) this.messages.error(hint ? `${message}; ${hint}` : message);
    if (more > 0) this.messages.error(`and ${more} more`);
  }
}
