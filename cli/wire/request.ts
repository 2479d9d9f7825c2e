// SPDX-License-Identifier: MIT
// Requests on the wire: kind 254, length 6, experiment identifier, 16 bits (RFC 6994).

import { answerWords, askWords, tarrWords } from "./ack.ts";
import { bitsHex, DEFAULT_SITE, type ExidName, numberName, type Site } from "./site.ts";

export const EXPERIMENT_KIND = 254;

/** The option's six bytes as hex. */
export function requestHex(exid: number, value: number): string {
  return `fe06${bitsHex(exid)}${bitsHex(value)}`;
}

/** Of a congestion control. */
export const REFUSED = 0xffff;

const WORDS: Record<Exclude<ExidName, "tarr">, (value: number, site: Site) => string> = {
  "cc-ask": (value, site) => `asks for ${numberName(value, site) ?? `congestion control ${value}`}`,
  "cc-answer": (value, site) =>
    value === REFUSED ? "congestion control refused" : `grants ${numberName(value, site) ?? value}`,
  "iw-ask": (value) => `asks for a window of ${value} segments`,
  "iw-answer": (value) => (value === 0 ? "window refused" : `grants a window of ${value} segments`),
  "ack-ask": askWords,
  "ack-answer": answerWords,
};
const NAMES = Object.keys(WORDS) as (keyof typeof WORDS)[];

/** What the bytes behind kind and length say; undefined when they are none of ours. */
function wordsOf(body: Uint8Array, site: Site): string | undefined {
  const exid = (body[0]! << 8) | body[1]!;
  if (exid === site.exids.tarr) return tarrWords(body.subarray(2));
  const name = NAMES.find((name) => site.exids[name] === exid);
  return name && body.length === 4 ? WORDS[name]((body[2]! << 8) | body[3]!, site) : undefined;
}

/** A request or answer in words; undefined when the option is none of ours. */
export function describeRequest(option: Uint8Array, site: Site = DEFAULT_SITE): string | undefined {
  if (option[0] !== EXPERIMENT_KIND || option.length < 4) return undefined;
  const words = wordsOf(option.subarray(2), site);
  return words && `${words} (${option.toHex()})`;
}
