// SPDX-License-Identifier: MIT
// Aligned columns without borders, for an 80-column terminal.

import Table from "cli-table3";
import { useColour } from "./io.ts";

const NO_BORDERS = Object.fromEntries(
  [
    "top top-mid top-left top-right bottom bottom-mid bottom-left bottom-right",
    "left left-mid mid mid-mid right right-mid",
  ]
    .join(" ")
    .split(" ")
    .map((name) => [name, ""]),
);

/** Rows under their headings; columns whose index is in `numeric` are aligned right. */
export function table(head: string[], rows: (string | number)[][], numeric: number[] = []): string {
  // written here, because cli-table3's own colours have another idea of when they are wanted
  const bold = (word: string) => (useColour(process.stdout) && word !== "" ? `\x1b[1m${word}\x1b[0m` : word);
  const text = new Table({
    head: head.map(bold),
    chars: { ...NO_BORDERS, middle: "  " },
    colAligns: head.map((_, i) => (numeric.includes(i) ? "right" : "left")),
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [] },
  });
  text.push(...rows.map((row) => row.map(String)));
  return text
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}
