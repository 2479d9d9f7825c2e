// SPDX-License-Identifier: MIT
// Values of a rule: the text that people write, and the word of 32 bits that the rule has.

import { meant } from "../base/did-you-mean.ts";
import { durationMs, exactMicros, formatDuration, meantDuration } from "../base/duration.ts";
import { usageError } from "../base/errors.ts";
import { formatSize, meantSize, sizeOf } from "../base/size.ts";
import type { ValueSpec, ValueType } from "./types.ts";

/** What is needed of a value to read and write it. */
export type Written = Pick<ValueSpec, "type" | "unit" | "choices">;

const MICROS = 1000;

/** Microseconds of "500us", "4ms" and the like. */
function durationUs(text: string): number | undefined {
  const us = /^(\d{1,15})us$/.exec(text);
  if (us) return Number(us[1]);
  const ms = durationMs(text);
  return ms === undefined ? undefined : ms * MICROS;
}

/** The word that a text means; undefined: the text is nothing of this type. It may be too large. */
export function wordOf({ type, unit, choices = {} }: Written, text: string): number | undefined {
  switch (type) {
    case "integer":
      return /^\d{1,10}$/.test(text) ? Number(text) : undefined;
    case "duration":
      return unit === "us" ? durationUs(text) : durationMs(text);
    case "rate":
    case "bytes":
      return sizeOf(text, type);
    case "choice":
      return Object.hasOwn(choices, text) ? choices[text] : undefined;
    case "switch":
      return undefined;
  }
}

/** As the command line takes it. A word that is no choice any more is a number. */
export function textOf({ type, unit, choices = {} }: Written, word: number): string {
  switch (type) {
    case "integer":
    case "switch":
      return String(word);
    case "duration":
      return unit === "us" ? exactMicros(word) : formatDuration(word);
    case "rate":
    case "bytes":
      return formatSize(word, type);
    case "choice":
      return Object.keys(choices).find((name) => choices[name] === word) ?? String(word);
  }
}

/** As people read it: "6 segments", "30s". */
export function saidOf(value: Written, word: number): string {
  if (value.type === "switch") return word === 0 ? "off" : "on";
  const text = textOf(value, word);
  return value.type === "integer" && value.unit !== undefined ? `${text} ${value.unit}` : text;
}

const NOUNS: Record<ValueType, string> = {
  integer: "a whole number",
  duration: "a duration",
  rate: "a rate",
  bytes: "a size",
  choice: "one of its words",
  switch: "a value",
};

/** "1 to 1024", "64k to 10G", "fast or slow": what is accepted. */
export function acceptedOf(value: ValueSpec): string {
  if (value.type === "choice") return Object.keys(value.choices ?? {}).join(", ");
  return `${textOf(value, value.least)} to ${textOf(value, value.most)}`;
}

/** What a value of the type looks like, for messages. */
const LIKE: Partial<Record<ValueType, string>> = {
  duration: ", such as 500ms, 30s, 2min, 1h",
  rate: ", such as 10M (bits per second, in powers of 1000)",
  bytes: ", such as 64k (bytes, in powers of 1024)",
};

function near(value: ValueSpec, text: string, hint: string): string {
  const { type, unit, choices = {}, least, most } = value;
  if (type === "choice") return meant(text, Object.keys(choices), hint);
  let other: string | undefined;
  if (type === "rate" || type === "bytes") other = meantSize(text, type);
  else if (type === "duration") {
    const [scale, bare] = unit === "us" ? [MICROS, 1] : [1, undefined];
    other = meantDuration(text, Math.ceil(least / scale), Math.floor(most / scale), bare);
  }
  const word = other === undefined || other === text ? undefined : wordOf(value, other);
  return word !== undefined && word >= least && word <= most ? `did you mean ${other}? ${hint}` : hint;
}

/**
 * The word of a text that a user has written.
 * @param what names the argument in the error, such as `--min`
 * @param also what else is accepted: ", or none"
 * @throws TcpxError (usage)
 */
export function parseValue(value: ValueSpec, text: string, what: string, also = ""): number {
  const hint = `accepted is ${acceptedOf(value)}${LIKE[value.type] ?? ""}${also}`;
  const word = wordOf(value, text);
  if (word === undefined) {
    throw usageError(`${what} '${text}' is not ${NOUNS[value.type]}`, text, near(value, text, hint));
  }
  if (word < value.least || word > value.most) {
    throw usageError(`${what} '${text}' is out of range`, text, hint);
  }
  return word;
}

const SUFFIXES: Partial<Record<ValueType, string>> = { rate: "_bytes_per_second", bytes: "_bytes" };

/** Its member in JSON. */
export function memberOf({ name, type, unit }: Pick<ValueSpec, "name" | "type" | "unit">): string {
  const suffix = type === "duration" ? `_${unit ?? "ms"}` : (SUFFIXES[type] ?? "");
  return `${name.replaceAll("-", "_")}${suffix}`;
}

/** What that member is. */
export function jsonOf(value: Written, word: number): unknown {
  if (value.type === "switch") return word !== 0;
  return value.type === "choice" ? textOf(value, word) : word;
}
