// SPDX-License-Identifier: MIT
// `tcpx ext load`: a whole program of somebody else.

import { type Args, changeArgs, flagArg, globalArgs, scopeArgs, scopeFlags, textArg } from "../base/args.ts";
import { Exit, type ExitCode, usageError } from "../base/errors.ts";
import { changeTable } from "../change/table.ts";
import { type Host, openHost } from "../flags/host-access.ts";
import { patienceOf } from "../flags/patience.ts";
import { lock } from "../loader/store.ts";
import type { Io } from "../output/io.ts";
import { isUrl } from "../packages/download.ts";
import { adoptPrograms } from "../programs/adopt.ts";
import { parseNumber, withAlgorithm } from "../programs/number.ts";
import type { Prepared } from "../programs/prepared.ts";
import { plannedLine, wantedJson } from "../programs/report.ts";
import { readPrograms } from "../programs/state.ts";
import { install, tidy } from "../programs/store.ts";
import { parseSettings } from "../programs/variables.ts";
import {
  type PlannedProgram,
  type ProgramWish,
  planProgram,
  prepareWanted,
  readWanted,
  type WantedProgram,
} from "../programs/wanted.ts";
import { doesNotRun, notKept } from "../system/unit-hook.ts";
import { absolutePath } from "../system/working-directory.ts";
import { hex, type Site, sameSite } from "../wire/site.ts";
import { leaf } from "./types.ts";

function wishOf(args: Args): ProgramWish {
  const given = textArg(args, "file")!;
  if (isUrl(given)) throw usageError(`${given} is no file of this host`, given, "fetch it first");
  const file = absolutePath(given);
  if (file === undefined)
    throw usageError("the working directory has no name", given, "give an absolute path");
  const set = textArg(args, "set");
  return { file, name: textArg(args, "name"), set: set === undefined ? {} : parseSettings(set) };
}

/** A congestion control is for the whole host, and a number is only for it. */
function checkFlags(args: Args, { object, scope }: WantedProgram): void {
  const flag = ["cgroup", "unit", "user", "pid"].find((name) => args[name] !== undefined);
  if (object.ops && flag !== undefined) {
    const what = `${object.file} is a congestion control, which is for the whole host`;
    throw usageError(what, `--${flag}`, `leave --${flag} out: rules say which connections use it`);
  }
  if (!object.ops && args.number !== undefined)
    throw usageError(
      "--number is for congestion controls",
      "--number",
      `${object.file} is a sock_ops program`,
    );
  if (scope?.waiting) throw doesNotRun(scope.name);
}

interface Numbered {
  site: Site;
  number: number | null;
  isChange: boolean;
}

function numbered(host: Host, args: Args, { name, object }: WantedProgram): Numbered {
  const before = host.site();
  if (!object.ops) return { site: before, number: null, isChange: false };
  const chosen = textArg(args, "number");
  const { site, number } = withAlgorithm(
    before,
    name,
    chosen === undefined ? undefined : parseNumber(chosen),
  );
  return { site, number, isChange: !sameSite(before, site) };
}

async function commit(
  host: Host,
  wanted: WantedProgram,
  prepared: Prepared,
  { number, isChange: isGiven }: Numbered,
  args: Args,
  io: Io,
): Promise<void> {
  const { lib } = host;
  using held = await lock(lib, patienceOf(args, io));
  for (const gone of await tidy(lib, held)) io.messages.info(`program ${gone.name} went with its cgroup`);
  if (wanted.scope) adoptPrograms(lib, held, wanted.scope);
  const { present } = planProgram(wanted, readPrograms(lib, held.bpffs)); // nobody has taken its name meanwhile
  const { name, object, scope, sha256, set } = wanted;
  const given = isGiven ? number : (present?.about?.number ?? null);
  install(lib, held, name, scope, prepared, { file: object.file, sha256, set, number: given });
}

