// SPDX-License-Identifier: MIT
// The executable that ships, on the kernels that it claims to work on, in QEMU.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { type Boot, boot } from "../../scripts/vm/boot.ts";
import { missingTool, vmFolder } from "../../scripts/vm/host.ts";
import { buildInitrd } from "../../scripts/vm/initrd.ts";
import { type Kernel, kernels, type Missing } from "../../scripts/vm/kernels.ts";
import { writeKit } from "../support/slot-kit.ts";
import { tcpxPath } from "../support/tcpx.ts";
import { features } from "./features.ts";
import { type Finding, matrix, type Outcome, parseFindings } from "./report.ts";

/** A boot takes two threads of QEMU; more of them at once only makes each slower. */
const AT_ONCE = 2;
const LIMIT_MS = 20 * 60_000;

/** What need not "work", as docs/ says, or works in its own way; the detail is checked too. */
const DOCUMENTED: Record<string, Record<string, [Outcome, RegExp]>> = {
  "5.10": {
    doctor: ["degrades", /^without namespace cookies, BPF timers, live changes, old listeners$/],
    "ack rules": ["degrades", /^no thinning, with exit 3$/],
    "signed segments": ["degrades", /^TCP MD5 only$/],
    "root scope": ["degrades", /^all network namespaces, with the warning$/],
    "old listener": ["degrades", /^not armed, learns from the third ACK$/],
    live: ["degrades", /^new connections only, with exit 3$/],
    "slots seen": ["degrades", /^told, new connections only$/],
    "programs of others": ["degrades", /^congestion controls are not replaced, with exit 3$/],
    hardened: ["degrades", /^without connections, --live$/],
    // its bpffs forgets who mounted it
    reset: ["degrades", /^the empty bpffs stays mounted$/],
  },
  "6.1": {
    doctor: ["degrades", /^without old listeners$/],
    "signed segments": ["degrades", /^TCP MD5 only$/],
    "old listener": ["degrades", /^reads the SYN$/],
    live: ["degrades", /^changed and given back, not announced$/],
    "programs of others": ["degrades", /^congestion controls are not replaced, with exit 3$/],
  },
  "6.12": { "signed segments": ["degrades", /^TCP MD5 only$/] },
  "7.x": { requests: ["works", /, with AccECN too$/] },
};

const noTools = missingTool();
const entries: (Kernel | Missing)[] = noTools ? [{ series: "any kernel", reason: noTools }] : await kernels();
const boots = new Map<string, Boot>();
const { path: temporary, cleanUp } = vmFolder();
const initrd = join(temporary, "initrd");

/** Lets AT_ONCE of them run at a time. */
const waiting: (() => void)[] = [];
let free = AT_ONCE;
async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (free > 0) free--;
  else await new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else free++;
  }
}

const line = ({ feature, outcome, detail }: Finding) => `${feature}: ${outcome} ${detail}`;

/** The findings that differ from what is documented, and features that were not reported. */
function surprises(series: string, findings: Finding[]): string[] {
  const wrong = findings.filter(({ feature, outcome, detail }) => {
    const [wanted, pattern] = DOCUMENTED[series]?.[feature] ?? ["works", /^/];
    return outcome !== wanted || !pattern.test(detail);
  });
  const silent = features.filter(({ name }) => !findings.some(({ feature }) => feature === name));
  return [...wrong.map(line), ...silent.map(({ name }) => `${name}: no line`)];
}

beforeAll(async () => {
  if (entries.some((entry) => "dir" in entry))
    await buildInitrd(tcpxPath(), initrd, [], [], (root) => writeKit(join(root, "tcpx/slots")));
}, LIMIT_MS);

afterAll(() => {
  cleanUp();
  const columns = entries.map((entry) => {
    const title = "dir" in entry ? entry.version.replace(/-.*/, "") : entry.series;
    return { title, findings: parseFindings(boots.get(entry.series)?.console ?? "") };
  });
  console.log(`\n${matrix(columns)}`);
  for (const [i, { title, findings }] of columns.entries()) {
    const run = boots.get(entries[i]!.series);
    if (run) console.log(`${title}: ${run.seconds.toFixed(0)} s${run.panics > 0 ? ", after a panic" : ""}`);
    for (const finding of findings) if (finding.outcome !== "works") console.log(`  ${line(finding)}`);
  }
});

for (const entry of entries) {
  if ("reason" in entry) {
    test.skip(`${entry.series} [needs: ${entry.reason}]`, () => {});
    continue;
  }
  const name = `Linux ${entry.series}: every feature works, or degrades as documented`;
  test.concurrent(
    name,
    async () => {
      const run = await inTurn(() => boot(entry, initrd));
      boots.set(entry.series, run);
      const wrong = surprises(entry.series, parseFindings(run.console));
      if (run.problem || wrong.length > 0) console.log(`${entry.release}, its console:\n${run.console}`);
      expect(run.problem).toBeUndefined();
      expect(wrong).toEqual([]);
    },
    LIMIT_MS,
  );
}
