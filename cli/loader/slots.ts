// SPDX-License-Identifier: MIT
// The program of a scope with rules for extensions that tcpx does not ship: ours, with their objects linked in.

import { Exit, TcpxError } from "../base/errors.ts";
import type { Bridge, Errno } from "../bridge/bridge.ts";
import { linkObjects } from "../bridge/link.ts";
import { encodeSlot, exidsOf, FIRST_SLOT, SLOTS, type SlotDescription } from "../extensions/slots.ts";
import { encode, type Struct } from "../layout/struct.ts";
import { refusalOf, refusalText } from "../objects/verifier-log.ts";

/** What a host has of an extension. */
export interface SlotObject extends SlotDescription {
  bytes: Uint8Array;
}

let provider: (id: number) => SlotObject | undefined = () => undefined;
let describer: (id: number) => SlotDescription | undefined = () => undefined;

/**
 * Says where objects come from.
 * @param of by the number of an extension; undefined: the host does not have it
 * @param described the same without the object, for those who ask often
 */
export function provideSlots(of: typeof provider, described: typeof describer = of): void {
  provider = of;
  describer = described;
}

/** What this host has of an extension. @throws TcpxError for a package that is damaged */
export const slotObject = (id: number): SlotObject | undefined => provider(id);
/** What it is, without its object. */
export const slotDescription = (id: number): SlotDescription | undefined => describer(id);

export const slotMap = (slot: number) => `slot${slot}`;

/** Is it a map of the program? Those of slots are not of each. */
export const hasMap = (slots: Slotted | undefined, map: string): boolean =>
  !/^slot\d$/.test(map) || slots?.maps.includes(map) === true;

/** The slots of extensions, as bits: config.uses. */
export const slotsIn = (uses: number): number[] =>
  Array.from({ length: SLOTS }, (_, slot) => slot).filter((slot) => (uses >>> (FIRST_SLOT + slot)) & 1);

/** A program with slots. */
export interface Slotted {
  bytes: Uint8Array;
  /** Without extensions whose rules have gone, and which this host does not have any more. */
  uses: number;
  /** Of .rodata, behind the configuration. */
  config: Uint8Array;
  /** By extension: config.exids, as documented. */
  exids: Map<number, number[]>;
  /** Maps of the slots that are used: the host keeps them. */
  maps: string[];
  /** The extensions in it. */
  objects: readonly SlotObject[];
}

const EMPTY: Struct<"tcpx_slot"> = {
  ...{ owner: 0, hooks: 0, refused: 0, kind: 0, least: 0, most: 0 },
  ...{ syn_ack_len: 0, syn_ack_kinds: 0, flags: 0 },
};

/** @throws TcpxError when there are rules for one that the host does not have */
function objectsOf(required: number, uses: number): SlotObject[] {
  return slotsIn(uses).flatMap((slot) => {
    const id = FIRST_SLOT + slot;
    const object = provider(id);
    if (object || !((required >>> id) & 1)) return object ?? [];
    throw new TcpxError(Exit.FAILED, `there are rules for extension ${id}, which this host does not have`, {
      hint: "`tcpx ext remove NAME` takes them back, with its name in `tcpx ext list`",
    });
  });
}

/** Of config.uses, what needs no object. */
export const builtIn = (uses: number): number => uses & ((1 << FIRST_SLOT) - 1);

/** config.uses without what nobody has. */
const usesWith = (uses: number, objects: readonly SlotObject[]) =>
  objects.reduce((bits, { id }) => bits | (1 << id), builtIn(uses));

/**
 * The error for a program with slots that was not loaded: what others have written is the reason, as a rule.
 * @param log what libbpf and the verifier have said of it
 */
export function slotLoadError({ objects }: Pick<Slotted, "objects">, error: Errno, log: string): TcpxError {
  const suspects = objects.map(({ id, name, bytes }) => ({ name, bytes, slot: id - FIRST_SLOT }));
  const refusal = refusalOf(log, suspects);
  const names = refusal?.suspect ? [refusal.suspect.name] : objects.map(({ name }) => name);
  const what =
    names.length > 1 ? `the program with the extensions ${names.join(", ")}` : `extension ${names[0]}`;
  const why = refusal ? `: ${refusalText(refusal)}` : "";
  return new TcpxError(Exit.UNSUPPORTED, `the kernel refused ${what} (${error.code})${why}`, {
    value: names.join(", "),
    cause: error,
    hint: "the verifier's whole words are there with --verbose; without rules for it the others may be set",
  });
}

/**
 * The program for these extensions; undefined: the ordinary one does.
 * @param required those that rules of the scope are for: a bit for each
 * @param uses those, and others that it has to know
 * @param words that the values of the scope's rules have
 * @throws TcpxError when an object is not there, or cannot be linked
 */
export async function slotted(
  lib: Bridge,
  required: number,
  uses: number,
  words: number,
): Promise<Slotted | undefined> {
  const objects = objectsOf(required, uses);
  if (objects.length === 0) return undefined;
  const slotOf = ({ id }: SlotObject) => id - FIRST_SLOT;
  const linkable = objects.map((object) => ({
    name: object.name,
    slot: slotOf(object),
    bytes: object.bytes,
  }));
  const { bytes, hooks } = await linkObjects(lib, linkable);
  const at = Array.from({ length: SLOTS }, () => EMPTY);
  for (const object of objects) at[slotOf(object)] = encodeSlot(object, hooks.get(slotOf(object)) ?? 0);
  return {
    bytes,
    uses: usesWith(uses, objects),
    config: encode("tcpx_slot_config", { words, reserved: 0, at }),
    exids: new Map(objects.map((object) => [object.id, exidsOf(object)])),
    maps: objects.map((object) => slotMap(slotOf(object))),
    objects,
  };
}
