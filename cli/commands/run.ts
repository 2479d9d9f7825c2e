// SPDX-License-Identifier: MIT

import { readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { ArgsDef } from "citty";
import { type Args, globalArgs, selectorArgs, textArg } from "../base/args.ts";
import { Exit, type ExitCode, RunExit, TcpxError } from "../base/errors.ts";
import { type Bridge, bridge, unwrap } from "../bridge/bridge.ts";
import { extensions } from "../extensions/index.ts";
import { draftRun, runArgs } from "../extensions/run-flags.ts";
import { openHost } from "../flags/host-access.ts";
import { selectorsOf } from "../flags/selectors.ts";
import { cgroupOfProcess } from "../loader/named-scope.ts";
import { freeRunCgroup } from "../loader/run-scopes.ts";
import { siteIfReadable } from "../loader/site-map.ts";
import { become, inheritedFiles, requireCommand } from "../system/exec.ts";
import { makeDirectory } from "../system/files.ts";
import { cgroupRoot } from "../system/host.ts";
import { self } from "../system/self.ts";
import { placedRun } from "./internal-run.ts";
import { leaf } from "./types.ts";

const ELSEWHERE = "start it from another cgroup, for example with: systemd-run --scope -- tcpx run ...";

const HINTS: Record<string, string> = {
  EACCES: "run it as root, or in a cgroup that is delegated to you",
  EPERM: "run it as root, or in a cgroup that is delegated to you",
  EROFS: "cgroups are read-only here, as in most containers: run it on the host",
  EAGAIN: "a limit on cgroups is reached: see cgroup.max.descendants and cgroup.max.depth above it",
  EOPNOTSUPP: ELSEWHERE,
  ENOENT: "another tcpx has taken it for a leftover: try again",
  ENODEV: "another tcpx has taken it for a leftover: try again",
};

function cgroupError(what: string, error: unknown): TcpxError {
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  const kind = code === "EACCES" || code === "EPERM" ? Exit.PERMISSION : Exit.UNSUPPORTED;
  const hint = HINTS[code];
  return new TcpxError(kind, `${what} (${code})`, { cause: error, ...(hint !== undefined ? { hint } : {}) });
}

function orCgroupError<T>(parent: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw cgroupError(`cannot make a cgroup below ${parent}`, error);
  }
}

/** The cgroup that this process is in, below which commands get their own. */
function ownCgroup(): string {
  const root = cgroupRoot();
  const own = cgroupOfProcess(process.pid);
  if (own === undefined) {
    const what = "the cgroup of this process cannot be seen from here";
    throw new TcpxError(Exit.UNSUPPORTED, what, { hint: "run tcpx on the host itself" });
  }
  let type = "";
  try {
    type = own === root ? "" : readFileSync(join(own, "cgroup.type"), "utf8").trim();
  } catch {
    // then making a cgroup says what is wrong
  }
  if (type === "threaded" || type === "domain invalid") {
    throw new TcpxError(Exit.UNSUPPORTED, `cgroup ${own} is ${type}: processes cannot move below it`, {
      value: own,
      hint: ELSEWHERE,
    });
  }
  return own;
}

/** A cgroup for the command, which goes when its last process and this one have ended, however they do. */
function makeScope(lib: Bridge): string {
  const own = ownCgroup();
  const path = orCgroupError(own, () => freeRunCgroup(own));
  const words = new TextEncoder().encode([...self(), "internal-run-end", path, ""].join("\0"));
  // stays open until we become the command, or end; before mkdir(), so that SIGKILL leaves nothing behind
  const line = unwrap("spawn the watcher", lib.tcpx_run_watch(words, words.length));
  orCgroupError(own, () => {
    try {
      makeDirectory(path, 0o755);
    } catch (error) {
      writeSync(line, ".");
      throw error;
    }
  });
  return path;
}

/** The flags again, for a process that sets the rules. */
function flagWords(args: Args, defs: ArgsDef): string[] {
  return Object.entries(defs).flatMap(([name, def]) => {
    if (def.type === "boolean" && def.negativeDescription)
      return args[name] === false ? [`--no-${name}`] : [];
    if (def.type === "boolean") return args[name] === true ? [`--${name}`] : [];
    const value = textArg(args, name);
    return value === undefined ? [] : [`--${name}=${value}`];
  });
}

/**
 * Sets the rules in a process of its own: whatever it starts, such as the agent, must not be a child of the
 * command that we become.
 */
async function setRulesElsewhere(cgroup: string, args: Args): Promise<boolean> {
  const flags = flagWords(args, { ...runArgs(), ...selectorArgs, ...globalArgs });
  const child = Bun.spawn([...self(), "internal-run-rules", `--cgroup=${cgroup}`, ...flags], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  return (await child.exited) === Exit.DONE;
}

async function start(lib: Bridge, args: Args, command: string[], files: number[]): Promise<ExitCode> {
  unwrap("note", lib.tcpx_exec_note());
  const cgroup = makeScope(lib);
  if (!(await setRulesElsewhere(cgroup, args))) return RunExit.FAILED; // which has said why
  try {
    writeFileSync(join(cgroup, "cgroup.procs"), "0");
  } catch (error) {
    throw cgroupError(`cannot enter cgroup ${cgroup}`, error);
  }
  return become(lib, command[0]!, command.length, files);
}

export const run = leaf({
  summary:
    "Run a command with rules of its own: for it and what it starts, and for nobody else. They go when the " +
    "last of these processes has ended.",
  args: {
    ...runArgs(),
    ...selectorArgs,
    ...globalArgs,
    command: {
      type: "positional",
      valueHint: "-- CMD [ARG...]",
      description: "The command, whose process this one becomes: terminal, signals and exit code are its own",
    },
  },
  examples: extensions.flatMap(({ run }) => run?.examples ?? []),
  notes: [
    "Exit codes: the command's own; 125 when tcpx failed, 126 when the command cannot be executed, 127 when " +
      "it is not found.",
    "The scope is a cgroup tcpx-run-PID below the caller's own. Sockets that the command inherits belong to the " +
      "cgroup in which they were created, and the rules are not for them.",
  ],
  failure: RunExit.FAILED,
  async run(args, io) {
    const files = inheritedFiles();
    const command = process.argv.slice(process.argv.indexOf("--") + 1);
    selectorsOf(args, io);
    placedRun(args, draftRun(args, siteIfReadable(await bridge())), null); // all that can be wrong with the flags is told before anything else
    requireCommand(command[0]!);
    const { lib } = await openHost();
    return start(lib, args, command, files);
  },
});
