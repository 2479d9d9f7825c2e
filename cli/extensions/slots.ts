// SPDX-License-Identifier: MIT
// Extensions that tcpx does not ship, as a description says them: what they are to the rest of tcpx, and what programs
// have to know of them. Their code is an object that is linked in (cli/loader/slots.ts).

import { SlotEvent, SlotFlag, structs, WatchEvent } from "../layout/layout.generated.ts";
import type { Struct } from "../layout/struct.ts";
import { KINDS } from "../policy/rule.ts";
import type { EventWords } from "./seen.ts";
import type { Extension, RuleDraft } from "./types.ts";

/** Ids from here on are the host's to give; those below are built in. */
export const FIRST_SLOT = 8;
export const SLOTS = structs.tcpx_slot_config.fields.at.dims[0];

const EXPERIMENT = 254;
/** Bytes of a request or an answer: kind, length, identifier, 16 bits. */
const EXCHANGE = 6;
/** Most bytes of options beside those of Linux, on a SYN-ACK, and of all. */
const ROOM = { synAck: 20, all: 40 };
/** Kinds of options that the kernel, or tcpx itself, reads. */
const TAKEN = [0, 1, 2, 3, 4, 5, 8, 19, 28, 29, 30, 34, 253, EXPERIMENT];

/** An option of its own. */
export interface SlotOption {
  /** Its kind; or the identifier of an experiment, behind kind 254. */
  kind?: number;
  exid?: number;
  /** Least and most bytes of it, kind and length included. */
  least: number;
  most: number;
  /** It is on a SYN-ACK: whatever the SYN has, under an ask rule; or as an accept rule's reply to the SYN's own. */
  onSynAck?: "always" | "reply";
}

/** A request in 16 bits, and its answer. */
export interface SlotExchange {
  askExid: number;
  answerExid: number;
  /** The answer that refuses. */
  refused: number;
  /** Peers may ask again, with another wish. */
  anyTime?: boolean;
}

export interface SlotDescription {
  id: number;
  name: string;
  /** Of the words that its connections keep: another number, and it begins anew. */
  stateVersion?: number;
  /** Words in the values of its rules: 2 to 16. */
  words?: number;
  option?: SlotOption;
  exchange?: SlotExchange;
}

const isWithin = (n: number, least: number, most: number) => Number.isInteger(n) && n >= least && n <= most;

/** What is wrong with an option; undefined: nothing. */
function optionProblem({ kind, exid, least, most, onSynAck }: SlotOption): string | undefined {
  if ((kind === undefined) === (exid === undefined))
    return "an option has a kind, or the identifier of an experiment, and not both";
  if (kind !== undefined && (!isWithin(kind, 1, 252) || TAKEN.includes(kind)))
    return `option kind ${kind} is not free: 1 to 252, and none of ${TAKEN.slice(1, -2).join(", ")}`;
  if (exid !== undefined && !isWithin(exid, 1, 65_535)) return `identifier ${exid} is not 1 to 65535`;
  const head = kind === undefined ? 4 : 2;
  if (!isWithin(least, head, ROOM.all) || !isWithin(most, least, ROOM.all))
    return `an option has ${head} to ${ROOM.all} bytes, not ${least} to ${most}`;
  if (onSynAck !== undefined && most > ROOM.synAck)
    return `a SYN-ACK has room for ${ROOM.synAck} bytes, not for ${most}`;
  return undefined;
}

