// SPDX-License-Identifier: MIT

import { type Args, flagArg, globalArgs } from "../base/args.ts";
import { Exit, type ExitCode, TcpxError } from "../base/errors.ts";
import { type Bridge, unwrap } from "../bridge/bridge.ts";
import { extensions } from "../extensions/index.ts";
import { openHost } from "../flags/host-access.ts";
import { resolveScope } from "../loader/named-scope.ts";
import { isTemporary } from "../loader/run-scopes.ts";
import { damagedError, type ScopeState } from "../loader/state.ts";
import type { Io } from "../output/io.ts";
import type { Netns, Rule } from "../policy/rule.ts";
import { type PrintedScope, printPolicy } from "../policy-file/print.ts";
import type { PrintedProgram } from "../policy-file/programs.ts";
import { isLeft, type LoadedProgram, readPrograms } from "../programs/state.ts";
import { serviceOf } from "../system/unit-hook.ts";
import { unitOf } from "../system/unit-name.ts";
import { leaf } from "./types.ts";

/** By its unit where that name leads back to it, else by its path. */
function namesOf(lib: Bridge, { name, id }: Pick<ScopeState, "name" | "id">): PrintedScope["names"] {
  const unit = unitOf(name);
  if (!unit) return { cgroup: name };
  const names = { unit: unit.name, ...(unit.uid !== null && { user: String(unit.uid) }) };
  try {
    return resolveScope(lib, names).id === id ? names : { cgroup: name };
  } catch (error) {
    if (error instanceof TcpxError) return { cgroup: name };
    throw error;
  }
}

/** Those of extensions that this host has. Of the others nobody can say how they are set. */
function withoutForeign(rules: Rule[], io: Io): Rule[] {
  const names = new Set(extensions.map(({ name }) => name));
  const foreign = rules.filter(({ ext }) => !names.has(ext));
  for (const ext of new Set(foreign.map((rule) => rule.ext))) {
    const count = foreign.filter((rule) => rule.ext === ext).length;
    const what = `${count} rule(s) of ${ext}, which this host does not have any more, are left out`;
    io.messages.warn(`${what}; see \`tcpx ext list\``);
  }
  return foreign.length === 0 ? rules : rules.filter(({ ext }) => names.has(ext));
}

/** What of a scope's rules a file can say; the rest is told. */
function printed(lib: Bridge, state: ScopeState, own: Netns | null, io: Io): PrintedScope[] {
  const { name, alive, waiting, damaged, rules } = state;
  if (damaged) throw damagedError(name);
  if (!alive && !waiting) {
    io.messages.warn(`cgroup ${name} is gone: its ${rules.length} rule(s) are left out`);
    return [];
  }
  if (!state.visible) {
    const what = `cgroup ${name} is not visible from here: its ${rules.length} rule(s) are left out`;
    io.messages.warn(`${what}, and \`apply\` leaves them alone`);
    return [];
  }
  if (isTemporary(name)) {
    io.messages.info(`cgroup ${name} is there for one command: its ${rules.length} rule(s) are left out`);
    return [];
  }
  const sayable = withoutForeign(rules, io);
  // those of a container's root, seen from its host, are for a namespace in a scope that is not the root
  const here = sayable.filter(
    ({ netns }) => netns === null || (name === "/" && netns.cookie === own?.cookie),
  );
  const others = sayable.length - here.length;
  if (others > 0) {
    io.messages.warn(
      `${others} rule(s) of ${name === "/" ? "other network namespaces" : `a network namespace in cgroup ${name}`} are left out, and \`apply\` leaves them alone`,
    );
  }
  return here.length === 0 ? [] : [{ names: namesOf(lib, state), rules: here }];
}

/** What of a program a file can say. */
function printedProgram({ name, about, isInForce, isWaiting }: LoadedProgram, io: Io): PrintedProgram[] {
  if (about && (isInForce || isWaiting))
    return [{ name, file: about.file, sha256: about.sha256, set: about.set }];
  io.messages.warn(`program ${name} is not in force, or nobody knows its file: it is left out`);
  return [];
}

/** Programs of others, put to the scopes that they are in. */
function withPrograms(lib: Bridge, scopes: Map<bigint, PrintedScope>, io: Io): PrintedProgram[] {
  const congestion: PrintedProgram[] = [];
  for (const program of readPrograms(lib)) {
    const { where, cgroup } = program;
    if (isLeft(program) || (where !== undefined && (cgroup === undefined || isTemporary(cgroup)))) continue;
    const printed = printedProgram(program, io);
    if (where === undefined) {
      congestion.push(...printed);
      continue;
    }
    const service = program.isWaiting ? serviceOf(cgroup!) : undefined;
    const names = service === undefined ? namesOf(lib, { name: cgroup!, id: where }) : { unit: service };
    const held = scopes.get(where) ?? { names, rules: [] };
    scopes.set(where, { ...held, programs: [...(held.programs ?? []), ...printed] });
  }
  return congestion;
}

async function run(args: Args, io: Io): Promise<ExitCode> {
  if (flagArg(args, "schema")) {
    const { policySchema, schemaText } = await import("../policy-file/schema.ts");
    io.json({ policy_schema: policySchema() });
    await io.parts(io.flags.json ? [] : [schemaText()]);
    return Exit.DONE;
  }
  const host = await openHost({}, "read");
  const own = host.netns();
  const found = host
    .states()
    .flatMap((state) => printed(host.lib, state, own, io).map((one) => [state.id, one] as const));
  const scopes = new Map<bigint, PrintedScope>(found);
  const congestion = withPrograms(host.lib, scopes, io);
  const facts = { tickUs: unwrap("tick", host.lib.tcpx_jiffy_us()) };
  const texts = printPolicy([...scopes.values()], facts, host.site(), congestion);
  if (io.flags.json) io.json({ policy: [...texts].join("") });
  else await io.parts(texts);
  return Exit.DONE;
}

export const exportCommand = leaf({
  summary: "Print the rules in force as a policy file, always in the same way; applying it changes nothing.",
  args: {
    schema: { type: "boolean", description: "Print the JSON schema of policy files instead" },
    ...globalArgs,
  },
  examples: [
    ["tcpx export > policy.toml", "Keep what is in force"],
    ["tcpx export | diff policy.toml -", "What has changed since"],
    ["tcpx export --schema > policy.schema.json", "For editors, and to check a policy without tcpx"],
  ],
  notes: [
    "Left out are rules of cgroups that are gone or not visible from here, of `tcpx run`, and those of the root " +
      "scope that are for other network namespaces than the caller's.",
  ],
  run,
});
