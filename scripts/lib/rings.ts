// SPDX-License-Identifier: MIT
// The rings of tests: which there are, which files they run, and on what kind of host.

import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

export interface Ring {
  name: string;
  needsRoot: boolean;
  /** Files of other rings, run once more; left out: all of the ring's own folder. */
  again?: readonly string[];
  /** A command that runs the command after it, on a host of another kind. */
  wrap?: readonly string[];
}

/**
 * A host that nobody has used yet, as far as mounts can make one: no bpffs, an empty /run, and a process 1 that lives
 * there, since tcpx mounts bpffs where process 1 does. That is a shell, which waits for orphans; unshare
 * itself lets signals be.
 */
const FRESH = `mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/netns /run/lock || exit
while umount /sys/fs/bpf 2>/dev/null; do :; done
if grep ' /sys/fs/bpf ' /proc/mounts; then exit 1; fi
"$@" &
trap 'kill $!' INT TERM
wait $! || { code=$?; wait $!; exit $code; }`;

/** In the order in which they run: what is cheap and says most comes first. */
const RINGS: readonly Ring[] = [
  { name: "unit", needsRoot: false },
  { name: "native", needsRoot: true },
  {
    name: "fresh",
    needsRoot: true,
    again: [
      ...["bridge-iterate", "bridge-links"].map((name) => `tests/native/${name}.test.ts`),
      ...["run", "run-host", "scopes", "scopes-root", "watch-life"].map(
        (name) => `tests/kernel/${name}.test.ts`,
      ),
    ],
    wrap: ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", FRESH, "sh"],
  },
  { name: "kernel", needsRoot: true },
  { name: "vm", needsRoot: false },
];

/** Paths of its files, relative to the root of the checkout. */
export async function filesOf(root: string, { name, again }: Ring): Promise<readonly string[]> {
  if (again) return again;
  const names = await readdir(join(root, "tests", name), { recursive: true });
  return names.filter((file) => file.endsWith(".test.ts")).map((file) => `tests/${name}/${file}`);
}

/** A ring without its folder, or without a file of it, is none. */
export function ringsOf(root: string): Ring[] {
  return RINGS.filter(({ name, again }) =>
    (again ?? [`tests/${name}`]).every((path) => existsSync(join(root, path))),
  );
}
