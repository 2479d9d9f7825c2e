// SPDX-License-Identifier: MIT
// The rules of a scope as the kernel holds them: reading, replacing and removing them.

import { closeSync, fstatSync, openSync } from "node:fs";
import { join } from "node:path";
import { Exit, TcpxError } from "../errors.ts";
import type { Rule } from "../policy/rule.ts";
import { anyHooks, doesNotRun, isHooked, serviceOf, servicesOf, syncHooks } from "../system/unit-hook.ts";
import { attachError } from "./attach-error.ts";
import { type Bridge, cstr, Errno, isErrno, unwrap } from "./bridge.ts";
import {
  cgroupExists,
  ensureBpffs,
  findBpffs,
  ownDirectory,
  requireOwn,
  type Scope,
  unmountOwnBpffs,
} from "./host.ts";
import {
  arrayValues,
  attachedTo,
  Fd,
  linkInfo,
  listPins,
  lookup,
  openPin,
  pin,
  progInfo,
  SOCK_OPS,
  valueSize,
} from "./maps.ts";
import { type Generation, loadGeneration, type SharedMaps } from "./object.ts";
import * as pins from "./pins.ts";
import { decodeRules } from "./records.ts";
import { decode, type StructName, sizeOf } from "./struct.ts";

/** What is in force in one scope. */
export interface ScopeState {
  id: bigint;
  /** Path below the cgroup2 mount. */
  name: string;
  /** False: the cgroup has been removed and the rules with it have no effect. */
  alive: boolean;
  /** It has been, and the service that it was of will get the rules with its next one. */
  waiting: boolean;
  /** Somebody removed pins by hand: attached, but nobody knows the rules any more. */
  damaged: boolean;
  linkId: number;
  progId: number;
  /** Version of the tcpx that put it there. */
  version: string;
  rules: Rule[];
}

const KEY_ZERO = new Uint8Array(4);

function readGeneration(lib: Bridge, dir: string, id: bigint): ScopeState | undefined {
  using link = openPin(lib, join(dir, "link"));
  if (!link) return undefined; // a killed first attach: nothing is in force
  const { linkId, progId, cgroupId } = linkInfo(lib, link.fd);
  const generation = pins.generationDir(dir, progId);
  using config = openPin(lib, join(generation, "config"));
  using rules = openPin(lib, join(generation, "rules"));
  if (!config || !rules) {
    const name = `id ${id}`;
    const alive = cgroupId !== 0n;
    return { id, name, alive, waiting: false, damaged: true, linkId, progId, version: "?", rules: [] };
  }
  const c = decode("tcpx_config", lookup(lib, config.fd, KEY_ZERO, sizeOf("tcpx_config")));
  const records = arrayValues(lib, rules.fd, c.rule_count, sizeOf("tcpx_rule_record"));
  // the link learns of the removal of its cgroup only after a while
  const alive = cgroupId !== 0n && cgroupExists(c.cgroup, id);
  const waiting = !alive && isHooked(c.cgroup);
  let decoded: Rule[] | undefined;
  return {
    ...{ id, name: c.cgroup, alive, waiting, damaged: false, linkId, progId, version: c.version },
    // many a reader does not ask, and there may be 100,000 of them
    get rules() {
      decoded ??= decodeRules(records, c.rule_count);
      return decoded;
    },
  };
}

/** The state of a scope; undefined when tcpx has nothing there. */
export function readScope(lib: Bridge, id: bigint): ScopeState | undefined {
  const bpffs = findBpffs(lib);
  if (!bpffs) return undefined;
  requireOwn(pins.topDir(bpffs));
  for (let attempt = 0; ; attempt++) {
    const state = readGeneration(lib, pins.scopeDir(bpffs, id), id);
    // another command may just have replaced the generation that we were about to read
    if (!state?.damaged || attempt >= 5) return state;
  }
}

