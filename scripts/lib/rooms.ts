// SPDX-License-Identifier: MIT
// Who may import whom: the folders of cli/ are rooms in an order, and imports lead down. So there is no circle.

import { dirname, join } from "node:path";

/** The folders of cli/, from above. Files of cli/ itself are above all of them. */
export const ROOMS: readonly string[] = [
  ...["commands", "completion", "sdk", "doctor", "lab", "change", "policy-file", "persist"],
  ...["observe", "live", "agent", "flags", "describe", "programs", "packages", "loader", "manifest"],
  ...["extensions", "wire", "objects", "policy"],
  ...["system", "output", "bridge", "layout", "toml", "base"],
];

/** Sources by their paths from the root of the checkout. */
export type Sources = ReadonlyMap<string, string>;

const IMPORT = /(?:\bfrom|\bimport\(|\bimport)\s*"(\.[^"]+)"/g;
const INCLUDE = /^#include "([^"]+)"/gm;

/** The room of a file, "" for cli/ itself; undefined: it is elsewhere. */
function roomOf(path: string): string | undefined {
  const [top, room, ...rest] = path.split("/");
  if (top !== "cli") return undefined;
  return rest.length > 0 ? room : "";
}

/** Above are small numbers. */
const rank = (room: string) => (room === "" ? -1 : ROOMS.indexOf(room));

/** What a file names by a relative path, as paths from the root. */
const named = (path: string, text: string, pattern: RegExp) =>
  [...text.matchAll(pattern)].map(([, to]) => join(dirname(path), to!));

/** What is wrong with a file of TypeScript. */
function problemsOf(path: string, text: string): string[] {
  const from = roomOf(path);
  if (from === undefined) return [];
  if (from !== "" && rank(from) < 0) return [`${path}: cli/${from}/ has no place in the order of rooms`];
  return named(path, text, IMPORT).flatMap((target) => {
    const to = roomOf(target);
    if (to === undefined) {
      return /^(?:scripts|tests)\//.test(target) ? [`${path} imports ${target}, which is not shipped`] : [];
    }
    if (from === to || rank(from) < rank(to)) return [];
    return [
      `${path} imports ${target}: ${to === "" ? "nothing imports cli/ itself" : `${to} is above ${from}`}`,
    ];
  });
}

/** The bridge does without its agent: what is beside that folder includes nothing of it. */
const bridgeProblems = (path: string, text: string): string[] =>
  /^native-loader\/(?!agent\/)/.test(path)
    ? named(path, text, INCLUDE)
        .filter((target) => target.startsWith("native-loader/agent/"))
        .map((target) => `${path} includes ${target}: the bridge does without its agent`)
    : [];

/** Imports that lead up, and includes that the rest of the bridge may not have; one line each. */
export function roomProblems(sources: Sources): string[] {
  return [...sources].flatMap(([path, text]) =>
    path.endsWith(".ts") ? problemsOf(path, text) : bridgeProblems(path, text),
  );
}
