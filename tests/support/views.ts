// SPDX-License-Identifier: MIT
// Other views of the machine's cgroups, as containers have them. Each is the command that runs the command after it there.
import { cgroupMount } from "./lab.ts";

const MOUNT = cgroupMount();
const HIDE = `while umount -l ${MOUNT} 2>/dev/null; do :; done`;

/** A mount namespace of its own, made ready by a script that sees the cgroup's path as $1. */
const inside = (script: string, cgroup = "", flags = ""): string[] => [
  ...["unshare", "--mount", "--propagation", "private", ...flags.split(" ").filter(Boolean)],
  ...["sh", "-ec", `cgroup=$1; shift; ${script}; exec "$@"`, "sh", cgroup],
];

/** A container: in that cgroup, which is the root of its cgroup namespace and of what it sees. */
export function container(cgroup: string): string[] {
  const enter = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', cgroup];
  return [...enter, ...inside(`${HIDE}; mount -t cgroup2 none ${MOUNT}`, "", "--cgroup")];
}

/** Where cgroups are mounted stands a part of them only, without a cgroup namespace. */
export const part = (cgroup: string): string[] => inside(showPart(cgroup));

/** The shell commands for that, in a mount namespace of one's own. */
export const showPart = (cgroup: string): string =>
  `mount --bind ${cgroup} /mnt; ${HIDE}; mount --move /mnt ${MOUNT}`;

/** No cgroup2 is mounted, nor can processes with other eyes be seen. */
export const blind: string[] = inside(HIDE, "", "--pid --fork --mount-proc");

/** The machine's cgroups, but another /run, as a container without a cgroup namespace has it. */
export const ownRun: string[] = inside("mount -t tmpfs tmpfs /run");

/** The same, with a systemd of its own in there. */
export const ownSystemd: string[] = inside("mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/system");

/** Something else is mounted over a cgroup. */
export const covered = (cgroup: string): string[] => inside('mount -t tmpfs tmpfs "$cgroup"', cgroup);

/** Root who may not open cgroups by their ids. */
export const mayNotAsk: string[] = ["setpriv", "--bounding-set", "-dac_read_search", "--"];
