// SPDX-License-Identifier: MIT
// Values of options for scripts: objects, so that a field has one type whatever the extension.

import type { Side, Value } from "./said.ts";

/** As rules call them. */
const MEMBERS: Readonly<Record<string, string>> = {
  uto: "timeout_ms",
  "cc-request": "algorithm",
  iw: "segments",
};

/** Null stays null. @param extension its name */
export function valueJson(extension: string, value: Value | null): object | null {
  if (value === null || typeof value === "object") return value;
  return { [MEMBERS[extension] ?? "bits"]: value };
}

export function sideJson(extension: string, side: Side): Record<string, unknown> {
  return {
    ...side,
    asked: valueJson(extension, side.asked),
    granted: valueJson(extension, side.granted),
  };
}
