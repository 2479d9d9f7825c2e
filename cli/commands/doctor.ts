// SPDX-License-Identifier: MIT

import { globalArgs, waitArgs } from "../args.ts";
import { facilityChecks } from "../doctor/facilities.ts";
import { hostChecks } from "../doctor/host-checks.ts";
import { liveCheck } from "../doctor/live-check.ts";
import type { Check } from "../doctor/types.ts";
import { Exit, type ExitCode } from "../errors.ts";
import { extensions } from "../extensions/index.ts";
import { bridge } from "../loader/bridge.ts";
import { missingCapabilities } from "../loader/host.ts";
import { styled } from "../output/io.ts";
import { table } from "../output/table.ts";
import { patienceOf } from "./patience.ts";
import { leaf } from "./types.ts";

const COLOURS = { ok: "green", warn: "yellow", fail: "red", skip: "grey" } as const;

interface Feature {
  name: string;
  works: boolean;
}

/** What an administrator can use here, following from the checks. */
function features(checks: Check[]): Feature[] {
  const ok = (name: string) => checks.find((check) => check.name === name)?.verdict === "ok";
  const core = ok("negotiation");
  return [
    ...extensions.map(({ name }) => ({ name, works: core })),
    { name: "root scope rules for one network namespace", works: core && ok("namespace cookies") },
  ];
}

function report(checks: Check[], list: Feature[]): string {
  const rows = checks.map(({ name, verdict, detail }) => [name, styled(COLOURS[verdict], verdict), detail]);
  const lines = list.map(({ name, works }) => `  ${works ? "yes" : "no "}  ${name}`);
  return `${table(["CHECK", "VERDICT", "DETAIL"], rows, [], { prose: true })}\n\nFeatures here:\n${lines.join("\n")}`;
}

function exitCode(checks: Check[], permitted: boolean): ExitCode {
  if (checks.some(({ core, verdict }) => core && verdict === "fail")) {
    return permitted ? Exit.UNSUPPORTED : Exit.PERMISSION;
  }
  return Exit.DONE;
}

export const doctor = leaf({
  summary:
    "What this kernel and host can do. Each kernel facility is tried, and the whole way once: a rule in a " +
    "cgroup of its own, a connection in a network namespace of its own. Exit code 3 when the core cannot work, " +
    "4 when we may not try it.",
  args: { ...waitArgs, ...globalArgs },
  examples: [
    ["tcpx doctor", "The report"],
    ["tcpx doctor --json | jq .checks", "For a script"],
  ],
  async run(args, io) {
    const patience = patienceOf(args, io);
    const lib = await bridge();
    lib.tcpx_log_level(io.flags.verbose ? 0 : -1);
    const permitted = missingCapabilities(lib).length === 0;
    const checks = [...hostChecks(lib), ...(await facilityChecks(lib, permitted))];
    const possible = !checks.some(({ core, verdict }) => core && verdict === "fail") && permitted;
    checks.push(await liveCheck(lib, possible, patience));
    const list = features(checks);
    const code = exitCode(checks, permitted);
    io.json({ core: code === Exit.DONE, checks, features: list });
    io.print(report(checks, list));
    if (code === Exit.PERMISSION) io.messages.error("most of it could not be tried: run it as root");
    if (code === Exit.UNSUPPORTED) io.messages.error("the core cannot work here: see the checks that failed");
    return code;
  },
});
