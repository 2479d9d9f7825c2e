// SPDX-License-Identifier: MIT
// Names of systemd's units, and of their cgroups. Pure.

import { usageError } from "../base/errors.ts";

/** Units that processes run in; targets, timers and the like have none. */
const WITH_PROCESSES = ["service", "scope", "slice", "socket", "mount", "swap"];
const OTHERS = ["target", "timer", "path", "device", "automount"];

const KIND = /\.([a-z]+)$/;
/** systemd's VALID_CHARS and "@", and its UNIT_NAME_MAX. */
const VALID = /^[A-Za-z0-9:_.\\@-]{1,255}$/;

/** Files of a cgroup, from which systemd keeps its units' names apart by "_". */
const FILES = /^(?:[_.]|cgroup\.|(?:notify_on_release|release_agent|tasks)$)/;
const CONTROLLERS =
  /^(?:cpu|cpuacct|cpuset|io|blkio|memory|devices|pids|bpf-firewall|bpf-devices|bpf-foreign|bpf-socket-bind|bpf-restrict-network-interfaces|bpf-bind-network-interface)\./;

/**
 * The full name of a unit as systemctl reads it: nginx is nginx.service.
 * @throws TcpxError (usage) for what is no unit's name, or a kind of unit without processes
 */
export function parseUnit(text: string): string {
  const kind = KIND.exec(text)?.[1] ?? "";
  if (VALID.test(text) && OTHERS.includes(kind)) {
    const hint = `accepted is a ${WITH_PROCESSES.slice(0, -1).join(", ")} or ${WITH_PROCESSES.at(-1)}`;
    throw usageError(`--unit '${text}' is a ${kind}, which has no processes`, text, hint);
  }
  const name = WITH_PROCESSES.includes(kind) ? text : `${text}.service`;
  if (VALID.test(name) && !/^(?:@|\.)|@\./.test(name)) return name;
  const hint = "accepted is a name such as nginx, nginx.service, web.slice or session-3.scope";
  const template = /@\.[a-z]+$/.test(name)
    ? " is a template, which does not run itself"
    : " is not the name of a unit";
  throw usageError(`--unit '${text}'${template}`, text, hint);
}

/** The last component of a unit's cgroup. */
export function cgroupOfUnit(unit: string): string {
  return FILES.test(unit) || CONTROLLERS.test(unit) ? `_${unit}` : unit;
}

/** A unit that a cgroup stands for. */
export interface Unit {
  name: string;
  /** Whose systemd manages it; null: the system's. */
  uid: number | null;
}

/** The unit whose own cgroup this is; null for cgroups inside of units, and for others. */
export function unitOf(cgroup: string): Unit | null {
  const last = cgroup.slice(cgroup.lastIndexOf("/") + 1);
  const name = last.startsWith("_") ? last.slice(1) : last;
  if (!VALID.test(name) || !WITH_PROCESSES.includes(KIND.exec(name)?.[1] ?? "")) return null;
  const uid = /\/user@(\d+)\.service\//.exec(cgroup)?.[1];
  return { name, uid: uid === undefined ? null : Number(uid) };
}

/** "nginx.service", or "firefox.service of user 1000"; null where the cgroup is no unit's. */
export function unitText(cgroup: string): string | null {
  const unit = unitOf(cgroup);
  return unit && (unit.uid === null ? unit.name : `${unit.name} of user ${unit.uid}`);
}

/** What `systemctl show -p LoadState -p ControlGroup -p Slice` says. */
export function parseShown(text: string): { found: boolean; cgroup: string; slice: string } {
  const of = (key: string) => new RegExp(`^${key}=(.*)$`, "m").exec(text)?.[1] ?? "";
  return { found: of("LoadState") !== "not-found", cgroup: of("ControlGroup"), slice: of("Slice") };
}

/** The cgroup of a slice: web-api.slice is in web.slice. */
export function cgroupOfSlice(slice: string): string {
  const parts = slice === "-.slice" ? [] : slice.slice(0, -".slice".length).split("-");
  return parts.map((_, i) => `/${parts.slice(0, i + 1).join("-")}.slice`).join("");
}

/**
 * Which of these cgroups is the unit's: the one that stands below slices only, else the only one.
 * Containers with a systemd of their own have units of the same names.
 */
export function pickUnit(cgroups: string[]): string[] {
  const own = cgroups.filter((path) => /^(?:\/[^/]+\.slice)*\/[^/]+$/.test(path));
  return own.length > 0 ? own : cgroups;
}
