// SPDX-License-Identifier: MIT
// Where a process's cgroup is in a mounted hierarchy. Pure.

/** The cgroup v2 path in the text of /proc/PID/cgroup; hybrid hosts have v1 lines beside it. */
export function unifiedPath(text: string): string | undefined {
  const line = text.split("\n").find((l) => l.startsWith("0::"));
  return line?.slice(3).replace(/ \(deleted\)$/, "");
}

export interface CgroupMount {
  /** The cgroup that is at the mount point, as seen from the reader's cgroup namespace: "/", "/../..", "/a". */
  root: string;
  path: string;
}

/** Octal escapes of /proc/PID/mountinfo. */
export function octal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));
}

/** The cgroup2 mounts in the text of /proc/PID/mountinfo. */
export function cgroupMounts(text: string): CgroupMount[] {
  return text.split("\n").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , root, path] = before.split(" ");
    if (root === undefined || path === undefined || !after.startsWith("cgroup2 ")) return [];
    return [{ root: octal(root), path: octal(path) }];
  });
}

/** How far a mount's root is below that of the reader's cgroup namespace; negative: above it. */
function depthOf({ root }: CgroupMount): number {
  const names = root.split("/").filter(Boolean);
  return names.reduce((depth, name) => depth + (name === ".." ? -1 : 1), 0);
}

/** Those that show most first. Of mounts at one place only the last can be reached. */
export function byDepth(mounts: readonly CgroupMount[]): CgroupMount[] {
  const last = new Map(mounts.map((mount) => [mount.path, mount]));
  return [...last.values()].sort((a, b) => depthOf(a) - depthOf(b));
}

/**
 * A cgroup below a mount; both paths are as seen from one cgroup namespace, outside of which they begin
 * with "/..". Undefined when it is not below the mount, or the names on the way are not known.
 */
export function belowMount(root: string, cgroup: string): string | undefined {
  const prefix = root === "/" ? "" : root;
  if (cgroup !== prefix && !cgroup.startsWith(`${prefix}/`)) return undefined;
  const below = cgroup.slice(prefix.length) || "/";
  return /^\/\.\.(?:\/|$)/.test(below) ? undefined : below;
}
