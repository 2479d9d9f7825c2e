// SPDX-License-Identifier: MIT
// What stands behind a socket's record: of each slot for extensions that tcpx does not ship, what connections have of it
// (struct tcpx_listed_slot).

import type { Raw, RawRule } from "../extensions/seen.ts";
import { FIRST_SLOT, ownerOf } from "../extensions/slots.ts";
import type { Extension } from "../extensions/types.ts";
import { Kind, RequestState, structs } from "../layout/layout.generated.ts";
import { decode } from "../layout/struct.ts";
import { slotDescription } from "../loader/slots.ts";

const { size: PART } = structs.tcpx_listed_slot;
const { size: HEAD } = structs.tcpx_listed;

/** Bytes of a socket and of these slots. */
export const recordSize = (slots: readonly number[]): number => HEAD + slots.length * PART;

const NO_RULE: RawRule = { flags: 0, id: 0, outcome: 0, value: [0, 0] };

/**
 * What there is of an extension in a slot; undefined: nothing, or it is of another one that had the slot before.
 * @param slots whose parts follow a record, in their order
 * @param written bit per extension: was on some segment
 */
export function slotRaw(
  bytes: Uint8Array,
  at: number,
  slots: readonly number[],
  written: number,
  { id, words = 2 }: Pick<Extension, "id" | "words">,
): Raw | undefined {
  const place = slots.indexOf(id - FIRST_SLOT);
  if (place < 0) return undefined;
  const { owner, rules, ours, peers, value } = decode("tcpx_listed_slot", bytes, at + HEAD + place * PART);
  const here = slotDescription(id);
  if (owner === 0 || (here && ownerOf(here) !== owner)) return undefined;
  const rule = (kind: number): RawRule => {
    const [first = 0, second = 0, ...more] = value[kind]!.slice(0, words);
    return { ...NO_RULE, flags: rules.flags[kind]!, id: rules.ids[kind]!, value: [first, second, ...more] };
  };
  // an option of its own has no answers; whether an extension that is not here has one, nobody knows
  const isExchange = here ? here.exchange !== undefined : true;
  return {
    local: { ...rule(Kind.LOCAL), outcome: rules.outcome },
    ask: rule(Kind.ASK),
    kinds: {},
    ...(isExchange && { ours, peers }),
    written: (written & (1 << id)) !== 0,
    own: {},
    wide: {},
  };
}

/** Has the connection anything of it: a rule, or a request of the peer's? */
export const hasAny = ({ local, ask, peers }: Raw): boolean =>
  local.flags !== 0 || ask.flags !== 0 || (peers?.state ?? RequestState.NONE) !== RequestState.NONE;
