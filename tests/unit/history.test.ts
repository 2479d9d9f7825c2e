// SPDX-License-Identifier: MIT
// The archives that executables of earlier layouts are built from: none is missing, and each is what its commit had.
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { basename } from "node:path";
import { LAYOUT_VERSION } from "../../cli/layout/layout.generated.ts";
import { archiveOf, HISTORY, isHere, OLDEST, sourcesOf } from "../support/history.ts";
import { testIf } from "../support/requires.ts";

const layouts = HISTORY.map(({ layout }) => layout);
const tarOf = (layout: number) => Bun.spawnSync(["xz", "-dc", archiveOf(layout)]).stdout;

test("every earlier layout has its archive, and every archive its layout", () => {
  const earlier = Array.from({ length: LAYOUT_VERSION - OLDEST }, (_, i) => OLDEST + i);
  expect(layouts).toEqual(expect.arrayContaining(earlier));
  const names = layouts.map((layout) => basename(archiveOf(layout))).sort();
  expect(readdirSync(`${import.meta.dir}/../support/history`).sort()).toEqual(names);
});

test.each(HISTORY)(
  "the archive of layout $layout names its commit, and has its layout",
  ({ layout, commit }) => {
    const tar = tarOf(layout);
    expect(Buffer.from(tar.subarray(0, 1024)).toString("latin1")).toContain(` comment=${commit}\n`); // by git archive
    const { stdout } = Bun.spawnSync(["tar", "-xO", "embedded-bpf"], { stdin: tar });
    expect(stdout.toString()).toContain(`\n#define TCPX_LAYOUT ${layout}\n`);
  },
);

for (const { layout, commit } of HISTORY) {
  testIf(isHere(commit), "a checkout with its history")(
    `the archive of layout ${layout} is the commit's`,
    () => {
      expect(Bun.hash(tarOf(layout))).toBe(Bun.hash(sourcesOf(commit)));
    },
  );
}
