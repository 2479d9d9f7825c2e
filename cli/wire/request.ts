// SPDX-License-Identifier: MIT
// Requests on the wire: kind 254, length 6, experiment identifier, 16 bits (RFC 6994).

import { Algorithm, Exid } from "../loader/layout.generated.ts";

export const EXPERIMENT_KIND = 254;

/** The option's six bytes as hex. */
export function requestHex(exid: number, value: number): string {
  return `fe06${exid.toString(16)}${value.toString(16).padStart(4, "0")}`;
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
};

/** A request or answer in words; undefined when the option is none of ours. */
export function describeRequest(option: Uint8Array): string | undefined {
  if (option[0] !== EXPERIMENT_KIND || option.length !== 6) return undefined;
  const words = WORDS[(option[2]! << 8) | option[3]!];
  return words && `${words((option[4]! << 8) | option[5]!)} (${option.toHex()})`;
}
