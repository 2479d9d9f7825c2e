// SPDX-License-Identifier: MIT

import { type Args, changeArgs, flagArg, globalArgs, textArg } from "../base/args.ts";
import { counted } from "../base/count.ts";
import { Exit, type ExitCode, TcpxError } from "../base/errors.ts";
import { extensions, removeExtension } from "../extensions/index.ts";
import { type Host, openHost } from "../flags/host-access.ts";
import { patienceOf } from "../flags/patience.ts";
import { collisionOf } from "../manifest/collision.ts";
import type { Io } from "../output/io.ts";
import { type Candidate, examine, sumOf } from "../packages/candidate.ts";
import { type Entry, entryJson, entryOf } from "../packages/entry.ts";
import { pathOf, requireOwnFolder } from "../packages/folder.ts";
import { type Held, heldHere, rulesOf } from "../packages/here.ts";
import { registerMissing } from "../packages/installed.ts";
import { KEYS } from "../packages/minisign.ts";
import { ChangedMeanwhile, objectsOf, type Place, placeFor, scopesWith, settle } from "../packages/place.ts";
import { isOlder, successionProblem } from "../packages/successor.ts";
import { provide, slotObject, tryLoading } from "../packages/trial.ts";
import type { Patience } from "../system/lock.ts";
import { given } from "./ext-source.ts";
import { hooksText, sha256Args, signatureText } from "./ext-verify.ts";
import { commands } from "./index.ts";
import { leaf } from "./types.ts";

/** So often others may be faster: as many extensions as a host has. */
const MOST_TRIES = 9;

/** What is to be done, and what it is about. */
interface Plan {
  candidate: Candidate;
  place: Place;
  held: Held[];
  /** Of the version before, which go on. */
  rules: number;
  /** Scopes that are loaded anew. */
  scopes: number;
}

function refuse({ where, manifest }: Candidate, what: string, hint: string): never {
  throw new TcpxError(Exit.FAILED, `${where}: ${what}`, { value: manifest.name, hint });
}

/** @throws TcpxError (failed) when this host cannot have it beside what it has */
function requireRoom(candidate: Candidate, { before }: Place, host: Host): void {
  const { manifest } = candidate;
  const others = extensions.filter(({ id }) => id !== before?.id);
  const site = host.site();
  const collision = collisionOf(manifest, { commands: Object.keys(commands), extensions: others, site });
  if (collision !== undefined) refuse(candidate, collision, "see `tcpx ext list`; nothing was changed");
}

/** A signature of long ago is as good as one of today. @throws TcpxError (failed) */
function requireNewer(candidate: Candidate, { before }: Place): void {
  const [old, { version }] = [versionOf(before), candidate.manifest];
  if (old === undefined || !isOlder(version, old)) return;
  const hint = "--allow-older takes it nevertheless; nothing was changed";
  refuse(candidate, `it is version ${version}, which is older than ${old}, that is here`, hint);
}

/** Looks at all that can be wrong, and loads it once; nothing is changed. */
async function planned(candidate: Candidate, host: Host, allowsOlder: boolean): Promise<Plan> {
  const { lib } = host;
  requireOwnFolder();
  const held = await heldHere();
  registerMissing(Object.keys(commands), held);
  const states = host.states();
  const place = placeFor(candidate, held, states);
  const { id, before } = place;
  const rules = before ? rulesOf(states, before) : [];
  const plan = { candidate, place, held, rules: rules.length, scopes: scopesWith(states, id).length };
  if (isThere(plan)) return plan;
  if (!allowsOlder) requireNewer(candidate, place);
  requireRoom(candidate, place, host);
  const problem = successionProblem(before?.candidate?.manifest, candidate.manifest, rules);
  if (problem !== undefined) {
    const hint = `\`tcpx ext remove ${before!.name}\` takes them back; then add it`;
    refuse(
      candidate,
      `${counted(rules.length, "rule")} of the present version cannot go on: ${problem}`,
      hint,
    );
  }
  provide(candidate, id, objectsOf(held));
  await tryLoading(lib, candidate, id);
  if (candidate.manifest.verbs.some(({ live }) => live)) await tryOnConnections(candidate, id, host);
  return plan;
}

/** The programs of --live, where this kernel has them at all. */
async function tryOnConnections(candidate: Candidate, id: number, { lib }: Host): Promise<void> {
  const { requireSlot, tryLive } = await import("../live/probe.ts");
  try {
    await requireSlot(lib, slotObject(candidate, id), false);
  } catch (error) {
    if (!(await tryLive(lib, "list", "change"))) throw error; // it takes ours
  }
}

const isThere = ({ candidate, place: { before } }: Plan): boolean =>
  before?.candidate?.sha256 === candidate.sha256;

const versionOf = (held: Held | undefined) => held?.candidate?.manifest.version;

