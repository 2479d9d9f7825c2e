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