/** What is wrong with a description; undefined: nothing. */
export function slotProblem({ id, name, words = 2, option, exchange }: SlotDescription): string | undefined {
  if (!isWithin(id, FIRST_SLOT, FIRST_SLOT + SLOTS - 1))
    return `number ${id} is not ${FIRST_SLOT} to ${FIRST_SLOT + SLOTS - 1}`;
  if (!/^[a-z][a-z0-9-]{0,31}$/.test(name))
    return `'${name}' is no name: letters, digits and hyphens, 32 at most`;
  if (!isWithin(words, 2, 16)) return `a value has 2 to 16 words, not ${words}`;
  const wrong = option && optionProblem(option);
  if (wrong !== undefined) return wrong;
  if (!exchange) return undefined;
  const exids = [exchange.askExid, exchange.answerExid, ...(option?.exid === undefined ? [] : [option.exid])];
  const bad = exids.find((exid) => !isWithin(exid, 1, 65_535));
  if (bad !== undefined) return `identifier ${bad} is not 1 to 65535`;
  if (new Set(exids).size < exids.length) return "identifiers of request, answer and option differ";
  return isWithin(exchange.refused, 0, 65_535) ? undefined : `answer ${exchange.refused} is not 16 bits`;
}

const bit = (kind: (typeof KINDS)[number]) => 1 << KINDS.indexOf(kind);

/** Kinds of rules that have a say on a SYN-ACK, and bytes of what is said there. */
function onSynAck({
  option,
  exchange,
}: SlotDescription): Pick<Struct<"tcpx_slot">, "syn_ack_kinds" | "syn_ack_len"> {
  if (exchange) return { syn_ack_kinds: bit("accept"), syn_ack_len: EXCHANGE };
  if (!option?.onSynAck) return { syn_ack_kinds: 0, syn_ack_len: 0 };
  return { syn_ack_kinds: bit(option.onSynAck === "always" ? "ask" : "accept"), syn_ack_len: option.most };
}

/** Whose state a connection has: an extension with another name, or of another version, knows nothing of it. */
export const ownerOf = ({ name, stateVersion = 1 }: SlotDescription) =>
  Bun.hash.crc32(`${name} ${stateVersion}`) || 1;

const flagsOf = ({ option, exchange }: SlotDescription) =>
  (exchange ? SlotFlag.ASKS : 0) |
  (option ? SlotFlag.SAYS : 0) |
  (option?.onSynAck === "always" && !exchange ? SlotFlag.UNASKED : 0) |
  (exchange?.anyTime ? SlotFlag.ANY_TIME : 0);

/** For what changes connections that exist. */
export const encodeLiveSlot = (description: SlotDescription): Struct<"tcpx_live_slot"> => ({
  owner: ownerOf(description),
  number: description.id - FIRST_SLOT,
  flags: flagsOf(description),
  reserved: 0,
});

/** @param hooks a bit for each that its object has */
export function encodeSlot(description: SlotDescription, hooks: number): Struct<"tcpx_slot"> {
  const { option, exchange } = description;
  return {
    owner: ownerOf(description),
    hooks,
    refused: exchange?.refused ?? 0,
    kind: option?.kind ?? 0,
    least: option?.least ?? 0,
    most: option?.most ?? 0,
    ...onSynAck(description),
    flags: flagsOf(description),
  };
}

/** config.exids of it, by role: ask, answer, own. */
export const exidsOf = ({ option, exchange }: SlotDescription): number[] => [
  exchange?.askExid ?? 0,
  exchange?.answerExid ?? 0,
  option?.exid ?? 0,
];

/** What nobody answers has no value there. */
export function ownEvent(event: number, asked: number): EventWords | undefined {
  const words = { side: "ours", asked: false, granted: false } as const;
  if (event === SlotEvent.SAID) return { word: "said", event: "said", ...words };
  const isBare = event === WatchEvent.WITHHELD && asked === 0;
  return isBare ? { word: "withheld", event: "withheld", ...words } : undefined;
}

/** Without a description of its values they are words. */
const valueText = ({ value, none }: RuleDraft) => (none ? "none" : value.join(" "));

/** What it is to the rest of tcpx. */
export function slotExtension({
  id,
  name,
  words = 2,
}: Pick<SlotDescription, "id" | "name" | "words">): Extension {
  return {
    name,
    id,
    title: "an extension of this host",
    summary: name,
    verbs: {},
    examples: [],
    words,
    describe: valueText,
    json: ({ value, none }) => (none ? {} : { words: [...value] }),
    spell: () => [],
    seen: { event: ownEvent },
  };
}
