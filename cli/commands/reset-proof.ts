// SPDX-License-Identifier: MIT
// What is still there after a reset: nothing of ours, and perhaps something of another tcpx.

import { existsSync } from "node:fs";
import { type RouteSurvey, removeRoutesLeft } from "../agent/routes-left.ts";
import { checkRunDir, RUN_DIR } from "../agent/run-dir.ts";
import { agentPid } from "../agent/start.ts";
import { Exit, type ExitCode, TcpxError } from "../base/errors.ts";
import { type Bridge, isErrno } from "../bridge/bridge.ts";
import { linkInfo, listPins, openPin } from "../bridge/maps.ts";
import { extensions } from "../extensions/index.ts";
import { type Owner, ownersOf } from "../loader/owners.ts";
import { allScopeDirs, linksIn, topDir } from "../loader/pins.ts";
import { type AgentPrograms, type Attached, attachedPrograms } from "../loader/survey.ts";
import type { Io } from "../output/io.ts";
import { wrapped } from "../output/wrap.ts";
import { UNIT_FILE } from "../persist/unit.ts";
import { capabilities, findBpffs } from "../system/host.ts";
import { anyHooks, TEMPLATE } from "../system/unit-hook.ts";

/** The kernel detaches what an agent had within milliseconds after its end. */
const PATIENCE_MS = 1000;
/** Cgroups, or processes, that a line names. */
const MOST_NAMED = 4;

const programs = extensions.flatMap(({ agent }) => agent?.programs ?? []);
const AGENT: AgentPrograms = {
  ingress: programs.map(({ ingress }) => ingress),
  egress: programs.map(({ egress }) => egress),
};
const isOfAgent = ({ name }: Attached): boolean => [...AGENT.ingress, ...AGENT.egress].includes(name);

interface OtherProgram extends Attached {
  /** Undefined: not known from here. */
  owner: Owner | undefined;
}

export interface Proof {
  cgroups: number;
  /** What must not be there any more. */
  left: string[];
  own: Attached[];
  others: OtherProgram[];
  pins: string[];
  agent: boolean;
  routes: RouteSurvey;
}

/** Programs of the links that are pinned here. */
export function ownPrograms(lib: Bridge): Set<number> {
  const bpffs = findBpffs(lib);
  const dirs = bpffs === undefined ? [] : allScopeDirs(bpffs);
  return new Set(
    dirs.flatMap((dir) =>
      linksIn(dir).flatMap((name) => {
        try {
          using link = openPin(lib, `${dir}/${name}`);
          return link ? linkInfo(lib, link.fd).progId : [];
        } catch {
          return []; // something else of that name
        }
      }),
    ),
  );
}

/** What is attached, and to whom that belongs which is not pinned here. */
async function survey(
  lib: Bridge,
  own: ReadonlySet<number>,
): Promise<Pick<Proof, "cgroups" | "own" | "others">> {
  const bpffs = findBpffs(lib);
  for (const end = performance.now() + PATIENCE_MS; ; await Bun.sleep(20)) {
    const { cgroups, programs } = attachedPrograms(lib, AGENT);
    const foreign = programs.filter(({ program }) => !own.has(program));
    const owners = ownersOf(lib, new Set(foreign.map(({ program }) => program)), bpffs);
    const others = foreign.map((found) => ({ ...found, owner: owners.get(found.program) }));
    const mayStillGo = others.some((other) => !other.owner && isOfAgent(other));
    if (mayStillGo && performance.now() < end) continue;
    return { cgroups, own: programs.filter(({ program }) => own.has(program)), others };
  }
}

/**
 * Looks at everything again.
 * @param own programs that were pinned here
 * @param stuck pins that could not be removed, and why
 */
export async function prove(lib: Bridge, own: ReadonlySet<number>, stuck: string[]): Promise<Proof> {
  const bpffs = findBpffs(lib);
  const found = await survey(lib, own).catch((cause: unknown) => {
    if (!isErrno(cause, "EPERM") || capabilities(lib)("SYS_ADMIN")) throw cause;
    const what =
      "what else is attached may not be looked at, only the rules were removed: CAP_SYS_ADMIN missing";
    throw new TcpxError(Exit.PERMISSION, what, { hint: "run it as root, for example with sudo", cause });
  });
  const pins = bpffs === undefined ? [] : listPins(topDir(bpffs));
  const thinned = found.others.some(isOfAgent);
  const routes = removeRoutesLeft(lib, thinned);
  const agent = (await agentPid()) !== undefined || checkRunDir();
  const left = found.own.map(({ program, cgroup }) => `program ${program} at ${cgroup}`);
  left.push(...(stuck.length > 0 ? stuck : pins));
  if (agent) left.push(RUN_DIR);
  if (anyHooks()) left.push(`/run/systemd/system/${TEMPLATE}`);
  if (routes.failed > 0) left.push(`routes for ACKs at once in ${routes.failed} network namespace(s)`);
  return { ...found, pins, agent, routes, left };
}

export function otherJson({ program, name, cgroup, owner }: OtherProgram): Record<string, unknown> {
  return {
    program,
    name,
    cgroup,
    owner: owner
      ? {
          pid: owner.pid,
          command: owner.command,
          pid_namespace: owner.pidNamespace,
          mount_namespace: owner.mountNamespace,
          container: owner.container,
          bpffs: owner.bpffs,
        }
      : null,
  };
}

function ownerText(owner: Owner | undefined): string {
  if (!owner) return "whose bpffs and processes cannot be seen from here";
  const { bpffs, pid, command, container, pidNamespace } = owner;
  const where = [
    `${bpffs === null ? "held by" : `with the bpffs ${bpffs} of`} pid ${pid} (${command})`,
    ...(container === null ? [] : [`container ${container}`]),
    ...(pidNamespace === null ? [] : [`pid namespace ${pidNamespace}`]),
  ];
  return where.join(", ");
}

/** The first of them. */
function listed(all: readonly (string | number)[]): string {
  const rest = all.length - MOST_NAMED;
  return `${all.slice(0, MOST_NAMED).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

/** An owner per line, or more where the terminal is narrow. */
function* otherLines(others: readonly OtherProgram[]): Generator<string> {
  for (const [owner, found] of Map.groupBy(others, ({ owner }) => ownerText(owner))) {
    const places = [...new Set(found.map(({ cgroup }) => cgroup))];
    yield* wrapped(`left alone: ${found.length} program(s) of another tcpx, ${owner}: at ${listed(places)}`);
  }
}

/** The end of the report, and the exit code. */
export function judge({ left, others, cgroups, routes }: Proof, io: Io): ExitCode {
  if (existsSync(UNIT_FILE))
    io.messages.warn(`${UNIT_FILE} brings rules back with a reboot; see \`tcpx persist\``);
  for (const line of otherLines(others)) io.print(line);
  if (routes.others !== undefined) {
    const who = routes.others.length > 0 ? ` (pid ${listed(routes.others)})` : "";
    io.print(`left alone: routes for ACKs at once, since another tcpx has an agent${who}`);
  }
  if (left.length > 0) {
    io.messages.error(`still there: ${left.join(", ")}`);
    return Exit.FAILED;
  }
  const whose = others.length > 0 ? "no program of this tcpx" : "no tcpx program";
  const checked = `checked: ${whose} in any of ${cgroups} cgroups, nothing pinned`;
  if (routes.others !== undefined) io.print(`${checked}, no agent of this tcpx`);
  else io.print(`${checked}, no agent,\nno routes of ours in any of ${routes.namespaces} network namespaces`);
  return Exit.DONE;
}
