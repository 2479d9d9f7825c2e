// SPDX-License-Identifier: MIT
// `ext test`, as it goes on the host of its own: everything that is told of it.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Exit, type ExitCode } from "../base/errors.ts";
import type { Extension } from "../extensions/types.ts";
import { endless } from "../flags/patience.ts";
import { extensionFrom } from "../manifest/extension.ts";
import { readElf } from "../objects/elf.ts";
import type { Io } from "../output/io.ts";
import { Progress } from "../output/progress.ts";
import { type Candidate, examine } from "../packages/candidate.ts";
import { provide, tryLoading } from "../packages/trial.ts";
import { doubtsOf, type Means } from "./doubts.ts";
import { flagsOf } from "./flags.ts";
import { goOn, watchEvents } from "./hold.ts";
import { ENDS, type End } from "./network.ts";
import { linesOf, rulesFor } from "./rules.ts";
import { runScript, type ScriptResult } from "./script.ts";
import {
  type ConnectionSeen,
  type Counted,
  countedLines,
  nameOf,
  optionTable,
  seenLines,
  socketTable,
} from "./seen.ts";
import { converse, countedOf, type Here, look, setRules, transfer } from "./trial.ts";
import { loadProgram } from "./whole.ts";

/** The number that it has there: nobody else has one. */
const ID = 8;

/** What a private host is told. */
export interface Wish {
  /** Of the extension, or of the program's object. */
  name: string;
  /** Where its folder really is. */
  folder: string;
  program: boolean;
  /** There are connections and events until it is told to end. */
  goOn: boolean;
}

/** What a trial gives for a document. */
export interface Result {
  ok: boolean;
  rules: Partial<Record<End, string>>;
  connections: ConnectionSeen[];
  counted: Counted | null;
  doubts: string[];
  script: ScriptResult | null;
}

interface Stand {
  io: Io;
  stage: Here;
  wish: Wish;
  /** A folder of ours. */
  work: string;
}

async function addedHere({
  work,
  wish,
  stage,
}: Stand): Promise<{ candidate: Candidate; extension: Extension }> {
  const file = `${wish.name}.tcpx`;
  const candidate = await examine(new Uint8Array(readFileSync(join(work, file))), file);
  provide(candidate, ID, () => undefined);
  await tryLoading(stage.lib, candidate, ID);
  return { candidate, extension: extensionFrom(candidate.manifest, ID) };
}

/** What it has for an option of its own. */
function meansOf({ hooks, manifest, package: { object } }: Candidate): Means {
  const { symbols } = readElf(object);
  return {
    asks: manifest.verbs.some(({ kind }) => kind === "ask"),
    says: hooks.some((name) => name.startsWith("say")),
    speaks: symbols.some(({ name, section }) => section === 0 && name === "tcpx1_speak"),
  };
}

/** Tells what came of the folder's own test. */
function scriptText(script: ScriptResult | null): string {
  if (!script) return "test.sh: there is none";
  const time = `${script.took_s.toFixed(1)} s`;
  if (script.timed_out) return `test.sh: ended after ${time}, as it went on and on`;
  return script.exit_code === 0
    ? `test.sh: ok (${time})`
    : `test.sh: failed with ${script.exit_code} (${time})`;
}

async function script(
  { io, stage, wish, work }: Stand,
  seen: readonly string[],
): Promise<ScriptResult | null> {
  const quiet = io.flags.json || io.flags.quiet;
  const found = await runScript(wish.folder, work, stage.sandbox, seen, quiet, stage.signal);
  stage.check();
  return found ?? null;
}

async function tryExtension(stand: Stand, progress: Progress): Promise<Result> {
  const { io, stage, wish } = stand;
  progress.step(() => "the verifier looks at it ...");
  const { candidate, extension } = await addedHere(stand);
  const rules = linesOf(candidate.manifest);
  if (Object.keys(rules).length === 0)
    io.messages.warn("there is no rule to try: [test] of extension.toml has them, or examples of its verbs");
  for (const end of ENDS) {
    const line = rules[end];
    if (line === undefined) continue;
    await setRules(stage, end, rulesFor(extension, line), endless(io, stage.signal));
    io.print(`${end}$ tcpx ${extension.name} ${line}`);
  }
  const capture = await stage.start("capture", "client", "listening", "eth0");
  if (wish.goOn) await watchEvents(flagsOf(io), stage.signal);
  const connections = look(stage.lib, await converse(stage), capture);
  const counted = countedOf(stage, extension);
  const wire = optionTable(connections, extension.options ?? []);
  io.print(wire === "" ? "\nNo option on the wire but those of Linux" : `\n${wire}`);
  io.print(`\n${socketTable(connections)}\n`);
  for (const line of countedLines(counted, `${wish.name}.bpf.c`)) io.print(line);
  const doubts = doubtsOf(candidate.manifest.option, meansOf(candidate), connections, counted);
  for (const doubt of doubts) io.messages.warn(doubt);
  const tested = await script(stand, seenLines(connections, counted));
  return {
    ok: (tested?.exit_code ?? 0) === 0,
    rules: Object.fromEntries(
      Object.entries(rules).map(([end, line]) => [end, `tcpx ${extension.name} ${line}`]),
    ),
    connections,
    counted,
    doubts,
    script: tested,
  };
}

async function tryProgram(stand: Stand): Promise<Result> {
  const { io, stage, work, wish } = stand;
  const { name, kind } = await loadProgram(join(work, `${wish.name}.bpf.o`));
  const isControl = kind === "congestion";
  io.print(`tcpx ext load ${wish.name}.bpf.o: ${isControl ? "congestion control" : "program"} ${name}`);
  const capture = await stage.start("capture", "client", "listening", "eth0");
  const pairs = await (isControl ? transfer(stage, name) : converse(stage));
  const connections = look(stage.lib, pairs, capture);
  const wire = optionTable(connections, []);
  if (wire !== "") io.print(`\n${wire}`);
  io.print(`\n${socketTable(connections)}\n`);
  const tested = await script(stand, seenLines(connections, undefined));
  return {
    ok: (tested?.exit_code ?? 0) === 0,
    rules: {},
    connections,
    counted: null,
    doubts: [],
    script: tested,
  };
}

function documentOf({ wish }: Stand, { ok, rules, connections, counted, doubts, script }: Result) {
  return {
    ok,
    name: wish.name,
    ends: ENDS.map((end) => {
      const { counters, error } = counted?.[end] ?? { counters: {}, error: null };
      return {
        ...{ end, command: rules[end] ?? null, counters },
        refused_line: error?.line ?? null,
        errno: error && nameOf(error.code),
      };
    }),
    tried: connections.map(({ family, ...seen }) => ({ family: family === "v4" ? 4 : 6, ...seen })),
    doubts,
    test: script,
  };
}

/** Tries what the private host was made for, and tells all of it. */
export async function perform(stand: Stand): Promise<ExitCode> {
  const { io, stage, wish } = stand;
  using progress = new Progress(io);
  progress.step(() => "two hosts are made ...");
  await stage.sandbox.create();
  stage.check();
  const result = await (wish.program ? tryProgram(stand) : tryExtension(stand, progress));
  progress.clear();
  io.json(documentOf(stand, result));
  io.print(scriptText(result.script));
  if (!result.ok) io.messages.error(`${wish.name}: its test failed`);
  if (wish.goOn) {
    io.messages.info("connections go on; save a file to try it again, Ctrl-C ends");
    progress.clear();
    await goOn(
      stage,
      result.connections.map(({ family }) => family),
    );
  }
  return result.ok ? Exit.DONE : Exit.FAILED;
}