function tell(io: Io, plan: PlannedProgram, table: Numbered, dryRun: boolean): void {
  const { wanted, present, isChange } = plan;
  const { name, object, scope } = wanted;
  const changed = isChange || table.isChange;
  const lost = isChange && !dryRun && scope ? notKept(scope.name, "the program") : undefined;
  const warnings = lost === undefined ? [] : [lost];
  for (const text of warnings) io.messages.warn(text);
  io.json({
    command: "ext load",
    changed,
    dry_run: dryRun,
    loaded: wantedJson(wanted),
    in_place: isChange && present?.isInForce === true,
    number: table.number,
    warnings,
  });
  io.print(plannedLine(plan));
  if (table.isChange) io.print(`+ algorithm ${name} ${hex(table.number!)}`);
  if (object.ops && changed && !dryRun)
    io.print(`\`tcpx cc-request set ${name} --local\` and \`tcpx cc-request accept ${name}\` use it`);
  if (!changed) io.print("no change");
  else if (dryRun) io.print("nothing was changed (--dry-run)");
}

async function run(args: Args, io: Io): Promise<ExitCode> {
  const wish = wishOf(args);
  const dryRun = flagArg(args, "dry-run");
  const patience = patienceOf(args, io);
  const host = await openHost(scopeFlags(args));
  const { lib } = host;
  lib.tcpx_log_level(io.flags.verbose ? 2 : 0);
  const wanted = readWanted(lib, wish, host.scope());
  checkFlags(args, wanted);
  const plan = planProgram(wanted, readPrograms(lib));
  const table = numbered(host, args, wanted);
  if (plan.isChange) {
    using prepared = await prepareWanted(lib, wanted);
    if (!dryRun) await commit(host, wanted, prepared, table, args, io);
  }
  if (table.isChange) await changeTable(io, host, table.site, { dryRun, patience });
  tell(io, plan, table, dryRun);
  return Exit.DONE;
}

export const extLoad = leaf({
  summary:
    "Load a whole program of somebody else: a sock_ops program for a scope, or a congestion control (struct_ops) " +
    "for the host. Loaded again under its name, it is replaced in one step.",
  args: {
    file: {
      type: "positional",
      valueHint: "FILE",
      description: "The object, as clang makes it; root's own",
    },
    name: {
      type: "string",
      valueHint: "NAME",
      description: "What to call it here; default: the file's name, or the congestion control's",
    },
    set: {
      type: "string",
      valueHint: "NAME=VALUE,...",
      description: "Values of its variables that are `const volatile`: numbers, true, false",
    },
    number: {
      type: "string",
      valueHint: "N",
      description:
        "Number that requests name the congestion control by, 0x8000 to 0xfffe; default: the first free one",
    },
    ...scopeArgs,
    ...changeArgs,
    ...globalArgs,
  },
  examples: [
    [
      "tcpx ext load /etc/tcpx/programs/tune.bpf.o --unit nginx",
      "Attach its sock_ops program to a service's cgroup",
    ],
    [
      "tcpx ext load tune.bpf.o --set limit=10,verbose=true --dry-run",
      "Have the kernel verify it, and no more",
    ],
    ["tcpx ext load mycc.bpf.o", "A congestion control, at once usable"],
    ["tcpx cc-request set mycc --local --port 443", "Use it"],
  ],
  notes: [
    "Nobody else may be able to change what root loads: the file and the folders above it have to be root's own, not " +
      "writable by others, and none of them a link.",
    "`tcpx ext build DIR` makes the object from DIR/NAME.bpf.c where there is no extension.toml: the headers are inside.",
    "A sock_ops program is attached beside those of tcpx. What its code shows of mistakes that harm connections is " +
      "refused (a heuristic).",
    "`tcpx status` shows what is loaded, and how often it ran while kernel.bpf_stats_enabled is 1. Policy files have " +
      "[[scope.program]] and [[congestion]].",
  ],
  run,
});
