// SPDX-License-Identifier: MIT
// The rules of a scope as the kernel holds them: reading, replacing and removing them.

import { closeSync } from "node:fs";
import { dirname, join } from "node:path";
import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, Errno, isErrno } from "../bridge/bridge.ts";
import {
  attachedTo,
  Fd,
  linkInfo,
  listPins,
  openPin,
  pin,
  progInfo,
  SOCK_OPS,
  valueSize,
} from "../bridge/maps.ts";
import { isOnSyn } from "../extensions/index.ts";
import { type StructName, sizeOf } from "../layout/struct.ts";
import type { Rule } from "../policy/rule.ts";
import {
  ensureBpffs,
  findBpffs,
  ownDirectory,
  requireOwn,
  type Scope,
  unmountOwnBpffs,
} from "../system/host.ts";
import { type Patience, tryFlock, waitForLock } from "../system/lock.ts";
import { anyHooks, doesNotRun, serviceOf, servicesOf, syncHooks } from "../system/unit-hook.ts";
import { attachError } from "./attach-error.ts";
import { inCgroup, openCgroup } from "./cgroup-open.ts";
import { isOurs, type Recorded, recordOf } from "./cgroup-place.ts";
import { type Generation, loadGeneration, type SharedMaps } from "./generation.ts";
import { unaware, usesAround } from "./nested.ts";
import * as pins from "./pins.ts";
import { usesOf } from "./profiles.ts";
import { programServices } from "./program-services.ts";
import { attachReset, hasResetLink } from "./reset-link.ts";
import { readSite } from "./site-map.ts";
import { slotMap, slotsIn } from "./slots.ts";
import { SockLinks, settleLinks } from "./sock-links.ts";
import { readHead, readHeads, readScope, type ScopeHead, scopeOf } from "./state.ts";

/** Holds the lock that changes are made under. */
export class Lock implements Disposable {
  private gone = false;
  /** Rules of a service were changed. */
  concernsUnits = anyHooks();

  constructor(
    readonly bpffs: string,
    private readonly lib: Bridge,
    private readonly fd: Fd,
  ) {}

  /**
   * Detaches all scopes and removes every pin of ours, of whatever layout; the lock goes with them.
   * @returns what could not be removed, and why
   */
  removeEverything(): string[] {
    this.gone = true;
    return pins.removeEverything(this.lib, this.bpffs);
  }

  /** Those whose next cgroup is to get something. */
  private services(): string[] {
    return [...new Set([...servicesOf(readHeads(this.lib)), ...programServices(this.bpffs)])];
  }

  [Symbol.dispose](): void {
    try {
      if (!this.gone) pins.prune(this.bpffs); // else it may be somebody else's directory by now
      if (this.concernsUnits) syncHooks(this.gone ? [] : this.services());
    } finally {
      this.fd[Symbol.dispose]();
      // who leaves nothing takes the mount back, whichever tcpx has made it
      if (listPins(pins.topDir(this.bpffs)).length === 0) unmountOwnBpffs(this.lib);
    }
  }
}

/** Makes our directory unless it is there, and mounts bpffs. */
async function ensureTop(lib: Bridge, patience: Patience): Promise<string> {
  for (;;) {
    const bpffs = await ensureBpffs(lib, patience);
    try {
      ownDirectory(pins.topDir(bpffs));
      return bpffs;
    } catch (error) {
      if (findBpffs(lib) === bpffs) throw error; // else: another one has just taken its mount back
    }
  }
}

/**
 * Takes the lock, mounting bpffs when it is not.
 * @throws TcpxError (busy) when another tcpx does not finish within the patience
 */
export async function lock(lib: Bridge, patience: Patience): Promise<Lock> {
  let bpffs = await ensureTop(lib, patience);
  const topDir = () => pins.topDir(bpffs);
  return waitForLock({ dir: topDir, doing: "changing rules" }, patience, async () => {
    for (;;) {
      try {
        const dir = topDir();
        requireOwn(dir);
        const fd = tryFlock(lib, dir);
        return fd && new Lock(bpffs, lib, fd);
      } catch (error) {
        // else: another one has just removed the last rule, and perhaps the mount with it
        if (!isErrno(error, "ENOENT")) throw error;
        bpffs = await ensureTop(lib, patience);
      }
    }
  });
}

