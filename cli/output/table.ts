// SPDX-License-Identifier: MIT
// Aligned columns without borders, for an 80-column terminal.

import Table from "cli-table3";
import { styled } from "./io.ts";
import { visible } from "./safe.ts";

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
  const text = new Table({
    head: head.map((word) => styled("bold", word)), // cli-table3's own colours do not look at the stream,
    chars: { ...NO_BORDERS, middle: "  " },
    colAligns: head.map((_, i) => (numeric.includes(i) ? "right" : "left")),
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [] },
  });
  text.push(...rows.map((row) => row.map((cell) => visible(String(cell)))));
  return text
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}
