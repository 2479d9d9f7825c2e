// SPDX-License-Identifier: MIT
// What a value of TOML is.

import type { TomlTable, TomlValue } from "smol-toml";

/** A table of TOML; dates and arrays are objects, too. */
export function isTable(value: TomlValue | undefined): value is TomlTable {
  return typeof value === "object" && !Array.isArray(value) && !(value instanceof Date);
}

/** A shape error's sentence, without what the value is worth. */
export function kindOf(value: TomlValue | undefined): string {
  if (Array.isArray(value)) return value.length === 0 ? "is an empty list" : "is a list";
  if (typeof value === "boolean") return `is ${value}`;
  if (typeof value === "object") return value instanceof Date ? "is a date" : "is a table";
  return `is ${JSON.stringify(value)}`;
}

/** A policy, the deepest of our files, is 6 deep: an element of a list of a rule of a scope. */
export const DEEPEST = 16;

/** More dots than any key or value of ours has. */
const MOST_DOTS = 1000;

/** The line, from 1 on, of something with so many dots that parsing it as a key takes all memory. */
export function dottedLine(text: string): number | undefined {
  let [line, dots, isComment] = [1, 0, false];
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x2e /* . */) {
      if (!isComment && ++dots > MOST_DOTS) return line;
    } else if (c === 0x0a) [line, dots, isComment] = [line + 1, 0, false];
    else if (c === 0x23 /* # */) isComment = true;
    else if (c === 0x2c /* , */ || c === 0x3d /* = */) dots = 0;
  }
  return undefined;
}

/** The path to something that is deeper than any file of ours; undefined: there is nothing. */
export function tooDeep(document: TomlTable): (string | number)[] | undefined {
  const path: (string | number)[] = [];
  const look = (value: TomlValue): boolean => {
    if (typeof value !== "object" || value instanceof Date) return false;
    if (path.length >= DEEPEST) return true;
    const entries = Array.isArray(value) ? value.entries() : Object.entries(value);
    for (const [key, inner] of entries) {
      if (typeof inner !== "object") continue;
      path.push(key);
      if (look(inner)) return true;
      path.pop();
    }
    return false;
  };
  return look(document) ? path : undefined;
}