function attach(lib: Bridge, scope: Scope, dir: string, generation: Generation, older?: string): void {
  if (pins.updateLink(lib, "link", generation.program, dir, older)) return;
  inCgroup(scope, (cgroup, path) => {
    const result = lib.tcpx_link_create(generation.program, cgroup, SOCK_OPS);
    if (result < 0) throw attachError(lib, { ...scope, path }, new Errno("attach", -result));
    using created = new Fd(lib, result);
    pin(lib, created.fd, join(dir, "link"));
  });
}

function pinOnce(lib: Bridge, generation: Generation, map: string, dir: string): void {
  if (!listPins(dir).includes(map)) pin(lib, generation.map(map), join(dir, map));
}

/** Values of the shared maps that are structs of ours. */
const STRUCTS: Partial<Record<(typeof pins.SHARED)[number], StructName>> = {
  conns: "tcpx_conn",
  handover: "tcpx_handover",
  watch: "tcpx_watch",
  paths: "tcpx_path",
};

/**
 * A map that generations share; one of another shape would make the verifier refuse us.
 * @param older where an older layout has it: it goes on, unless its values are others
 */
function openShared(lib: Bridge, path: string, value?: StructName, older?: string): Fd | undefined {
  const own = openPin(lib, path);
  const map = own ?? (older === undefined ? undefined : openPin(lib, older));
  if (!map || !value || valueSize(lib, map.fd) === sizeOf(value)) return map;
  map[Symbol.dispose]();
  if (!own) return undefined;
  throw new TcpxError(Exit.FAILED, `${path} was pinned by another build of tcpx`, {
    value: path,
    hint: "`tcpx reset` removes it with all rules",
  });
}

/** Do other sock_ops programs than tcpx's run on the scope's sockets? True where that cannot be seen. */
function foreignPrograms(lib: Bridge, bpffs: string, scope: Scope): boolean {
  if (scope.path === undefined) return true;
  const own = new Set<number>();
  for (const dir of pins.allScopeDirs(bpffs)) {
    using link = openPin(lib, join(dir, "link"));
    if (link) own.add(linkInfo(lib, link.fd).progId);
  }
  const cgroup = openCgroup(scope);
  try {
    return attachedTo(lib, cgroup, SOCK_OPS, true).ids.some((id) => !own.has(id));
  } finally {
    closeSync(cgroup);
  }
}

/** What the scope is called in its record. Of a service that another view looks after, only that view's name helps. */
function recordFor(scope: Scope, before: ScopeHead | undefined): Recorded {
  const isTheirs =
    before?.alive && !before.damaged && before.recorded.keeper !== 0n && !isOurs(before.recorded);
  return before && (isTheirs || scope.path === undefined) ? before.recorded : recordOf(scope.name);
}

/**
 * Makes these the scope's rules, in one step: a link created and pinned, or updated. A failure
 * or a kill on the way leaves the old state. Call it with the lock held.
 * @param older directory of the scope in an older layout, whose link is to be taken over
 */
export async function replaceRules(
  lib: Bridge,
  held: Lock,
  scope: Scope,
  rules: Rule[],
  older?: string,
): Promise<void> {
  const isAlone = pins
    .layouts(held.bpffs)
    .every((layout) => pins.scopeIds(held.bpffs, layout).every((id) => id === scope.id));
  const readOwn = () => [readHead(lib, scope.id)].filter((head) => head !== undefined);
  // rules that go need nobody around
  const heads = rules.length === 0 ? [] : isAlone ? readOwn() : readHeads(lib);
  const around = usesAround(scope, heads);
  // those within first: until they know an extension its rules have no effect on their connections
  for (const inner of unaware(scope, around | usesOf(rules), heads)) {
    await makeAware(lib, held, inner, around | usesOf(rules));
  }
  // connections that rules which go now have had keep what they have, and it is to be looked after
  const before = heads.find(({ id }) => id === scope.id);
  await replaceIn(lib, held, scope, rules, { before, around: around | (before?.uses ?? 0), older });
}

