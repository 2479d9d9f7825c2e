// SPDX-License-Identifier: MIT
// The executable that ships, on a host whose process 1 is a real systemd.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { type Boot, boot } from "../../scripts/vm/boot.ts";
import { missingTool, vmFolder } from "../../scripts/vm/host.ts";
import { buildInitrd } from "../../scripts/vm/initrd.ts";
import { type Kernel, kernels } from "../../scripts/vm/kernels.ts";
import { systemdRoot } from "../../scripts/vm/systemd-root.ts";
import { tcpxPath } from "../support/tcpx.ts";
import { type Finding, parseFindings } from "./report.ts";
import { bootFolder } from "./systemd-boot-folder.ts";
import { systemdFeatures } from "./systemd-features.ts";

/** That of the suite which the guest's systemd is from. */
const SERIES = "6.12";
const LIMIT_MS = 11 * 60_000;

async function parts(): Promise<{ kernel: Kernel; root: string } | { reason: string }> {
  const reason = missingTool();
  if (reason !== undefined) return { reason };
  const kernel = (await kernels()).find(({ series }) => series === SERIES)!;
  if ("reason" in kernel) return kernel;
  const root = await systemdRoot();
  return "reason" in root ? root : { kernel, root: root.dir };
}

const found = await parts();
const { path: temporary, cleanUp } = vmFolder();
let run: Boot | undefined;
let findings: Finding[] = [];

beforeAll(async () => {
  if ("reason" in found) return;
  const initrd = join(temporary, "initrd");
  await buildInitrd(tcpxPath(), initrd, [found.root, await bootFolder(join(temporary, "boot"))]);
  run = await boot(found.kernel, initrd, { script: "systemd-guest.ts", limitSeconds: 600 });
  findings = parseFindings(run.console);
}, LIMIT_MS);

afterAll(() => {
  cleanUp();
  for (const { feature, outcome, detail } of findings) console.log(`${feature}: ${outcome} ${detail}`);
  if (run) console.log(`systemd, ${run.seconds.toFixed(0)} s`);
  const good = run?.problem === undefined && findings.every(({ outcome }) => outcome === "works");
  if (run && !good) console.log(`its console:\n${run.console}`);
});

if ("reason" in found) {
  test.skip(`a guest with systemd [needs: ${found.reason}]`, () => {});
} else {
  test("the guest came to its end", () => expect(run?.problem).toBeUndefined());
  for (const { name } of systemdFeatures) {
    test(`systemd: ${name}`, () => {
      expect(findings.find(({ feature }) => feature === name)).toMatchObject({ outcome: "works" });
    });
  }
}
