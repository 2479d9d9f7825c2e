// SPDX-License-Identifier: MIT
// The extensions of the registry, and what is asked of them.

import type { Example } from "../base/args.ts";
import { commonKind, KINDS, type Kind, type Rule } from "../policy/rule.ts";
import * as registry from "./registry.ts";
import type { Seen } from "./seen.ts";
import { FIRST_SLOT, SLOTS, slotExtension } from "./slots.ts";
import type { Extension, RuleDraft } from "./types.ts";

const all = Object.values<Extension>(registry).sort((a, b) => a.id - b.id);
/** In the order of their ids. */
export const extensions: readonly Extension[] = all;

const byName = new Map(all.map((extension) => [extension.name, extension]));
const byId = new Map(all.map((extension) => [extension.id, extension]));

/**
 * One that tcpx does not ship is there from now on. Its object: provideSlots() of cli/loader/slots.ts. main.ts adds
 * those of the host before it looks for the command: what a help says of all extensions is put together once.
 */
export function addExtension(extension: Extension): void {
  const before = byId.get(extension.id);
  if (before) {
    byName.delete(before.name);
    all.splice(all.indexOf(before), all.includes(before) ? 1 : 0);
  }
  byName.set(extension.name, extension);
  byId.set(extension.id, extension);
  all.push(extension);
  all.sort((a, b) => a.id - b.id);
}

/** One that was added is not there any more. */
export function removeExtension(id: number): void {
  const extension = byId.get(id);
  if (!extension || id < FIRST_SLOT) return;
  byId.delete(id);
  if (byName.get(extension.name) === extension) byName.delete(extension.name);
  const at = all.indexOf(extension);
  if (at >= 0) all.splice(at, 1);
}

/** Rules of one that this host does not know any more are rules, too: they can be told, and removed. */
function unknownSlot(id: number): Extension | undefined {
  if (id < FIRST_SLOT || id >= FIRST_SLOT + SLOTS) return undefined;
  const extension = slotExtension({ id, name: `ext-${id}`, words: 2 });
  byName.set(extension.name, extension);
  byId.set(id, extension);
  return extension;
}

/** Those among these numbers that this host does not know: what is of them is told as of `ext-9`. */
export const unknownSlots = (ids: readonly number[]): Extension[] =>
  ids.flatMap((id) => {
    const known = byId.get(id) ?? unknownSlot(id);
    return known && !all.includes(known) ? known : [];
  });

/** The extension of a rule. */
export function extensionOf({ ext }: { ext: string }): Extension {
  const extension = byName.get(ext);
  if (!extension) throw new RangeError(`no extension ${ext}`);
  return extension;
}

/** The kinds of rules that it may have, by the numbers that they are stored by. */
export const kindsOf = ({ kinds = [] }: Extension): readonly Kind[] => [...KINDS, ...kinds];

/** What a rule's extension and kind are stored by. */
export function numbersOf({ ext, kind }: Pick<Rule, "ext" | "kind">): { id: number; kind: number } {
  const extension = extensionOf({ ext });
  const common = commonKind(kind);
  if (common >= 0) return { id: extension.id, kind: common };
  const own = extension.kinds?.indexOf(kind) ?? -1;
  if (own < 0) throw new RangeError(`${ext} has no rules of kind ${kind}`);
  return { id: extension.id, kind: KINDS.length + own };
}

/**
 * The extension and kind of a stored rule.
 * @throws RangeError when another tcpx, which has more of them, has stored it
 */
export function storedAs(id: number, kind: number): Pick<Rule, "ext" | "kind"> {
  const extension = byId.get(id) ?? unknownSlot(id);
  if (!extension) throw new RangeError(`number ${id} is none of ours`);
  const name = KINDS[kind] ?? extension.kinds?.[kind - KINDS.length];
  if (name === undefined) throw new RangeError(`number ${kind} is no kind of ${extension.name} rules`);
  return { ext: extension.name, kind: name };
}

/** Slots of the site's table that a rule refers to. */
export const slotsOf = (rule: RuleDraft & { ext: string }): number[] => extensionOf(rule).slots?.(rule) ?? [];

/** Do connections that are opened under this rule have an option on their SYN? */
export function isOnSyn(rule: Pick<Rule, "ext" | "kind" | "none" | "selector">): boolean {
  const speaks = rule.kind === "ask" || extensionOf(rule).announces?.includes(rule.kind);
  return speaks === true && !rule.none && rule.selector.direction !== "from";
}

/** What the extensions add to the help of a command that shows them. */
export function helpOf(command: keyof NonNullable<Seen["help"]>): { examples: Example[]; notes: string[] } {
  const parts = extensions.flatMap(({ seen }) => seen?.help?.[command] ?? []);
  return {
    examples: parts.flatMap(({ examples = [] }) => examples),
    notes: parts.flatMap(({ note = [] }) => note),
  };
}
