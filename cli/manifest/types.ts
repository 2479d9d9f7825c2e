// SPDX-License-Identifier: MIT
// What extension.toml says of an extension that tcpx does not ship. docs/extend.md describes it for authors.

import type { Example } from "../base/args.ts";
import type { SlotExchange, SlotOption } from "../extensions/slots.ts";
import type { Direction, Kind } from "../policy/rule.ts";

/** Of the file. */
export const MANIFEST_SCHEMA = 1;
/** Of tcpx_ext.h: it is in the names of its symbols (tcpx1_). */
export const API = 1;

/** What a value is: how it is written, and what the word of the rule holds. */
export type ValueType =
  /** A whole number. */
  | "integer"
  /** "30s": milliseconds, or microseconds. */
  | "duration"
  /** "10M": bits per second; the word has bytes per second. */
  | "rate"
  /** "64k": bytes; k, M and G are powers of 1024. */
  | "bytes"
  /** A word of a list. */
  | "choice"
  /** A flag without a value: 1, or 0 where it is left out. */
  | "switch";

/** One of [values.NAME]: 32 bits of a rule. */
export interface ValueSpec {
  name: string;
  type: ValueType;
  /** For the help. */
  text: string;
  /** integer: behind the number, in the plural ("segments"). duration: "ms" or "us", and always there. */
  unit?: string;
  /** In the word's own unit. */
  least: number;
  most: number;
  choices?: Readonly<Record<string, number>>;
  /** For the help: "N". */
  hint: string;
  /** Which word of the rule. */
  word: number;
  /** What the word has where the flag is left out. Without one the flag is required. */
  fallback?: number;
}

/** A word of 32 bits. */
export const WORD_MOST = 0xffff_ffff;

/** [verbs.set] or [verbs.accept]. */
export interface VerbSpec {
  name: "set" | "accept";
  kind: Extract<Kind, "ask" | "local" | "accept">;
  summary: string;
  /** The value behind the verb, where `none` may stand, too. */
  word?: string;
  /** Values that are flags. */
  flags: readonly string[];
  /** Of ask: --local makes it a local rule. */
  orLocal: boolean;
  /** --force: the application's own choice is overridden. */
  force: boolean;
  /** --live; the object has the hook for it. */
  live: boolean;
  /** A rule in words: "<= {max}"; all values when left out. */
  says?: string;
  examples: readonly Example[];
  notes: readonly string[];
}

/** [request]: asked and answered in 16 bits. */
export interface RequestSpec extends SlotExchange {
  /** The value that the 16 bits are. */
  value?: string;
}

/** [option]: its own option. */
export interface OptionSpec extends SlotOption {
  /** The value that stands behind its head, in 1, 2 or 4 bytes. */
  value?: string;
}

/** [test]: what `ext test` sets at its two ends, as it stands behind the extension's name. */
export interface TestSpec {
  client?: string;
  server?: string;
}

export interface Manifest {
  schema: number;
  api: number;
  name: string;
  /** Of the extension: "1.2.0". */
  version: string;
  summary: string;
  /** The standard or draft that it follows. */
  title: string;
  author?: string;
  license?: string;
  stateVersion: number;
  values: readonly ValueSpec[];
  verbs: readonly VerbSpec[];
  directions: Readonly<Partial<Record<Kind, Exclude<Direction, "both">>>>;
  option?: OptionSpec;
  request?: RequestSpec;
  test?: TestSpec;
}
