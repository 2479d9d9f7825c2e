// SPDX-License-Identifier: MIT
// What the scripts for the shells share.

import type { Node, Place } from "./tree.ts";
import type { Value } from "./values.ts";

/** Names of systemd units, one per line; runs in every shell. */
export const UNITS =
  "systemctl list-units --all --plain --no-legend --no-pager --type=service,scope,slice 2>/dev/null | cut -d' ' -f1";

/** Process ids, one per line. */
export const PIDS = "ps -eo pid= 2>/dev/null | tr -d ' '";

/** A word for bash and zsh. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Words that are no commands. */
export const placesOf = ({ next, places }: Node): Place[] => (next.length > 0 ? [] : places);

/** What a value is in one line: "directory", "free none", "list bbr cubic". */
export function valueWords(value: Value): string {
  return [value.list ? "list" : value.source, ...value.words].join(" ");
}
