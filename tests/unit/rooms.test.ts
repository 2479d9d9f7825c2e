// SPDX-License-Identifier: MIT
// `bun run check` refuses what leads up between rooms: planted into the sources as they are.

import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { ROOMS, roomProblems } from "../../scripts/lib/rooms.ts";

const ROOT = resolve(import.meta.dir, "../..");

function present(): Map<string, string> {
  const below = (dir: string, kind: RegExp) =>
    readdirSync(join(ROOT, dir), { recursive: true, encoding: "utf8" })
      .filter((name) => kind.test(name))
      .map((name) => `${dir}/${name}`);
  const names = [...below("cli", /\.ts$/), ...below("native-loader", /\.[ch]$/)];
  return new Map(names.map((name) => [name, readFileSync(join(ROOT, name), "utf8")]));
}

/** What is said of the sources with one more line in a file, which may be a new one. */
function planted(file: string, line: string): string[] {
  const sources = present();
  return roomProblems(sources.set(file, `${sources.get(file) ?? ""}\n${line}\n`));
}

test("the sources as they are", () => {
  expect(roomProblems(present())).toEqual([]);
});

test("the order names the folders that there are", () => {
  const folders = readdirSync(join(ROOT, "cli"), { withFileTypes: true }).filter((one) => one.isDirectory());
  expect([...ROOMS].sort()).toEqual(folders.map(({ name }) => name).sort());
});

for (const line of [
  'import { replaceRules } from "../loader/store.ts";',
  'import type { ScopeState } from "../loader/state.ts";',
  'export { replaceRules } from "../loader/store.ts";',
  'const late = () => import("../loader/store.ts");',
  'import "../loader/store.ts";',
  'import {\n  replaceRules,\n} from "../loader/store.ts";',
]) {
  test(`an arrow up is refused: ${line.replaceAll("\n", " ")}`, () => {
    const [problem, ...more] = planted("cli/extensions/iw.ts", line);
    expect(more).toEqual([]);
    expect(problem).toMatch(
      /^cli\/extensions\/iw\.ts imports cli\/loader\/st\w+\.ts: loader is above extensions$/,
    );
  });
}

test("so is one from the lowest room, one to cli/ itself, and one out of what is shipped", () => {
  expect(planted("cli/base/errors.ts", 'import "../layout/struct.ts";')).toHaveLength(1);
  expect(planted("cli/commands/run.ts", 'import "../main.ts";')).toEqual([
    "cli/commands/run.ts imports cli/main.ts: nothing imports cli/ itself",
  ]);
  expect(planted("cli/commands/run.ts", 'import "../../tests/support/lab.ts";')).toHaveLength(1);
});

test("a folder without a place in the order is refused", () => {
  expect(planted("cli/attic/old.ts", "export {};")).toEqual([
    "cli/attic/old.ts: cli/attic/ has no place in the order of rooms",
  ]);
});

test("what leads down, or stays in the room, is nobody's business", () => {
  expect(planted("cli/loader/store.ts", 'import "../policy/near.ts";\nimport "./pins.ts";')).toEqual([]);
});

test("the bridge does without its agent: the rest includes nothing of it", () => {
  expect(planted("native-loader/run.c", '#include "agent/routes.h"')).toEqual([
    "native-loader/run.c includes native-loader/agent/routes.h: the bridge does without its agent",
  ]);
  expect(planted("native-loader/agent/served.c", '#include "../bridge.h"')).toEqual([]);
});
