// SPDX-License-Identifier: MIT

import { globalArgs, waitArgs } from "../base/args.ts";
import { Exit, type ExitCode } from "../base/errors.ts";
import { type Bridge, bridge } from "../bridge/bridge.ts";
import { PROBES } from "../bridge/probe.ts";
import { facilityChecks } from "../doctor/facilities.ts";
import { filterCheck } from "../doctor/filter-check.ts";
import { hostChecks } from "../doctor/host-checks.ts";
import { liveCheck } from "../doctor/live-check.ts";
import { structOpsCheck } from "../doctor/struct-ops-check.ts";
import type { Check } from "../doctor/types.ts";
import { extensions } from "../extensions/index.ts";
import { patienceOf } from "../flags/patience.ts";
import { styled } from "../output/io.ts";
import { table } from "../output/table.ts";
import { missingCapabilities } from "../system/host.ts";
import type { Patience } from "../system/lock.ts";
import { leaf } from "./types.ts";

const COLOURS = { ok: "green", warn: "yellow", fail: "red", skip: "grey" } as const;

interface Feature {
  name: string;
  /** null: that was not tried. */
  works: boolean | null;
}

/** Do these checks all say yes? null: some were not tried, and none says no. */
function all(checks: (Check | undefined)[]): boolean | null {
  if (checks.some((check) => check?.verdict === "fail" || check?.verdict === "warn")) return false;
  return checks.every((check) => check?.verdict === "ok") ? true : null;
}

/** Does the core work? A check that fails says no; the negotiation says yes. */
function coreWorks(checks: Check[]): boolean | null {
  const core = checks.filter((check) => check.core);
  if (core.some(({ verdict }) => verdict === "fail")) return false;
  return core.every(({ verdict }) => verdict === "ok") ? true : null;
}

/** What an administrator can use here, following from the checks. */
function features(checks: Check[], core: boolean | null): Feature[] {
  const cookies = all([checks.find(({ name }) => name === PROBES.netns_cookie.name)]);
  const root = core && cookies;
  return [
    ...extensions.map(({ name }) => ({ name, works: core })),
    { name: "root scope rules for one network namespace", works: core === false ? false : root },
  ];
}

const WORKS = new Map([
  [true, "yes"],
  [false, "no "],
  [null, "?  "],
]);

function report(checks: Check[], list: Feature[]): string {
  const rows = checks.map(({ name, verdict, detail }) => [name, styled(COLOURS[verdict], verdict), detail]);
  const lines = list.map(({ name, works }) => `  ${WORKS.get(works)}  ${name}`);
  const legend = list.some(({ works }) => works === null) ? "\n  (?: not tried, so not known)" : "";
  return `${table(["CHECK", "VERDICT", "DETAIL"], rows, [], { prose: true })}\n\nFeatures here:\n${lines.join("\n")}${legend}`;
}

/** Why programs cannot be loaded, or the whole way not be gone; undefined: they can. */
function obstacleIn(checks: Check[], missing: readonly string[]): string | undefined {
  if (missing.length > 0) return `needs root (${missing.join(", ")})`;
  const check = checks.find(({ core, verdict }) => core && verdict !== "ok");
  return check && `see ${check.name}`;
}

async function tryAll(lib: Bridge, patience: Patience): Promise<Check[]> {
  const missing = missingCapabilities(lib);
  const host = await hostChecks(lib, missing);
  const withBtf = host.filter(({ name }) => name === "BTF");
  const kernel = await facilityChecks(lib, obstacleIn(withBtf, missing));
  const filter = await filterCheck(missing.includes("CAP_NET_ADMIN") ? obstacleIn([], missing) : undefined);
  const checks = [...host, filter, ...kernel, structOpsCheck()];
  return [...checks, await liveCheck(lib, obstacleIn(checks, missing), patience)];
}

/** What stands below the report. */
function conclusion(checks: Check[], core: boolean | null): string | undefined {
  if (core) return undefined;
  if (core === false) return "the core cannot work here: see the checks that failed";
  const first = checks.find((check) => check.core && check.verdict === "skip");
  return `whether the core works here is not known: it could not be tried (${first?.name}: ${first?.detail})`;
}

const EXITS = new Map<boolean | null, ExitCode>([
  [true, Exit.DONE],
  [false, Exit.UNSUPPORTED],
  [null, Exit.PERMISSION],
]);

export const doctor = leaf({
  summary:
    "What this kernel and host can do. Each kernel facility is tried, and the whole way once: a rule in a " +
    "cgroup of its own, a connection in a network namespace of its own. Exit code 0 when the core works, 3 when " +
    "it was tried and does not, 4 when it could not be tried here, and so is not known.",
  args: { ...waitArgs, ...globalArgs },
  examples: [
    ["tcpx doctor", "The report"],
    ["tcpx doctor --json | jq .checks", "For a script"],
  ],
  async run(args, io) {
    const patience = patienceOf(args, io);
    const lib = await bridge();
    lib.tcpx_log_level(io.flags.verbose ? 0 : -1);
    const checks = await tryAll(lib, patience);
    const core = coreWorks(checks);
    const list = features(checks, core);
    io.json({ core, checks, features: list });
    io.print(report(checks, list));
    const last = conclusion(checks, core);
    if (last !== undefined) io.messages.error(last);
    return EXITS.get(core)!;
  },
});
