// SPDX-License-Identifier: MIT
// Options of extensions on the wire, most of them of kind 254: length, experiment identifier, value (RFC 6994).

import { bitsHex, type Identifier, type Site } from "./site.ts";

export const EXPERIMENT_KIND = 254;

/** What an extension puts on segments. */
export interface WireOption {
  role: "ask" | "answer";
  kind: number;
  /** Behind kind 254. */
  identifier?: Identifier;
  /** Its identifier is neither that of the exchange's request nor of its answer: TCPX_ROLE_OWN. */
  own?: boolean;
  /** What stands behind kind, length and identifier, in words; undefined where that is none of its values. */
  words(payload: Uint8Array, site: Site): string | undefined;
}

/** A request or answer of 16 bits behind an identifier. */
export function experiment(
  role: WireOption["role"],
  identifier: Identifier,
  words: (bits: number, site: Site) => string,
): WireOption {
  return {
    role,
    kind: EXPERIMENT_KIND,
    identifier,
    words: (payload, site) =>
      payload.length === 2 ? words((payload[0]! << 8) | payload[1]!, site) : undefined,
  };
}

/** The option's six bytes as hex. */
export function requestHex(exid: number, value: number): string {
  return `fe06${bitsHex(exid)}${bitsHex(value)}`;
}
