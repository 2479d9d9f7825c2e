// SPDX-License-Identifier: MIT
// Looks through all cgroups for programs of ours, independently of our own records.

import { closeSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Bridge, unwrap } from "./bridge.ts";
import { findCgroupRoot } from "./host.ts";
import { attachedTo, Fd, progInfo, SOCK_OPS } from "./maps.ts";

/** Name of the program in tcpx.bpf.c. */
const PROGRAM = "tcpx";

export interface Survey {
  cgroups: number;
  /** "program 12 at /path" */
  programs: string[];
}

/** A cgroup and all below it, parents first. */
export function* directories(path: string): Generator<string> {
  yield path;
  let children: string[] = [];
  try {
    children = readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return; // removed meanwhile
  }
  for (const child of children) yield* directories(join(path, child));
}

function programsOf(lib: Bridge, path: string): string[] {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    // it went meanwhile, or its name is no UTF-8: no command of tcpx reaches such a cgroup
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  try {
    return attachedTo(lib, fd, SOCK_OPS).ids.flatMap((id) => {
      using prog = new Fd(lib, unwrap("open program", lib.tcpx_prog_open(id)));
      return progInfo(lib, prog.fd).name === PROGRAM ? [`program ${id} at ${path}`] : [];
    });
  } catch {
    return []; // cgroup or program went meanwhile
  } finally {
    closeSync(fd);
  }
}

/** Every attached sock_ops program of tcpx in the cgroup2 hierarchy. */
export function attachedPrograms(lib: Bridge): Survey {
  const survey: Survey = { cgroups: 0, programs: [] };
  const root = findCgroupRoot();
  if (root === undefined) return survey;
  for (const path of directories(root)) {
    survey.cgroups++;
    survey.programs.push(...programsOf(lib, path));
  }
  return survey;
}
