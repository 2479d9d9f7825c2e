// SPDX-License-Identifier: MIT
// Programs of other types than sock_ops on the kernels of the ring: the sample that has some, built from a copy of the
// tree.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { boot } from "../../scripts/vm/boot.ts";
import { missingTool, vmFolder } from "../../scripts/vm/host.ts";
import { buildInitrd } from "../../scripts/vm/initrd.ts";
import { type Kernel, kernels, type Missing } from "../../scripts/vm/kernels.ts";
import { SampleTree } from "../support/sample-tree.ts";
import { parseFindings } from "./report.ts";

const LIMIT_MS = 20 * 60_000;
const GUEST = { script: "programs-guest.ts", limitSeconds: 500 };

const noTools = missingTool();
const entries: (Kernel | Missing)[] = noTools ? [{ series: "any kernel", reason: noTools }] : await kernels();
const { path: temporary, cleanUp } = vmFolder();
const initrd = join(temporary, "initrd");

beforeAll(async () => {
  if (!entries.some((entry) => "dir" in entry)) return;
  await using tree = await SampleTree.create(temporary, "bind-address");
  await tree.build();
  await buildInitrd(tree.program, initrd);
}, LIMIT_MS);
afterAll(cleanUp);

for (const entry of entries) {
  if ("reason" in entry) {
    test.skip(`${entry.series} [needs: ${entry.reason}]`, () => {});
    continue;
  }
  test(
    `Linux ${entry.series}: an extension's programs of other types load, and follow the rules in force`,
    async () => {
      const { console: text, problem } = await boot(entry, initrd, GUEST);
      const findings = parseFindings(text);
      const wrong = findings.filter(({ outcome }) => outcome !== "works");
      if (problem || wrong.length > 0) console.log(`${entry.release}, its console:\n${text}`);
      expect([problem, wrong]).toEqual([undefined, []]);
      expect(findings).toHaveLength(2);
    },
    LIMIT_MS,
  );
}
