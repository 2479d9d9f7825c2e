// SPDX-License-Identifier: MIT
// `tcpx ext unload`: takes away what `tcpx ext load` has loaded.

import { type Args, changeArgs, flagArg, globalArgs, scopeArgs, scopeFlags, textArg } from "../base/args.ts";
import { nearest } from "../base/did-you-mean.ts";
import { Exit, type ExitCode, TcpxError } from "../base/errors.ts";
import { requireUnused } from "../change/site-needs.ts";
import { changeTable } from "../change/table.ts";
import { type Host, openHost } from "../flags/host-access.ts";
import { patienceOf } from "../flags/patience.ts";
import { lock } from "../loader/store.ts";
import type { Io } from "../output/io.ts";
import { withoutAlgorithm } from "../programs/number.ts";
import { unloadedJson, unloadedLine } from "../programs/report.ts";
import { isLeft, type LoadedProgram, readPrograms } from "../programs/state.ts";
import { sweep, tidy, uninstall } from "../programs/store.ts";
import { hex, siteAlgorithms } from "../wire/site.ts";
import { leaf } from "./types.ts";

/** A scope that is named has sock_ops programs only; without one, it may be a congestion control, too. */
function find(host: Host, all: readonly LoadedProgram[], name: string, isNamed: boolean) {
  const { id } = host.scope();
  return all.find(
    (one) => one.name === name && (one.where === id || (!isNamed && one.kind === "congestion")),
  );
}

/** Where there is none of this name. */
function missingText(all: readonly LoadedProgram[], name: string, scope: string): string {
  const elsewhere = all.find((one) => one.name === name);
  const near = nearest(
    name,
    all.map((one) => one.name),
  );
  const place = elsewhere?.cgroup ? `; there is one with --cgroup ${elsewhere.cgroup}` : "";
  const hint = elsewhere
    ? place
    : `; ${near === undefined ? "`tcpx status` has those that are" : `did you mean ${near}?`}`;
  return `no program ${name} is loaded in cgroup ${scope}${hint}`;
}

/** @throws TcpxError (usage) that names a rule which needs the congestion control */
function requireNoRules(host: Host, { name }: LoadedProgram): void {
  const present = host.site();
  try {
    requireUnused(host.lib, new Map(), { present, wanted: withoutAlgorithm(present, name) });
  } catch (error) {
    if (!(error instanceof TcpxError) || error.code !== Exit.USAGE) throw error;
    const hint = "unset the rule first; with --force it stays, and has no effect";
    throw new TcpxError(Exit.USAGE, error.message, { value: name, hint, cause: error });
  }
}

/** The number goes when `ext load` has given it: one of a policy file is that file's. */
function givenNumber(host: Host, { name, about }: LoadedProgram): number | null {
  const own = siteAlgorithms(host.site()).find((algorithm) => algorithm.name === name);
  return own && own.number === about?.number ? own.number : null;
}

async function commit(host: Host, { home }: LoadedProgram, args: Args, io: Io): Promise<boolean> {
  const { lib } = host;
  using held = await lock(lib, patienceOf(args, io));
  await tidy(lib, held);
  const present = readPrograms(lib, held.bpffs).find((one) => one.home === home);
  const isHeld = present !== undefined && (await uninstall(lib, present));
  sweep(held.bpffs);
  return isHeld;
}

async function unload(host: Host, program: LoadedProgram, args: Args, io: Io): Promise<void> {
  const dryRun = flagArg(args, "dry-run");
  const isForced = flagArg(args, "force");
  const isControl = program.kind === "congestion";
  if (isControl && !isForced) requireNoRules(host, program);
  const number = isControl && !isForced ? givenNumber(host, program) : null;
  if (number !== null) {
    const work = { dryRun, patience: patienceOf(args, io) };
    await changeTable(io, host, withoutAlgorithm(host.site(), program.name), work);
  }
  const isHeld = !dryRun && (await commit(host, program, args, io));
  io.json({
    command: "ext unload",
    changed: true,
    dry_run: dryRun,
    unloaded: unloadedJson(program),
    number,
    still_used: isHeld,
  });
  io.print(unloadedLine(program));
  if (number !== null) io.print(`- algorithm ${program.name} ${hex(number)}`);
  if (isHeld)
    io.print(`connections that use ${program.name} keep it until they close; new ones cannot have it`);
  if (dryRun) io.print("nothing was changed (--dry-run)");
}

async function run(args: Args, io: Io): Promise<ExitCode> {
  const name = textArg(args, "name")!;
  const flags = scopeFlags(args);
  const host = await openHost(flags);
  host.lib.tcpx_log_level(io.flags.verbose ? 2 : 0);
  const all = readPrograms(host.lib).filter((one) => !isLeft(one));
  const isNamed = Object.values(flags).some((value) => value !== undefined);
  const program = find(host, all, name, isNamed);
  if (program) {
    await unload(host, program, args, io);
    return Exit.DONE;
  }
  io.messages.info(missingText(all, name, host.scope().name));
  const nothing = { unloaded: null, number: null, still_used: false };
  io.json({ command: "ext unload", changed: false, dry_run: flagArg(args, "dry-run"), ...nothing });
  io.print("no change");
  return Exit.DONE;
}

export const extUnload = leaf({
  summary: "Take away a program that `tcpx ext load` has loaded, and nothing else.",
  args: {
    name: {
      type: "positional",
      valueHint: "NAME",
      description: "What it is called, as `tcpx status` shows it",
    },
    force: {
      type: "boolean",
      description: "Also a congestion control that rules name: they stay, and have no effect",
    },
    ...scopeArgs,
    ...changeArgs,
    ...globalArgs,
  },
  examples: [
    ["tcpx ext unload tune --unit nginx", "A sock_ops program of a service"],
    ["tcpx ext unload mycc", "A congestion control"],
  ],
  notes: [
    "Connections that use a congestion control keep it until they close, and the command says so. Its number goes " +
      "with it when `ext load` has given it.",
  ],
  run,
});
