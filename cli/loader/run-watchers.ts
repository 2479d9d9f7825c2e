// SPDX-License-Identifier: MIT
// Watchers of runs (native-loader/run.c) that wait for a cgroup which is gone, as those of older builds did when
// somebody removed it at the wrong moment. Any process may have their name, so they are known by what they are.

import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statSync } from "node:fs";
import type { Bridge } from "../bridge/bridge.ts";

const NAME = "tcpx-run-watch";
/** Words that are in the executable of every tcpx that has watchers, and in no other. */
const WORDS = ["internal-run-end", "tcpx_run_watch"];
const PIECE = 1 << 20;
/** A watcher that is all right needs a moment to see that its cgroup has gone. */
const MOMENT_MS = 300;

function fileHas(path: string, words: readonly string[]): boolean {
  const fd = openSync(path, "r");
  try {
    const piece = Buffer.alloc(PIECE);
    const missing = new Set(words);
    let text = Buffer.alloc(0);
    for (let n = 1; n > 0 && missing.size > 0; ) {
      n = readSync(fd, piece, 0, PIECE, null);
      text = Buffer.concat([text.subarray(-PIECE), piece.subarray(0, n)]); // a word may lie across two pieces
      for (const word of missing) if (text.includes(word)) missing.delete(word);
    }
    return missing.size === 0;
  } finally {
    closeSync(fd);
  }
}

/** Tells executables of tcpx, of this build or another, each of which is read once. */
class Executables {
  private readonly known = new Map<string, boolean>();

  constructor() {
    this.known.set(this.key("self"), true);
  }

  private key(pid: string): string {
    const { dev, ino } = statSync(`/proc/${pid}/exe`, { bigint: true });
    return `${dev}:${ino}`;
  }

  has(pid: string): boolean {
    const key = this.key(pid);
    const ours = this.known.get(key) ?? fileHas(`/proc/${pid}/exe`, WORDS);
    this.known.set(key, ours);
    return ours;
  }
}

/** Is it of our user, and of our namespaces of users and processes? */
function isOurUsers(pid: string): boolean {
  const uids = /^Uid:\s*(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]?.split(/\s+/) ?? [];
  if (uids.length !== 4 || uids.some((uid) => Number(uid) !== process.geteuid?.())) return false;
  const namespace = (of: string, what: string) => statSync(`/proc/${of}/ns/${what}`).ino;
  return ["user", "pid"].every((what) => namespace(pid, what) === namespace("self", what));
}

/** The bridge is mapped from memory under this name (bridge.ts), which a fork keeps. */
function hasBridge(pid: string): boolean {
  return /^\S+ r-xp .* \/memfd:libtcpx \(deleted\)$/m.test(readFileSync(`/proc/${pid}/maps`, "utf8"));
}

/** Has it the cgroup of a run open, which has been removed? */
function isOfGoneCgroup(pid: string): boolean {
  const dir = `/proc/${pid}/fd`;
  return readdirSync(dir).some((fd) =>
    /\/tcpx-run-\d+(?:-\d+)?(?:\.\d+)? \(deleted\)$/.test(readlinkSync(`${dir}/${fd}`)),
  );
}

/** A check is not met by a process that has gone, or that may not be looked at. */
function isLeft(pid: string, executables: Executables): boolean {
  try {
    if (readFileSync(`/proc/${pid}/comm`, "utf8") !== `${NAME}\n`) return false;
    // whose it is first: another's could make us wait for what is known of its memory
    return isOurUsers(pid) && isOfGoneCgroup(pid) && hasBridge(pid) && executables.has(pid);
  } catch {
    return false;
  }
}

async function find(executables: Executables): Promise<string[]> {
  const first = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && isLeft(pid, executables));
  if (first.length > 0) await Bun.sleep(MOMENT_MS);
  return first.filter((pid) => isLeft(pid, executables));
}

/** Their pids. */
export async function leftWatchers(): Promise<number[]> {
  return (await find(new Executables())).map(Number);
}

/** Ends them; returns the pids of those that were. */
export async function endLeftWatchers(lib: Bridge): Promise<number[]> {
  const executables = new Executables();
  const ended = (await find(executables)).filter((pid) => {
    const process = lib.tcpx_process_open(Number(pid));
    if (process < 0) return false;
    try {
      // looked at again: the descriptor stays with the process that has the number now
      return isLeft(pid, executables) && lib.tcpx_process_kill(process) === 0;
    } finally {
      lib.tcpx_close(process);
    }
  });
  return ended.map(Number);
}

/** Pids that a line names. */
const MOST_NAMED = 4;

/** Watchers that are left, as text. */
export function watchersText(pids: readonly number[]): string {
  const more = pids.length > MOST_NAMED ? ` and ${pids.length - MOST_NAMED} more` : "";
  return `${pids.length} watcher(s) of a \`tcpx run\` whose cgroup is gone (pid ${pids.slice(0, MOST_NAMED).join(", ")}${more})`;
}
