// SPDX-License-Identifier: MIT
// Aligned columns without borders, two spaces apart. On a terminal rows are made to fit its width; elsewhere a row is
// a line, for grep and awk. There may be 100,000 rows: they are gone through twice, to measure and to write them, and
// never held together.

import { styled } from "./io.ts";
import { visible } from "./safe.ts";
import { terminalWidth } from "./terminal.ts";
import { wrapped } from "./wrap.ts";

export type Cell = string | number;

const GAP = "  ";
/** Before what stands below its row; addresses of IPv6 are up to 39 columns wide. */
const indentOf = (most: number) => (most < 60 ? "  " : "    ");
/** A column of prose that is narrower is hard to read. */
const LEAST_PROSE = 24;

export interface Layout {
  /** Columns that are aligned right, by index. */
  numeric?: readonly number[];
  /** Those that go below their rows first where these are too wide; then the widest, but never the first one. */
  below?: readonly number[];
  /** The last column is prose, which goes on below itself. */
  prose?: boolean;
}

interface Plan {
  /** Columns side by side, and how wide they are. */
  shown: number[];
  widths: number[];
  /** Columns that have lines of their own. */
  below: number[];
  /** What the lines have to fit in. */
  most: number;
  /** The last column goes on below itself. */
  prose: boolean;
}

const room = (shown: readonly number[], widths: readonly number[]) =>
  shown.reduce((sum, column) => sum + widths[column]!, GAP.length * (shown.length - 1));

/** The text of a cell is one line. */
const shownAs = (cell: Cell): string => visible(String(cell));

function widthsOf(head: readonly string[], rows: Iterable<readonly Cell[]>): number[] {
  const widths = head.map((name) => Bun.stringWidth(name));
  for (const row of rows) {
    for (let i = 0; i < row.length; i++) {
      const width = Bun.stringWidth(shownAs(row[i]!));
      if (width > widths[i]!) widths[i] = width;
    }
  }
  return widths;
}

/** Which columns stand side by side. */
function planOf(widths: number[], { below: first = [], prose }: Layout): Plan {
  const most = terminalWidth() ?? Number.POSITIVE_INFINITY;
  const last = widths.length - 1;
  const shown = [...widths.keys()];
  const left = most - room(shown, widths.with(last, 0));
  if (prose && widths[last]! > left && left >= LEAST_PROSE) {
    return { shown, widths: widths.with(last, left), below: [], most, prose };
  }
  const others = shown.filter((column) => column > 0 && !first.includes(column));
  const order = [...first, ...others.sort((a, b) => widths[b]! - widths[a]!)];
  const below: number[] = [];
  while (order.length > 0 && room(shown, widths) > most) {
    const column = order.shift()!;
    shown.splice(shown.indexOf(column), 1);
    below.push(column);
  }
  return { shown, widths, below: below.sort((a, b) => a - b), most, prose: false };
}

const padding = (cell: string, width: number) => " ".repeat(Math.max(0, width - Bun.stringWidth(cell)));

/** One row: a line, and what goes below it. */
function rowText(cells: readonly string[], plan: Plan, right: ReadonlySet<number>): string {
  const { shown, widths, below, most, prose } = plan;
  const lines = prose ? wrapped(cells.at(-1)!, widths.at(-1)!) : [];
  const parts = shown.map((column) => {
    const cell = lines.length > 0 && column === cells.length - 1 ? lines[0]! : cells[column]!;
    const pad = padding(cell, widths[column]!);
    return right.has(column) ? pad + cell : cell + pad;
  });
  let text = parts.join(GAP).trimEnd();
  const indent = " ".repeat(prose ? room(shown, widths.with(-1, 0)) : 0);
  for (const line of lines.slice(1)) text += `\n${indent}${line}`;
  const margin = indentOf(most);
  for (const column of below) {
    if (cells[column] === "") continue;
    for (const line of wrapped(cells[column]!, most - margin.length)) text += `\n${margin}${line}`;
  }
  return `${text}\n`;
}

/**
 * Rows under their headings, each a text that ends with a line break.
 * @param rows can be gone through twice
 */
export function* tableRows(
  head: readonly string[],
  rows: Iterable<readonly Cell[]>,
  layout: Layout = {},
): Generator<string> {
  const names = head.map((name) => styled("bold", visible(name)));
  const plan = planOf(widthsOf(names, rows), layout);
  const right = new Set(layout.numeric);
  yield rowText(names, { ...plan, prose: false }, right);
  for (const row of rows) yield rowText(row.map(shownAs), plan, right);
}

/** The same in one piece; columns whose index is in `numeric` are aligned right. */
export function table(
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
  numeric: readonly number[] = [],
  layout: Layout = {},
): string {
  return [...tableRows(head, rows, { numeric, ...layout })].join("").slice(0, -1);
}
