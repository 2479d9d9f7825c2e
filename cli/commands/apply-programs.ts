// SPDX-License-Identifier: MIT
// The whole programs of others that a policy file names, and those that it does not.

import { type Args, flagArg } from "../base/args.ts";
import { Exit, TcpxError, usageError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { ProgramsPlan, type ProgramTarget } from "../change/programs.ts";
import { slotsOf } from "../extensions/index.ts";
import { isTemporary } from "../loader/run-scopes.ts";
import type { Io } from "../output/io.ts";
import type { RuleMap } from "../policy/change.ts";
import type { Policy } from "../policy-file/parse.ts";
import type { ProgramEntry } from "../policy-file/programs.ts";
import type { PlacedScope } from "../policy-file/resolve.ts";
import type { LoadedProgram } from "../programs/state.ts";
import type { Scope } from "../system/host.ts";
import { problemAt } from "../toml/problem.ts";
import { type Site, siteAlgorithms } from "../wire/site.ts";

/** The programs of a file, at their places. */
export function programTargets(policy: Policy, placed: readonly PlacedScope[]): ProgramTarget[] {
  const target = ({ wish, path }: ProgramEntry, scope?: Scope): ProgramTarget => ({
    ...{ wish, scope },
    placed: (error) => problemAt(policy.source, path, error),
  });
  return [
    ...policy.congestion.map((entry) => target(entry)),
    ...placed.flatMap(({ wanted, scope }) => wanted.programs.map((entry) => target(entry, scope))),
  ];
}

/**
 * What the file does not name goes, where a rule that does not name it would. While the system starts, a program that
 * cannot be loaded stops nothing.
 */
export function planPrograms(
  lib: Bridge,
  programs: readonly ProgramTarget[],
  args: Args,
  io: Io,
  missed: string[],
): Promise<ProgramsPlan> {
  const isOurs = ({ kind, cgroup }: LoadedProgram) =>
    !flagArg(args, "keep") && (kind === "congestion" || (cgroup !== undefined && !isTemporary(cgroup)));
  const tell = ({ message }: TcpxError) => {
    io.messages.warn(`${message}: the program is left out`);
    missed.push(message);
  };
  return ProgramsPlan.of(lib, programs, isOurs, flagArg(args, "prepare-units") ? tell : undefined);
}

/** A rule may need what was left out: then that is why. @throws the same error, with what was missed */
export function becauseOf(missed: readonly string[]): (error: unknown) => never {
  return (error) => {
    if (missed.length === 0 || !(error instanceof TcpxError) || error.code !== Exit.UNSUPPORTED) throw error;
    const hint = `left out was ${missed.join("; ")}`;
    throw new TcpxError(error.code, error.message, {
      ...(error.value !== undefined && { value: error.value }),
      ...{ cause: error, hint: error.hint === undefined ? hint : `${hint}; ${error.hint}` },
    });
  };
}

/** @throws TcpxError (usage): a rule of the file names a congestion control that would go */
export function requireControls(
  plan: ProgramsPlan,
  { scopes, site }: { scopes: readonly { rules: RuleMap }[]; site: Site },
): void {
  for (const name of plan.goingAlgorithms) {
    if (!siteAlgorithms(site).some((algorithm) => algorithm.name === name)) continue;
    const slot = site.algorithms.findIndex((algorithm) => algorithm?.name === name);
    const isNamed = scopes.some(({ rules }) =>
      [...rules.values()].some((rule) => slotsOf(rule).includes(slot)),
    );
    if (!isNamed) continue;
    const hint = "add it as [[congestion]], or leave the rules out";
    throw usageError(`rules of the file need congestion control ${name}, which is not in it`, name, hint);
  }
}
