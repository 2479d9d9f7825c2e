// SPDX-License-Identifier: MIT
// A host of its own for an extension that is tried: namespaces of mounts, processes, networks and cgroups, in which
// /etc/tcpx has it, and nothing is the machine's. All of it is gone with its last process; the machine has one cgroup
// of it, and /etc/tcpx as a place to mount over.

import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Exit, type ExitCode, TcpxError } from "../base/errors.ts";
import { privateName, removeOne } from "../lab/sandbox.ts";
import { childEnvironment, programOf } from "../system/child.ts";
import { makeDirectory } from "../system/files.ts";
import { BPFFS, cgroupRoot } from "../system/host.ts";
import { self } from "../system/self.ts";
import { workFolder } from "./work.ts";

const ETC = "/etc/tcpx";
/** Says that it is this script that has failed. */
const NO_PLACE = 90;
/** For it to clean up when it is told to end. */
const GRACE_MS = 10_000;

/**
 * $0: a folder with what it gets; $1: where cgroups are; $2: bpffs. What failed is in $0/why. Process 1 waits for
 * orphans, and is no tcpx: those end by signals.
 */
const SETUP = `set -e
exec 4>&2 2>"$0/why"
trap 'exit ${NO_PLACE}' EXIT
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/netns /run/lock
mount -t tmpfs -o mode=755 tmpfs ${ETC}
mkdir -m 755 ${ETC}/extensions
for file in "$0"/*.tcpx; do
  [ ! -e "$file" ] || install -m 644 "$file" "${ETC}/extensions/8-\${file##*/}"
done
mount -t bpf bpf "$2"
while read -r _ path type _; do
  [ "$type" != cgroup2 ] || umount -l "$path" || true
done </proc/mounts
mount -t cgroup2 cgroup2 "$1"
: >"$0/begun"
trap - EXIT
exec 3<&0 2>&4 4>&-
shift 2
"$@" <&3 3<&- &
exec 3<&-
wait $!`;

const FLAGS = ["--mount", "--pid", "--net", "--cgroup", "--fork", "--kill-child"];
/**
 * Around it, outside: $0: the cgroup that it lives in; $1: a folder of ours; $2: what was made for it to mount over, or "".
 * It takes all of that away, also when whoever has started it was killed.
 */
const AROUND = `trap '' INT TERM HUP
cgroup=$0 work=$1 etc=$2
shift 2
exec 3<&0
sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$cgroup" "$@" <&3 3<&- &
exec 3<&- </dev/null
wait $!
code=$?
[ -e "$work/begun" ] || { code=${NO_PLACE} && [ ! -e "$work/why" ] || tail -n 1 "$work/why" >&2; }
for n in 1 2 3 4 5 6 7 8 9; do
  find "$cgroup" -depth -type d -exec rmdir {} \\; 2>/dev/null
  [ -d "$cgroup" ] || break
  sleep 0.1
done
rm -rf "$work"
[ -z "$etc" ] || [ -n "$(find "\${cgroup%/*}" -maxdepth 1 -name 'tcpx-ext-*')" ] || rmdir "$etc" 2>/dev/null
exit $code`;

function program(name: string): string {
  const path = programOf(name);
  if (path) return path;
  throw new TcpxError(Exit.UNSUPPORTED, `the program '${name}' is missing`, {
    value: name,
    hint: name === "ip" ? "install the package iproute2" : "install the package util-linux",
  });
}

/** Makes something to mount over, unless it is there. @returns its path, or "" */
function makeEtc(): string {
  if (existsSync(ETC)) return "";
  makeDirectory(ETC, 0o755);
  return ETC;
}

/** What the host gets, by name. */
export type Given = Readonly<Record<string, Uint8Array | string>>;

interface Running {
  /** Ends it: it cleans up first. */
  end(): void;
  done: Promise<ExitCode>;
}

interface Place {
  cgroup: string;
  root: string;
  work: string;
  /** What was made to mount over, or "". */
  etc: string;
}

function start({ cgroup, root, work, etc }: Place, words: readonly string[], dir: string): Running {
  const inside = [program("sh"), "-c", SETUP, work, root, BPFFS, ...self(), ...words, work];
  const host = [program("unshare"), ...FLAGS, ...inside];
  const { TERM, NO_COLOR } = process.env;
  const child = Bun.spawn([program("sh"), "-c", AROUND, cgroup, work, etc, ...host], {
    cwd: dir,
    env: { ...childEnvironment(), ...(TERM && { TERM }), ...(NO_COLOR && { NO_COLOR }) },
    stdin: "pipe",
    stdout: "inherit",
    stderr: "inherit",
    detached: true, // Ctrl-C is ours
  });
  return {
    end: () => void child.stdin.end(),
    done: child.exited.then((code) => {
      if (code !== NO_PLACE) return code as ExitCode;
      throw new TcpxError(Exit.UNSUPPORTED, "no host of its own can be made here", {
        hint: "it needs namespaces of mounts, processes, networks and cgroups, and a bpffs in them",
      });
    }),
  };
}

/**
 * Runs `tcpx WORDS FOLDER` in such a host; the folder has what it is given, NAME.tcpx is an extension there. Whatever
 * happens, nothing is left.
 * @param dir its working directory
 * @returns its exit code
 */
export async function onPrivateHost(
  words: readonly string[],
  given: Given,
  dir: string,
  signal: AbortSignal,
): Promise<ExitCode> {
  for (const name of ["unshare", "mount", "ip"]) program(name);
  const [root, name] = [cgroupRoot(), privateName()];
  const work = workFolder("tcpx-ext-");
  try {
    for (const [file, content] of Object.entries(given)) writeFileSync(join(work, file), content);
    makeDirectory(join(root, name), 0o755);
    const running = start({ cgroup: join(root, name), root, work, etc: makeEtc() }, words, dir);
    const end = () => {
      running.end();
      late ??= setTimeout(() => void removeOne(name), GRACE_MS);
    };
    let late: Timer | undefined;
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
    const code = await running.done.finally(() => signal.removeEventListener("abort", end));
    clearTimeout(late);
    signal.throwIfAborted();
    return code;
  } finally {
    await removeOne(name); // it has gone, unless what is around it was killed
    rmSync(work, { recursive: true, force: true });
  }
}
