// SPDX-License-Identifier: MIT
// Whole programs of others, as a policy file wants them. They are read and verified before anything changes;
// congestion controls come before the rules that name them, and go after these.

import { Exit, TcpxError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { lock } from "../loader/store.ts";
import type { Prepared } from "../programs/prepared.ts";
import { plannedLine, unloadedJson, unloadedLine, wantedJson } from "../programs/report.ts";
import { isLeft, type LoadedProgram, readPrograms } from "../programs/state.ts";
import { install, sweep, tidy, uninstall } from "../programs/store.ts";
import {
  type PlannedProgram,
  type ProgramWish,
  planProgram,
  prepareWanted,
  readWanted,
  type WantedProgram,
} from "../programs/wanted.ts";
import { expectAlgorithms } from "../system/algorithms.ts";
import type { Scope } from "../system/host.ts";
import type { Patience } from "../system/lock.ts";

/** A program of a file. */
export interface ProgramTarget {
  wish: ProgramWish;
  /** Undefined: the file means a congestion control. */
  scope: Scope | undefined;
  /** Where it stands in the file. */
  placed(error: TcpxError): TcpxError;
}

type Verified = PlannedProgram & { prepared: Prepared | undefined };

const keyOf = ({ name, scope, object }: WantedProgram) => `${object.kind} ${scope?.id ?? ""} ${name}`;

function wrongKind({ object }: WantedProgram, isControl: boolean): TcpxError | undefined {
  if ((object.ops !== undefined) === isControl) return undefined;
  const [is, where] = isControl
    ? ["a sock_ops program", "[[scope.program]]"]
    : ["a congestion control", "[[congestion]]"];
  return new TcpxError(Exit.USAGE, `${object.file} is ${is}`, {
    value: object.file,
    hint: `it belongs into ${where}`,
  });
}

async function verified(
  lib: Bridge,
  { wish, scope }: ProgramTarget,
  present: readonly LoadedProgram[],
): Promise<Verified> {
  const wanted = readWanted(lib, wish, scope);
  const wrong = wrongKind(wanted, scope === undefined);
  if (wrong) throw wrong;
  const plan = planProgram(wanted, present);
  return { ...plan, prepared: plan.isChange ? await prepareWanted(lib, wanted) : undefined };
}

/** Passes on what nobody is told of. */
const missing = (missed: ((error: TcpxError) => void) | undefined) => (error: unknown) => {
  if (!missed || !(error instanceof TcpxError)) throw error;
  missed(error);
};

export class ProgramsPlan implements Disposable {
  private readonly loads: Verified[] = [];
  private unloads: LoadedProgram[] = [];
  /** Names of congestion controls whose connections keep them. */
  readonly held: string[] = [];

  private constructor(private readonly lib: Bridge) {}

  /**
   * @param isOurs may a program that the file does not name be taken away?
   * @param missed is told of one that cannot be loaded, which is left out then; without it, that is thrown
   * @throws TcpxError with file, line and key
   */
  static async of(
    lib: Bridge,
    targets: readonly ProgramTarget[],
    isOurs: (program: LoadedProgram) => boolean,
    missed?: (error: TcpxError) => void,
  ): Promise<ProgramsPlan> {
    const plan = new ProgramsPlan(lib);
    const present = readPrograms(lib);
    try {
      for (const target of targets) await plan.add(target, present).catch(missing(missed));
    } catch (error) {
      plan[Symbol.dispose]();
      throw error;
    }
    const kept = new Set(plan.loads.flatMap((load) => load.present?.home ?? []));
    plan.unloads = present.filter((one) => !kept.has(one.home) && !isLeft(one) && isOurs(one));
    return plan;
  }

  private async add(target: ProgramTarget, present: readonly LoadedProgram[]): Promise<void> {
    try {
      const load = await verified(this.lib, target, present);
      const key = keyOf(load.wanted);
      const isTwice = this.loads.some(({ wanted }) => keyOf(wanted) === key);
      this.loads.push(load);
      if (isTwice)
        throw new TcpxError(Exit.USAGE, `'${load.wanted.name}' stands there twice`, {
          hint: "give it another name",
        });
    } catch (error) {
      throw error instanceof TcpxError ? target.placed(error) : error;
    }
  }

  get changes(): boolean {
    return this.unloads.length > 0 || this.loads.some(({ isChange }) => isChange);
  }

  /** Names of congestion controls that go. */
  get goingAlgorithms(): string[] {
    return this.unloads.filter(({ kind }) => kind === "congestion").map(({ name }) => name);
  }

  /** Before the rules. */
  async loadControls(dryRun: boolean, patience: Patience): Promise<void> {
    const controls = this.loads.filter(({ wanted }) => wanted.object.ops);
    if (dryRun) expectAlgorithms(controls.map(({ wanted }) => wanted.name));
    else await this.install(controls, patience);
  }

  private async install(loads: readonly Verified[], patience: Patience): Promise<void> {
    if (!loads.some(({ prepared }) => prepared)) return;
    using held = await lock(this.lib, patience);
    await tidy(this.lib, held);
    for (const { wanted, prepared } of loads) {
      if (!prepared) continue;
      const { name, scope, object, sha256, set } = wanted;
      const { present } = planProgram(wanted, readPrograms(this.lib, held.bpffs));
      const number = present?.about?.number ?? null;
      install(this.lib, held, name, scope, prepared, { file: object.file, sha256, set, number });
    }
  }

  /** After the rules. */
  async finish(patience: Patience): Promise<void> {
    await this.install(
      this.loads.filter(({ wanted }) => !wanted.object.ops),
      patience,
    );
    if (this.unloads.length === 0) return;
    using held = await lock(this.lib, patience);
    for (const program of this.unloads) if (await uninstall(this.lib, program)) this.held.push(program.name);
    await tidy(this.lib, held);
    sweep(held.bpffs);
  }

  json(): Record<string, unknown> {
    return {
      loaded_programs: this.loads.filter(({ isChange }) => isChange).map(({ wanted }) => wantedJson(wanted)),
      unloaded_programs: this.unloads.map(unloadedJson),
    };
  }

  lines(): string[] {
    const loads = this.loads.filter(({ isChange }) => isChange).map(plannedLine);
    const held = this.held.map((name) => `connections that use ${name} keep it until they close`);
    return [...loads, ...this.unloads.map(unloadedLine), ...held];
  }

  [Symbol.dispose](): void {
    for (const { prepared } of this.loads) prepared?.[Symbol.dispose]();
  }
}
