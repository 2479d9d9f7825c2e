// SPDX-License-Identifier: MIT
// Looks through all cgroups for programs of tcpx, independently of our own records.

import { closeSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Bridge, isErrno, unwrap } from "../bridge/bridge.ts";
import { attachedTo, EGRESS, Fd, INGRESS, progInfo, SOCK_OPS } from "../bridge/maps.ts";
import { SOCK_TYPES, type SockType, sockName } from "../bridge/sock-types.ts";
import { extensions } from "../extensions/index.ts";
import { findCgroupRoot } from "../system/host.ts";
import { RESET_PROGRAM } from "./reset-link.ts";

/** Names of programs that an agent attaches; nothing pins them. */
export type AgentPrograms = Readonly<Record<"ingress" | "egress", readonly string[]>>;

export interface Attached {
  program: number;
  name: string;
  /** Path that this process can open. */
  cgroup: string;
}

export interface Survey {
  cgroups: number;
  programs: Attached[];
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

/** Undefined where a cgroup or a program went meanwhile. @throws where we may not look: that proves nothing */
function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (isErrno(error, "EPERM", "EACCES")) throw error;
    return undefined;
  }
}

function nameOf(lib: Bridge, program: number): string {
  using prog = new Fd(lib, unwrap("open program", lib.tcpx_prog_open(program)));
  return progInfo(lib, prog.fd).name;
}

/** Types of programs that some extension has. */
const sockTypes = [
  ...new Set(extensions.flatMap(({ programs = {} }) => Object.keys(programs) as SockType[])),
];

function programsOf(lib: Bridge, cgroup: string, { ingress, egress }: AgentPrograms): Attached[] {
  const all: readonly (readonly [number, readonly string[]])[] = [
    [SOCK_OPS, ["tcpx"]],
    [INGRESS, [RESET_PROGRAM, ...ingress]],
    [EGRESS, egress],
    ...sockTypes.map((type) => [SOCK_TYPES[type], [sockName(type)]] as const),
  ];
  const fd = unlessGone(() => openSync(cgroup, "r"));
  if (fd === undefined) return [];
  try {
    return all.flatMap(([type, names]) => {
      const ids = unlessGone(() => attachedTo(lib, fd, type).ids) ?? [];
      const named = ids.map((program) => ({ program, name: unlessGone(() => nameOf(lib, program)), cgroup }));
      return named.flatMap(({ name, ...found }) => (name && names.includes(name) ? { ...found, name } : []));
    });
  } finally {
    closeSync(fd);
  }
}

/** Every attached program of a tcpx in the cgroup2 hierarchy, whosever it is. */
export function attachedPrograms(lib: Bridge, agent: AgentPrograms): Survey {
  const survey: Survey = { cgroups: 0, programs: [] };
  const root = findCgroupRoot();
  if (root === undefined) return survey;
  for (const path of directories(root)) {
    survey.cgroups++;
    survey.programs.push(...programsOf(lib, path, agent));
  }
  return survey;
}