function* lines(plan: Plan, entry: Entry, dryRun: boolean): Generator<string> {
  const { candidate, place, rules, scopes } = plan;
  const { before } = place;
  const title = `${entry.name} ${entry.version}`;
  if (isThere(plan)) return yield `${title} is already there`;
  const did = (past: string, would: string) => (dryRun ? `would ${would}` : past);
  const old = versionOf(before);
  const what = before ? `${title} in the place of ${old ?? "one that is damaged"}` : title;
  yield `${did("added", "add")} ${what}, extension ${place.id}; ${signatureText(candidate)}`;
  yield hooksText(entry);
  if (scopes > 0)
    yield `${did("loaded", "load")} ${counted(scopes, "scope")} anew, with ${counted(rules, "rule")}`;
  if (dryRun) yield "nothing was changed (--dry-run); this kernel has loaded it once";
  else yield `see \`tcpx ${entry.name} --help\``;
}

/** What may not be what its user wants, and is no error. */
function tellDoubts({ candidate: { unknownKey, where } }: Plan, io: Io): void {
  if (unknownKey !== null)
    io.messages.warn(
      `${where} is signed by key ${unknownKey}, which is not below ${KEYS}: nobody has checked it`,
    );
}

function report(plan: Plan, dryRun: boolean, io: Io): void {
  const { candidate, place, rules, scopes } = plan;
  const entry = entryOf(candidate, place.id, rules);
  const there = isThere(plan);
  io.json({
    command: "ext add",
    changed: !there,
    dry_run: dryRun,
    package: entryJson(entry),
    file: pathOf(place.id, entry.name),
    version_before: versionOf(place.before) ?? null,
    scopes_reloaded: there ? 0 : scopes,
  });
  for (const line of lines(plan, entry, dryRun)) io.print(line);
}

async function run(args: Args, io: Io): Promise<ExitCode> {
  const what = textArg(args, "what")!;
  const sha256 = sumOf(textArg(args, "sha256"));
  const [dryRun, patience] = [flagArg(args, "dry-run"), patienceOf(args, io)];
  const host = await openHost();
  host.lib.tcpx_log_level(io.flags.verbose ? 2 : 0);
  const { bytes, isForeign } = await given(what, sha256 !== undefined, io);
  const candidate = await examine(bytes, what, { sha256, isForeign });
  const again = () => planned(candidate, host, flagArg(args, "allow-older"));
  let plan = await again();
  tellDoubts(plan, io);
  if (!dryRun) plan = await done(plan, host, patience, again);
  report(plan, dryRun, io);
  return Exit.DONE;
}

/** Does it; where another command was faster, what is left to be done then. */
async function done(plan: Plan, host: Host, patience: Patience, again: () => Promise<Plan>): Promise<Plan> {
  for (let tries = 1; !isThere(plan); tries += 1) {
    const { candidate, place, held } = plan;
    try {
      const scopes = await settle(host.lib, candidate, place, held, patience);
      return { ...plan, scopes };
    } catch (error) {
      if (!(error instanceof ChangedMeanwhile) || patience.ms === 0 || tries === MOST_TRIES) throw error;
      if (!place.before) removeExtension(place.id);
      plan = await again();
    }
  }
  return plan;
}

export const extAdd = leaf({
  summary: "Add an extension to this host: from a package, from its folder, or from elsewhere.",
  args: {
    what: {
      type: "positional",
      valueHint: "FILE|DIR|URL",
      description: "A package, a folder, or where one is",
    },
    ...sha256Args,
    "allow-older": {
      type: "boolean",
      description: "Take a version that is older than the one that is here",
    },
    ...changeArgs,
    ...globalArgs,
  },
  examples: [
    ["tcpx ext add tag.tcpx", "It is a command from now on: tcpx tag --help"],
    ["tcpx ext add ./tag", "The same from its folder, which is built first"],
    ["tcpx ext add tag.tcpx --dry-run", "Would this kernel and this host take it?"],
    ["tcpx ext add https://example.org/tag.tcpx --sha256 $SUM", "From elsewhere: that file, and no other"],
  ],
  notes: [
    "The file or folder, and all folders above it, are root's own, and neither links nor writable by others (but for " +
      "those with the sticky bit, as /tmp).",
    `From elsewhere with --sha256, or signed by a key below ${KEYS}, and never otherwise: https://, with --sha256 http://, ` +
      "too. At most 4 MiB in 30 s, through 5 redirects.",
    "An older version than the one that is here is refused, wherever it is from and whoever has signed it: with " +
      "--allow-older it is taken.",
    "It is looked at, linked and loaded once before anything changes: a refusal leaves all as it was. The same one " +
      "again is no error. Another version takes the place of the one before: scopes with its rules are loaded with it, each " +
      "in one step, and a command that was killed is finished by the same command. Rules that the new version would " +
      "read otherwise are a refusal.",
  ],
  run,
});