/** Loads the program of a scope within anew, so that it knows these extensions. */
async function makeAware(lib: Bridge, held: Lock, inner: ScopeHead, uses: number): Promise<void> {
  const state = readScope(lib, inner.id);
  if (!state) return;
  try {
    await replaceIn(lib, held, scopeOf(state), state.rules, { before: inner, around: inner.uses | uses });
  } catch (error) {
    if (isErrno(error, "ENOLINK") || !readHead(lib, inner.id)?.alive) return; // its cgroup has gone meanwhile
    if (!(error instanceof TcpxError)) throw error;
    throw new TcpxError(error.code, `cgroup ${state.name}: ${error.message}`, { value: state.name });
  }
}

interface Present {
  /** What is in force in the scope. */
  before: ScopeHead | undefined;
  /** Bits of extensions that its program has to know beside those of its rules. */
  around: number;
  /** As of replaceRules(). */
  older?: string | undefined;
}

async function replaceIn(
  lib: Bridge,
  held: Lock,
  scope: Scope,
  rules: Rule[],
  { before: present, around, older }: Present,
): Promise<void> {
  const { bpffs } = held;
  held.concernsUnits ||= serviceOf(scope.name) !== undefined;
  if (rules.length > 0 && scope.waiting) throw doesNotRun(scope.name);
  if (rules.length === 0) {
    pins.removeScope(lib, bpffs, scope.id);
    return;
  }
  const layout = pins.layoutDir(bpffs);
  const dir = pins.scopeDir(bpffs, scope.id);
  using stack = new DisposableStack();
  const shared: SharedMaps = {};
  const open = (path: string, value?: StructName, before?: string) =>
    stack.use(openShared(lib, path, value, before))?.fd;
  for (const map of pins.SHARED) {
    // facts about the network: who has learnt them does not matter
    const before = older !== undefined && map === "paths" ? join(dirname(older), map) : undefined;
    shared[map] = open(join(layout, map), STRUCTS[map], before);
  }
  for (const slot of slotsIn(around | usesOf(rules)))
    shared[slotMap(slot)] = open(join(layout, slotMap(slot)), "tcpx_slot_conn");
  shared.counters = open(join(dir, "counters"), "tcpx_counters", older && join(older, "counters"));
  const isOnAnySyn = rules.some(isOnSyn);
  const isHeld = hasResetLink(lib, dir);
  using generation = await loadGeneration(lib, {
    scope: { id: scope.id, recorded: recordFor(scope, present) },
    rules,
    site: readSite(lib, bpffs),
    shared,
    usesAround: around,
    foreign: foreignPrograms(lib, bpffs, scope),
    holdsResets: isOnAnySyn && !isHeld,
  });
  using socks = await SockLinks.load(lib, rules, generation);
  const { id } = progInfo(lib, generation.program);
  const generationDir = pins.generationDir(dir, id);
  try {
    pins.ensureDir(generationDir);
    for (const map of [...pins.SHARED, ...generation.slotMaps]) pinOnce(lib, generation, map, layout);
    pinOnce(lib, generation, "counters", dir);
    pin(lib, generation.map("rules"), join(generationDir, "rules"));
    pin(lib, generation.map(".rodata"), join(generationDir, "config"));
    socks.pin(generationDir);
    socks.attach(scope, dir, older);
    if (generation.resetProgram !== undefined) attachReset(lib, scope, generation.resetProgram, dir, older);
    attach(lib, scope, dir, generation, older);
  } catch (error) {
    socks.undo();
    pins.removeTree(generationDir);
    if (older && hasResetLink(lib, older)) pins.removePin(join(dir, pins.RESET_LINK));
    else if (!isHeld) pins.detachLink(lib, dir, pins.RESET_LINK);
    if (!listPins(dir).includes("link")) pins.removeTree(dir);
    throw error;
  }
  socks.settle();
  const names = listPins(dir);
  settleLinks(lib, dir, id, names);
  if (!isOnAnySyn) pins.detachLink(lib, dir, pins.RESET_LINK);
  pins.removeOldGenerations(dir, id, names);
}
