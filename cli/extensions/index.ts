// SPDX-License-Identifier: MIT
// The extensions of the registry, and what is asked of them.

import type { Example } from "../base/args.ts";
import { Exit, TcpxError } from "../base/errors.ts";
import type { Rule } from "../policy/rule.ts";
import * as registry from "./registry.ts";
import type { Seen } from "./seen.ts";
import type { Extension, RuleDraft } from "./types.ts";

/** In the order of their ids. */
export const extensions: readonly Extension[] = Object.values<Extension>(registry).sort(
  (a, b) => a.id - b.id,
);

const byName = new Map(extensions.map((extension) => [extension.name, extension]));
const byId = new Map(extensions.map((extension) => [extension.id, extension]));

/** The extension of a rule. */
export function extensionOf({ ext }: { ext: string }): Extension {
  const extension = byName.get(ext);
  if (!extension) throw new RangeError(`no extension ${ext}`);
  return extension;
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

/**
 * That of a stored rule.
 * @throws TcpxError (failed) when another tcpx, which has more extensions, has stored it
 */
export function extensionById(id: number): Extension {
  const extension = byId.get(id);
  if (extension) return extension;
  throw new TcpxError(
    Exit.FAILED,
    `there are rules of an extension that this tcpx does not have (number ${id})`,
    {
      hint: "use the tcpx that has made them, or remove all rules with `tcpx reset`",
    },
  );
}
