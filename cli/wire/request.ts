// SPDX-License-Identifier: MIT
// Requests on the wire: kind 254, length 6, experiment identifier, 16 bits (RFC 6994).

import { Algorithm, Exid } from "../loader/layout.generated.ts";
import { answerWords, askWords, tarrWords } from "./ack.ts";

export const EXPERIMENT_KIND = 254;

/** The option's six bytes as hex. */
export function requestHex(exid: number, value: number): string {
  return `fe06${exid.toString(16).padStart(4, "0")}${value.toString(16).padStart(4, "0")}`;
}

/** Names of congestion controls as the kernel has them, by the number that travels. */
export const ALGORITHMS: readonly string[] = Object.entries(Algorithm)
  .filter(([name]) => name !== "COUNT")
  .map(([name]) => name.toLowerCase());

const REFUSED = 0xffff;

const WORDS: Record<number, (value: number) => string> = {
  [Exid.CC_ASK]: (value) => `asks for ${ALGORITHMS[value] ?? `congestion control ${value}`}`,
  [Exid.CC_ANSWER]: (value) =>
    value === REFUSED ? "congestion control refused" : `grants ${ALGORITHMS[value] ?? value}`,
  [Exid.IW_ASK]: (value) => `asks for a window of ${value} segments`,
  [Exid.IW_ANSWER]: (value) => (value === 0 ? "window refused" : `grants a window of ${value} segments`),
  [Exid.ACK_ASK]: askWords,
  [Exid.ACK_ANSWER]: answerWords,
};

/** What the bytes behind kind and length say; undefined when they are none of ours. */
function wordsOf(body: Uint8Array): string | undefined {
  const exid = (body[0]! << 8) | body[1]!;
  if (exid === Exid.TARR) return tarrWords(body.subarray(2));
  return body.length === 4 ? WORDS[exid]?.((body[2]! << 8) | body[3]!) : undefined;
}

/** A request or answer in words; undefined when the option is none of ours. */
export function describeRequest(option: Uint8Array): string | undefined {
  if (option[0] !== EXPERIMENT_KIND || option.length < 4) return undefined;
  const words = wordsOf(option.subarray(2));
  return words && `${words} (${option.toHex()})`;
}
