// SPDX-License-Identifier: MIT
// How rules outlive the cgroup of a service: a drop-in has systemd run tcpx before the service's own
// program, when the new cgroup is there and nobody is in it. It is in /run, as the rules are.

import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { type TcpxError, usageError } from "../base/errors.ts";
import { childEnvironment, programOf } from "./child.ts";
import { makeDirectories, replaceFile, sweepDrafts } from "./files.ts";
import { rulesSandbox } from "./sandbox.ts";
import { self } from "./self.ts";
import { unitOf } from "./unit-name.ts";

const DIR = "/run/systemd/system";
const DROP_IN = "50-tcpx.conf";
export const TEMPLATE = "tcpx-unit@.service";

/** Own units stand below slices only; those of a container's systemd are further down. */
const OWN = /^(?:\/[^/]+\.slice)+\/[^/]+$/;

/** The service of the host's own systemd whose cgroup this is: the only kind that a drop-in is for. */
export function serviceOf(cgroup: string): string | undefined {
  const unit = OWN.test(cgroup) ? unitOf(cgroup) : null;
  return unit?.uid === null && unit.name.endsWith(".service") ? unit.name : undefined;
}

/** The services among these scopes. A name in another view of cgroups is none of ours. */
export function servicesOf(
  scopes: readonly { name: string; damaged: boolean; visible: boolean }[],
): string[] {
  const ours = scopes.filter(({ damaged, visible }) => visible && !damaged);
  return [...new Set(ours.flatMap(({ name }) => serviceOf(name) ?? []))];
}

/** For a change of rules that wait. */
export function doesNotRun(cgroup: string): TcpxError {
  const what = `${serviceOf(cgroup)} does not run: the rules that wait for it cannot be changed`;
  return usageError(what, cgroup, "start it first, or remove them with `unset --all`");
}

/** Quoted as systemd reads command lines. */
const word = (text: string) =>
  `"${text.replace(/["\\]/g, "\\$&").replaceAll("%", "%%").replaceAll("$", "$$$$")}"`;

/** A command line as systemd reads it, with nothing left to expand. */
export const commandLine = (argv: readonly string[]): string => argv.map(word).join(" ");

/**
 * Starts tcpx in a unit of its own: in the service's cgroup its limits of memory and tasks would hold for us, too.
 * @param argv how to start tcpx
 */
export function templateText(argv: readonly string[]): string {
  return `# Made by tcpx, and removed with its last rule for a unit.
[Unit]
Description=tcpx: rules for %i
DefaultDependencies=no

[Service]
Type=oneshot
ExecStart=${commandLine(argv)} internal-unit-start %i
TimeoutStartSec=60
${rulesSandbox()}
`;
}

/** The service starts all the same when this fails: "-". Its own sandbox does not hold for it: "+". */
export function dropInText(systemctl: string): string {
  return `# Made by tcpx, and removed with its last rule for this unit: puts the rules on the unit's
# new cgroup before the service starts.
[Service]
ExecStartPre=-+${systemctl} --quiet start tcpx-unit@%n.service
`;
}

const dropIn = (unit: string) => join(DIR, `${unit}.d`, DROP_IN);

/** Is the service's next cgroup given the rules of this one? */
export function isHooked(cgroup: string): boolean {
  const unit = serviceOf(cgroup);
  return unit !== undefined && existsSync(dropIn(unit));
}

/** The device of the /run where drop-ins of ours work, which tells one host's from another's; 0: nowhere. */
export function runDevice(): bigint {
  return statSync(DIR, { bigint: true, throwIfNoEntry: false })?.dev ?? 0n;
}

/** Are there drop-ins of ours? */
export const anyHooks = (): boolean => existsSync(join(DIR, TEMPLATE));

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function put(path: string, text: string): boolean {
  if (read(path) === text) return false;
  makeDirectories(dirname(path), 0o755);
  replaceFile(path, text, 0o644);
  return true;
}

function remove(path: string): void {
  rmSync(path, { force: true });
  sweepDrafts(path);
  try {
    if (dirname(path) !== DIR) rmdirSync(dirname(path));
  } catch {
    // others have drop-ins there, too
  }
}

/** Services that have a drop-in of ours. */
function hooked(): string[] {
  const folders = readdirSync(DIR).filter((name) => name.endsWith(".service.d"));
  return folders.map((name) => name.slice(0, -2)).filter((unit) => existsSync(dropIn(unit)));
}

/**
 * Makes drop-ins for these services and for no others, and tells systemd. Call it with the lock held: who
 * decides from older rules would take away what another has made.
 * @returns the services of drop-ins that were made or removed
 */
export function syncHooks(services: readonly string[]): string[] {
  const systemctl = programOf("systemctl");
  if (!existsSync(DIR) || !systemctl) return [];
  const changed = services.filter((unit) => put(dropIn(unit), dropInText(systemctl)));
  for (const unit of hooked().filter((unit) => !services.includes(unit))) {
    remove(dropIn(unit));
    changed.push(unit);
  }
  const template = join(DIR, TEMPLATE);
  const was = existsSync(template);
  if (services.length > 0) put(template, templateText(self()));
  else if (was) remove(template);
  if (changed.length > 0 || was !== existsSync(template)) {
    const env = childEnvironment();
    Bun.spawnSync([systemctl, "daemon-reload"], {
      env,
      stdio: ["ignore", "ignore", "ignore"],
      timeout: 30_000,
    });
  }
  return changed;
}

/** Why rules of this unit do not come back when it starts again; undefined: they do. @param what of it is meant */
export function notKept(cgroup: string, what = "the rule"): string | undefined {
  const unit = unitOf(cgroup);
  if (!unit || isHooked(cgroup)) return undefined;
  const again = `${what} ends with it and has to be ${what === "the rule" ? "set" : "loaded"} again`;
  if (unit.name.endsWith(".slice")) return `when the last unit in ${unit.name} stops, ${again}`;
  if (unit.uid !== null) return `${unit.name} is of a user's systemd: when it stops, ${again}`;
  if (!unit.name.endsWith(".service")) return `when ${unit.name} stops, ${again}`;
  const why = existsSync(DIR) ? `no drop-in could be made in ${DIR}` : "systemd is not process 1 here";
  return `${why}: when ${unit.name} stops, ${again}`;
}
