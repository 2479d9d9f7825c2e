// SPDX-License-Identifier: MIT
// From what an administrator calls a scope (--cgroup, --unit, --pid) to its cgroup.

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ScopeFlags } from "../base/args.ts";
import { absentError, Exit, TcpxError, usageError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { findScope, type SeenScope } from "../loader/cgroup-place.ts";
import { directories } from "../loader/survey.ts";
import { waitingFor } from "../loader/waiting.ts";
import { unifiedPath } from "../system/cgroup-path.ts";
import { cgroupSeen, holds } from "../system/cgroup-seen.ts";
import { childEnvironment, programOf } from "../system/child.ts";
import { makeDirectories } from "../system/files.ts";
import { cgroupRoot } from "../system/host.ts";
import { MACHINE_ROOT, outside } from "../system/pid-outside.ts";
import { hasTcpSocket, processState } from "../system/process.ts";
import { cgroupOfSlice, cgroupOfUnit, parseShown, parseUnit, pickUnit, unitOf } from "../system/unit-name.ts";
import { isDirectory, readOrEmpty } from "../system/viewpoint.ts";

/** A scope, and what should be known about how it was found. */
export interface FoundScope extends SeenScope {
  notices: string[];
}

/**
 * The path, as this process can open it, of the cgroup v2 that a process is in.
 * @returns undefined when no mount that we see has it
 */
export function cgroupOfProcess(pid: number): string | undefined {
  if (unifiedPath(readOrEmpty(`/proc/${pid}/cgroup`)) === undefined) return undefined;
  const seen = cgroupSeen(pid);
  if (seen !== undefined) return seen;
  // a mount that begins above our cgroup namespace: its path says ".." where names should be
  for (const path of directories(cgroupRoot())) if (holds(path, pid)) return path;
  return undefined;
}

/** Who means one container's process must not get every process of the machine. @throws TcpxError (usage) */
function refuseOutside(text: string, pid: number): void {
  const why = outside(pid);
  if (why === undefined) return;
  throw usageError(
    `--pid ${text}: that process is in the root cgroup, which is every process of this machine, and ${why}`,
    text,
    "name a cgroup with --cgroup, or run tcpx where the process is",
  );
}

function findByPid(lib: Bridge, text: string): FoundScope {
  const pid = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : 0;
  if (pid === 0)
    throw usageError(`--pid '${text}' is not a process id`, text, "accepted is a number such as 1234");
  const state = processState(pid);
  if (!state) throw usageError(`--pid ${text}: there is no such process`, text, "see `ps` or `pgrep`");
  if (state.kernel) {
    throw usageError(`--pid ${text} is a kernel thread`, text, "rules are for the sockets of programs");
  }
  if (state.zombie) throw usageError(`--pid ${text} has ended`, text, "its parent has not waited for it yet");
  const root = cgroupRoot();
  const path = cgroupOfProcess(pid);
  if (path === undefined) {
    const why = outside(pid);
    const what = `the cgroup of process ${text} cannot be seen from here${why ? `: it is ${why}` : ""}`;
    throw new TcpxError(Exit.UNSUPPORTED, what, { value: text, hint: "run tcpx on the host itself" });
  }
  const scope = findScope(lib, path === root ? undefined : path);
  if (scope.id === MACHINE_ROOT) refuseOutside(text, pid);
  const notices: string[] = [];
  if (scope.name === "/") {
    notices.push(`process ${text} is in the root cgroup: this scope is not only it, but every process`);
  } else if (hasTcpSocket(lib, pid)) {
    notices.push(
      `a socket belongs to the cgroup that it was created in: if process ${text} was moved to ${scope.name} ` +
        "later, sockets that it had before are not in this scope",
    );
  }
  return { ...scope, notices };
}

/** What systemd says about a system unit; undefined where it does not run, or does not answer. */
function askSystemd(unit: string): ReturnType<typeof parseShown> | undefined {
  const program = existsSync("/run/systemd/system") ? programOf("systemctl") : null;
  if (!program) return undefined;
  const argv = [
    program,
    "show",
    "--property=LoadState",
    "--property=ControlGroup",
    "--property=Slice",
    "--",
    unit,
  ];
  const { exitCode, stdout } = Bun.spawnSync(argv, {
    env: childEnvironment(),
    stdin: "ignore",
    stderr: "ignore",
    timeout: 10_000,
  });
  return exitCode === 0 ? parseShown(stdout.toString()) : undefined;
}

/** A user's number. @throws TcpxError (usage) */
function userId(text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  const { exitCode, stdout } = Bun.spawnSync([programOf("id") ?? "id", "-u", "--", text], {
    env: childEnvironment(),
    stdin: "ignore",
    stderr: "ignore",
  });
  const uid = stdout.toString().trim();
  if (exitCode === 0 && /^\d+$/.test(uid)) return Number(uid);
  throw usageError(`--user '${text}' is not a user of this host`, text, "accepted is a name or a number");
}

function notRunning(unit: string, uid: number | null, others: number[]): TcpxError {
  const whose = uid === null ? "" : ` of user ${uid}`;
  const [other] = others;
  const hint =
    other !== undefined
      ? `user ${other} has one of this name: add --user ${other}`
      : "start it first: a unit has a cgroup only while it runs";
  return absentError(`unit ${unit}${whose} does not run`, unit, hint);
}

/** Directories of a unit's name, below the cgroup2 mount. */
function walkForUnit(root: string, unit: string): string[] {
  const last = `/${cgroupOfUnit(unit)}`;
  const found: string[] = [];
  for (const path of directories(root)) if (path.endsWith(last)) found.push(path.slice(root.length));
  return found;
}

/** The cgroup that a service will have; systemd takes one that is there. */
function prepareService(lib: Bridge, unit: string, slice: string): SeenScope {
  const path = join(cgroupRoot(), cgroupOfSlice(slice), cgroupOfUnit(unit));
  makeDirectories(path, 0o755);
  return findScope(lib, path);
}

function findByUnit(lib: Bridge, text: string, user: string | undefined, prepare: boolean): SeenScope {
  const unit = parseUnit(text);
  const uid = user === undefined ? null : userId(user);
  const root = cgroupRoot();
  const shown = uid === null ? askSystemd(unit) : undefined;
  const running = shown?.cgroup && isDirectory(join(root, shown.cgroup));
  if (prepare && shown?.slice && !running && unit.endsWith(".service"))
    return prepareService(lib, unit, shown.slice);
  const waiting = shown && !running ? waitingFor(lib, unit) : undefined;
  if (waiting) return { path: join(root, waiting.name), name: waiting.name, id: waiting.id, waiting: true };
  if (shown && !shown.found) {
    throw absentError(
      `there is no unit ${unit}`,
      text,
      "see `systemctl list-units`, or give --user USER, too",
    );
  }
  if (shown && running) return findScope(lib, root + shown.cgroup);
  const found = walkForUnit(root, unit);
  const whose = (path: string) => unitOf(path)?.uid ?? null;
  const [cgroup, second] = pickUnit(found.filter((path) => whose(path) === uid));
  if (cgroup === undefined && shown?.cgroup) {
    throw new TcpxError(Exit.UNSUPPORTED, `unit ${unit} has no cgroup below ${root}`, {
      value: text,
      hint: "systemd keeps its processes in cgroup v1 here: boot with systemd.unified_cgroup_hierarchy=1",
    });
  }
  if (cgroup === undefined)
    throw notRunning(
      unit,
      uid,
      found.flatMap((path) => whose(path) ?? []),
    );
  if (second !== undefined) {
    const hint = `give one of them: --cgroup ${cgroup}, --cgroup ${second}`;
    throw usageError(`several cgroups are called ${unit}`, text, hint);
  }
  return findScope(lib, root + cgroup);
}

/**
 * The scope that the flags name; the root when they name none.
 * @param prepare makes the cgroup of a service that does not run yet, so that it starts with its rules
 * @throws TcpxError (usage) when there is none of that name
 */
export function resolveScope(lib: Bridge, flags: ScopeFlags, { prepare = false } = {}): FoundScope {
  if (flags.pid !== undefined) return findByPid(lib, flags.pid);
  if (flags.unit !== undefined) return { ...findByUnit(lib, flags.unit, flags.user, prepare), notices: [] };
  return { ...findScope(lib, flags.cgroup), notices: [] };
}