/** Every scope with rules, root first. */
export function readScopes(lib: Bridge): ScopeState[] {
  const bpffs = findBpffs(lib);
  if (!bpffs) return [];
  const states = pins.scopeIds(bpffs).flatMap((id) => readScope(lib, id) ?? []);
  return states.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Holds the lock that changes are made under. */
export class Lock implements Disposable {
  private gone = false;
  /** Rules of a service were changed. */
  concernsUnits = anyHooks();

  constructor(
    readonly bpffs: string,
    readonly mounted: boolean,
    private readonly lib: Bridge,
    private readonly fd: Fd,
  ) {}

  /** Detaches all scopes and removes every pin of ours, of whatever layout; the lock goes with them. */
  removeEverything(): void {
    this.gone = true;
    pins.removeEverything(this.lib, this.bpffs);
  }

  [Symbol.dispose](): void {
    try {
      if (!this.gone) pins.prune(this.bpffs); // else it may be somebody else's directory by now
      if (this.concernsUnits) syncHooks(this.gone ? [] : servicesOf(readScopes(this.lib)));
    } finally {
      this.fd[Symbol.dispose]();
      // a command that left nothing takes the mount back that it made
      if (this.mounted && listPins(pins.topDir(this.bpffs)).length === 0) unmountOwnBpffs(this.lib);
    }
  }
}

/**
 * Takes the lock, mounting bpffs when it is not.
 * @param wait for another tcpx to finish, instead of failing with exit code 5
 */
export function lock(lib: Bridge, wait: boolean): Lock {
  const { path: bpffs, mounted } = ensureBpffs(lib);
  const top = pins.topDir(bpffs);
  for (;;) {
    ownDirectory(top);
    const fd = lib.tcpx_flock(cstr(top), wait ? 0 : 1);
    if (fd >= 0) return new Lock(bpffs, mounted, lib, new Fd(lib, fd));
    const error = new Errno("lock", -fd);
    if (isErrno(error, "EAGAIN", "EWOULDBLOCK")) {
      throw new TcpxError(Exit.BUSY, "another tcpx is changing rules at the moment", {
        hint: "try again, or wait for it with --wait",
      });
    }
    if (!isErrno(error, "ENOENT")) throw error; // else: another one has just removed the last rule
  }
}

function attach(lib: Bridge, scope: Scope, dir: string, generation: Generation): void {
  using link = openPin(lib, join(dir, "link"));
  if (link) {
    unwrap("link update", lib.tcpx_link_update(link.fd, generation.program));
    return;
  }
  const cgroup = openSync(scope.path, "r");
  try {
    if (fstatSync(cgroup, { bigint: true }).ino !== scope.id) {
      throw new TcpxError(Exit.FAILED, `cgroup ${scope.name} was made anew meanwhile`, { value: scope.path });
    }
    const result = lib.tcpx_link_create(generation.program, cgroup, SOCK_OPS);
    if (result < 0) throw attachError(lib, scope, new Errno("attach", -result));
    using created = new Fd(lib, result);
    pin(lib, created.fd, join(dir, "link"));
  } finally {
    closeSync(cgroup);
  }
}

function pinOnce(lib: Bridge, generation: Generation, map: string, dir: string): void {
  if (!listPins(dir).includes(map)) pin(lib, generation.map(map), join(dir, map));
}

/** Values of the shared maps that are structs of ours. */
const STRUCTS: Partial<Record<(typeof pins.SHARED)[number], StructName>> = {
  conns: "tcpx_conn",
  handover: "tcpx_handover",
};

/** A map that generations share; one of another shape would make the verifier refuse us. */
function openShared(lib: Bridge, path: string, value?: StructName): Fd | undefined {
  const map = openPin(lib, path);
  if (!map || !value || valueSize(lib, map.fd) === sizeOf(value)) return map;
  map[Symbol.dispose]();
  throw new TcpxError(Exit.FAILED, `${path} was pinned by another build of tcpx`, {
    value: path,
    hint: "`tcpx reset` removes it with all rules",
  });
}

/** Do other sock_ops programs than tcpx's run on the scope's sockets? */
function foreignPrograms(lib: Bridge, bpffs: string, scope: Scope): boolean {
  const own = new Set<number>();
  for (const id of pins.scopeIds(bpffs)) {
    using link = openPin(lib, join(pins.scopeDir(bpffs, id), "link"));
    if (link) own.add(linkInfo(lib, link.fd).progId);
  }
  const cgroup = openSync(scope.path, "r");
  try {
    return attachedTo(lib, cgroup, SOCK_OPS, true).ids.some((id) => !own.has(id));
  } finally {
    closeSync(cgroup);
  }
}

/**
 * Makes these the scope's rules, in one step: a link created and pinned, or updated. A failure
 * or a kill on the way leaves the old state. Call it with the lock held.
 */
export async function replaceRules(lib: Bridge, held: Lock, scope: Scope, rules: Rule[]): Promise<void> {
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
  for (const map of pins.SHARED)
    shared[map] = stack.use(openShared(lib, join(layout, map), STRUCTS[map]))?.fd;
  shared.counters = stack.use(openShared(lib, join(dir, "counters"), "tcpx_counters"))?.fd;
  using generation = await loadGeneration(lib, scope, rules, shared, foreignPrograms(lib, bpffs, scope));
  const { id } = progInfo(lib, generation.program);
  const generationDir = pins.generationDir(dir, id);
  try {
    pins.ensureDir(generationDir);
    for (const map of pins.SHARED) pinOnce(lib, generation, map, layout);
    pinOnce(lib, generation, "counters", dir);
    pin(lib, generation.map("rules"), join(generationDir, "rules"));
    pin(lib, generation.map(".rodata"), join(generationDir, "config"));
    attach(lib, scope, dir, generation);
  } catch (error) {
    pins.removeTree(generationDir);
    if (!listPins(dir).includes("link")) pins.removeTree(dir);
    throw error;
  }
  pins.removeOldGenerations(dir, id);
}
