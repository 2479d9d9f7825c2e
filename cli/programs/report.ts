// SPDX-License-Identifier: MIT
// Programs of others for people and for scripts.

import type { Bridge } from "../bridge/bridge.ts";
import { tableRows } from "../output/table.ts";
import { unitOf } from "../system/unit-name.ts";
import { hex, type Site, siteAlgorithms } from "../wire/site.ts";
import type { ProgramKind } from "./object.ts";
import { type LoadedProgram, type Runs, runsOf } from "./state.ts";
import { type Settings, settingsText } from "./variables.ts";
import type { PlannedProgram, WantedProgram } from "./wanted.ts";

/** The number that stands for a congestion control in requests. */
const numberOf = (name: string, site: Site): number | undefined =>
  siteAlgorithms(site).find((algorithm) => algorithm.name === name)?.number;

interface Said {
  name: string;
  kind: ProgramKind;
  cgroup: string | null;
  file: string | null;
  sha256: string | null;
  set: Settings;
}

const unitJson = (cgroup: string | null) => (cgroup === null ? null : (unitOf(cgroup)?.name ?? null));

const saidJson = ({ name, kind, cgroup, file, sha256, set }: Said): Record<string, unknown> => ({
  name,
  kind,
  cgroup,
  unit: unitJson(cgroup),
  file,
  sha256,
  set,
});

const wantedSaid = ({ name, object, scope, sha256, set }: WantedProgram): Said => ({
  ...{ name, sha256, set, kind: object.kind, cgroup: scope?.name ?? null, file: object.file },
});

const loadedSaid = ({ name, kind, cgroup, about }: LoadedProgram): Said => ({
  ...{ name, kind, cgroup: cgroup ?? null, file: about?.file ?? null },
  ...{ sha256: about?.sha256 ?? null, set: about?.set ?? {} },
});

/** As commands tell of what they load. */
export const wantedJson = (wanted: WantedProgram) => saidJson(wantedSaid(wanted));
/** And of what goes. */
export const unloadedJson = (program: LoadedProgram) => saidJson(loadedSaid(program));

const runJson = ({ name, id, runs, runNs }: Runs) => ({ name, program_id: id, runs, run_time_ns: runNs });

/** As status has it. */
export const programJson = (lib: Bridge, program: LoadedProgram, site: Site): Record<string, unknown> => ({
  ...unloadedJson(program),
  in_force: program.isInForce,
  waiting: program.isWaiting,
  link_id: program.linkId || null,
  number: numberOf(program.name, site) ?? null,
  programs: runsOf(lib, program).map(runJson),
});

const KIND_WORDS = { sock_ops: "program", congestion: "congestion control" } as const;

/** The sign, what it is, where, and of which file. */
function line(sign: string, { name, kind, cgroup, file, set }: Said): string {
  const where = cgroup === null ? "" : `, cgroup ${cgroup}`;
  const values = settingsText(set);
  return `${sign} ${KIND_WORDS[kind]} ${name}${where}: ${file ?? "?"}${values ? ` with ${values}` : ""}`;
}

export function plannedLine({ wanted, present, isChange }: PlannedProgram): string {
  const said = line(isChange ? "+" : "=", wantedSaid(wanted));
  return isChange && present?.isInForce ? `${said} (in place of the one before)` : said;
}

export const unloadedLine = (program: LoadedProgram) => line("-", loadedSaid(program));

const HEAD = ["PROGRAM", "KIND", "SCOPE", "RUNS", "FILE", "SET"];

function runsText(runs: readonly Runs[]): string {
  const counted = runs.filter(({ runs }) => runs !== null);
  if (counted.length === 0) return "not counted";
  return String(counted.reduce((sum, { runs }) => sum + (runs ?? 0), 0));
}

function scopeCell(
  { kind, cgroup, isGone, isWaiting, where }: LoadedProgram,
  number: number | undefined,
): string {
  if (kind === "congestion") return number === undefined ? "host" : `host, number ${hex(number)}`;
  if (isWaiting) return `${cgroup} (waiting)`;
  return isGone ? `id ${where} (removed)` : (cgroup ?? `id ${where} (not visible)`);
}

/** A table for people; nothing without any. */
export function programRows(lib: Bridge, all: readonly LoadedProgram[], site: Site): string {
  if (all.length === 0) return "";
  const rows = all.map((program): string[] => {
    const { name, kind, about, isInForce } = program;
    const runs = isInForce ? runsText(runsOf(lib, program)) : "not in force";
    const scope = scopeCell(program, numberOf(name, site));
    return [name, kind, scope, runs, about?.file ?? "?", settingsText(about?.set ?? {})];
  });
  return `programs of others:\n${[...tableRows(HEAD, rows)].join("")}`.trimEnd();
}
