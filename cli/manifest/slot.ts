// SPDX-License-Identifier: MIT
// What programs have to know of an extension: its option, its request, how many words its rules have.

import type { SlotDescription } from "../extensions/slots.ts";
import type { Manifest } from "./types.ts";

/** The least that a rule has. */
const WORDS = 2;

/** Words of 32 bits in its rules. */
export const wordsOf = ({ values }: Pick<Manifest, "values">): number =>
  Math.max(WORDS, ...values.map(({ word }) => word + 1));

/** @param id that the host has given it */
export function describeSlot(manifest: Manifest, id: number): SlotDescription {
  const { name, stateVersion, option, request } = manifest;
  return {
    id,
    name,
    stateVersion,
    words: wordsOf(manifest),
    ...(option && {
      option: {
        ...(option.kind !== undefined && { kind: option.kind }),
        ...(option.exid !== undefined && { exid: option.exid }),
        ...{ least: option.least, most: option.most },
        ...(option.onSynAck && { onSynAck: option.onSynAck }),
      },
    }),
    ...(request && {
      exchange: {
        ...{ askExid: request.askExid, answerExid: request.answerExid, refused: request.refused },
        ...(request.anyTime && { anyTime: true }),
      },
    }),
  };
}
