// SPDX-License-Identifier: MIT
// Programs of other types than sock_ops, which system calls on sockets run (embedded-bpf/sock.bpf.h): loaded with the
// maps of a generation, and attached while its rules want them.
//
// Their links are changed before that of the sock_ops program, which alone says what is in force: until it says that
// their generation is, they hand on to the program that they have replaced. So the rules of all programs change in
// one moment, and a command that is killed on the way leaves the old ones. The generation's directory has a pin of
// each program; by that whoever comes next knows what belongs there.

import { join } from "node:path";
import { type Bridge, cstr, Errno, unwrap } from "../bridge/bridge.ts";
import { Fd, linkInfo, listPins, openPin, pin, progInfo } from "../bridge/maps.ts";
import { openSockObject } from "../bridge/open-object.ts";
import { SOCK_TYPES, type SockType, sockFunction } from "../bridge/sock-types.ts";
import { extensions } from "../extensions/index.ts";
import { LAYOUT_VERSION } from "../layout/layout.generated.ts";
import type { Rule } from "../policy/rule.ts";
import { findBpffs, type Scope } from "../system/host.ts";
import { attachError } from "./attach-error.ts";
import { inCgroup } from "./cgroup-open.ts";
import type { Generation } from "./generation.ts";
import { loadError } from "./load-error.ts";
import { detachLink, generationDir, removePin, scopeDir, sockPin, sockPinOf } from "./pins.ts";
import type { ScopeHead } from "./state.ts";

/** Maps of the generation that they use, as far as an object has them. */
const MAPS = [".rodata", "policies", "profiles", "namespaces", "rules", "counters", "conns"] as const;

const FIRST = new Uint8Array(4);
const word = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);

interface Loaded {
  name: string;
  type: SockType;
  object: bigint;
  program: number;
}

/** Types of programs that rules want, by extension. */
function wanted(rules: readonly Rule[]): [ext: string, types: SockType[]][] {
  return extensions.flatMap(({ name, programs }): [string, SockType[]][] => {
    if (!programs) return [];
    const own = rules.filter(({ ext }) => ext === name);
    const types = (Object.keys(programs) as SockType[]).filter((type) => {
      const { wants } = programs[type]!;
      return own.some((rule) => wants?.(rule) ?? true);
    });
    return types.length > 0 ? [[name, types]] : [];
  });
}

/** Not there is no error: an object has the maps that its programs use. */
function unlessAbsent(call: string, result: number): boolean {
  const error = result < 0 ? new Errno(call, -result) : undefined;
  if (error && error.code !== "ENOENT") throw error;
  return error === undefined;
}

/** The programs that a generation's rules want, loaded. */
export class SockLinks implements Disposable {
  private readonly stack = new DisposableStack();
  private readonly undoing: (() => void)[] = [];
  private readonly programs: Loaded[] = [];
  /** Of the generation. */
  private dir = "";

  private constructor(private readonly lib: Bridge) {}

  /** @throws TcpxError when this kernel has no such programs, or refuses them */
  static async load(lib: Bridge, rules: readonly Rule[], generation: Generation): Promise<SockLinks> {
    const links = new SockLinks(lib);
    try {
      for (const [ext, types] of wanted(rules)) await links.loadOne(ext, types, generation);
      return links;
    } catch (error) {
      links[Symbol.dispose]();
      throw error;
    }
  }

  private async loadOne(ext: string, types: readonly SockType[], generation: Generation): Promise<void> {
    const { lib } = this;
    const object = await openSockObject(lib, ext);
    if (object === undefined) throw new RangeError(`${ext} has no programs`);
    this.stack.defer(() => lib.tcpx_object_close(object));
    unwrap("autoload", lib.tcpx_object_autoload(object, null, 0));
    for (const type of types)
      unwrap(`autoload ${type}`, lib.tcpx_object_autoload(object, cstr(sockFunction(type)), 1));
    for (const map of MAPS)
      unlessAbsent(`reuse ${map}`, lib.tcpx_object_reuse_map(object, cstr(map), generation.map(map)));
    const result = lib.tcpx_object_load(object);
    if (result < 0) throw await loadError(lib, new Errno("load", -result), types);
    const own = lib.tcpx_object_map_fd(object, cstr("generation"));
    if (unlessAbsent("map generation", own)) {
      const { id } = progInfo(lib, generation.program);
      unwrap("generation", lib.tcpx_map_update(own, FIRST, word(id), 0n));
    }
    for (const type of types) {
      const program = unwrap(type, lib.tcpx_object_prog_fd(object, cstr(sockFunction(type))));
      this.programs.push({ name: sockPin(ext, type), type, object, program });
    }
  }

  /** Where whoever comes next sees that they belong to the generation. @param dir of the generation */
  pin(dir: string): void {
    for (const { name, program } of this.programs) pin(this.lib, program, join(dir, name));
    this.dir = dir;
  }

  /** Before the sock_ops link changes. @param older as of `replaceRules` */
  attach(scope: Scope, dir: string, older?: string): void {
    for (const loaded of this.programs) if (!this.update(loaded, dir, older)) this.create(loaded, scope, dir);
  }

  /**
   * The program hands on to the one before, until its generation is in force. A pin holds the map: the kernel empties
   * one that no process has open any more.
   */
  private chain({ name, type, object }: Loaded, before: number): void {
    const map = this.lib.tcpx_object_map_fd(object, cstr(`before_${type}`));
    if (!unlessAbsent("map before", map)) return;
    unwrap("program before", this.lib.tcpx_map_update(map, FIRST, word(before), 0n));
    pin(this.lib, map, this.beforePin(name));
  }

  /** No name of a link: it is gone when its generation is in force. */
  private beforePin(name: string): string {
    return join(this.dir, `before_${name}`);
  }

  /** @returns false: there is no link yet, or none that is attached */
  private update(loaded: Loaded, dir: string, older?: string): boolean {
    const { lib } = this;
    const path = join(dir, loaded.name);
    using own = openPin(lib, path);
    using inherited = own || older === undefined ? undefined : openPin(lib, join(older, loaded.name));
    const link = own ?? inherited;
    if (!link) return false;
    const { progId, cgroupId } = linkInfo(lib, link.fd);
    if (cgroupId === 0n) {
      removePin(path); // of a link that somebody has detached, which can never have another program
      return false;
    }
    const before = this.stack.use(new Fd(lib, unwrap("program before", lib.tcpx_prog_open(progId))));
    this.chain(loaded, before.fd);
    unwrap("link update", lib.tcpx_link_update(link.fd, loaded.program));
    this.undoing.push(() => {
      using again = openPin(lib, path) ?? openPin(lib, join(older ?? dir, loaded.name));
      if (again) lib.tcpx_link_update(again.fd, before.fd);
    });
    if (inherited) {
      pin(lib, inherited.fd, path);
      this.undoing.push(() => removePin(path));
    }
    return true;
  }

  private create({ name, type, program }: Loaded, scope: Scope, dir: string): void {
    const { lib } = this;
    if (scope.path === undefined) return; // not visible from here: `tcpx status` says that it is missing
    inCgroup(scope, (cgroup, path) => {
      const result = lib.tcpx_link_create(program, cgroup, SOCK_TYPES[type]);
      if (result < 0) throw attachError(lib, { ...scope, path }, new Errno("attach", -result), type);
      using link = new Fd(lib, result);
      try {
        pin(lib, link.fd, join(dir, name));
      } catch (error) {
        lib.tcpx_link_detach(link.fd);
        throw error;
      }
      this.undoing.push(() => detachLink(lib, dir, name));
    });
  }

  /** The sock_ops link was not changed. */
  undo(): void {
    for (const act of this.undoing.reverse()) act();
  }

  /** It was: nobody needs the programs before. */
  settle(): void {
    for (const { name } of this.programs) removePin(this.beforePin(name));
  }

  [Symbol.dispose](): void {
    this.stack.dispose();
  }
}

/**
 * Makes the links of a scope what the generation in force has: one that it does not have goes, one that a killed
 * command has changed gets its program back.
 * @param names in the directory
 */
export function settleLinks(lib: Bridge, dir: string, progId: number, names: readonly string[]): void {
  for (const name of names) {
    if (!sockPinOf(name)) continue;
    using program = openPin(lib, join(generationDir(dir, progId), name));
    if (!program) {
      detachLink(lib, dir, name);
      continue;
    }
    using link = openPin(lib, join(dir, name));
    if (link && linkInfo(lib, link.fd).progId !== progInfo(lib, program.fd).id)
      lib.tcpx_link_update(link.fd, program.fd);
  }
}

/** A program that the rules in force want. */
export interface SockReport {
  ext: string;
  type: SockType;
  /** Undefined: nothing is attached, since somebody has removed the link. */
  program: number | undefined;
}

/** What hangs on a scope beside the sock_ops program, which it says that there should be. */
export function sockReports(
  lib: Bridge,
  { id, layout, progId }: Pick<ScopeHead, "id" | "layout" | "progId">,
): SockReport[] {
  const bpffs = findBpffs(lib);
  if (bpffs === undefined) return [];
  const dir = scopeDir(bpffs, id, layout);
  const names = listPins(generationDir(dir, progId)).sort();
  return names.flatMap((name) => {
    const found = sockPinOf(name);
    if (!found) return [];
    using link = openPin(lib, join(dir, name));
    const { progId: program, cgroupId } = link ? linkInfo(lib, link.fd) : { progId: 0, cgroupId: 0n };
    return [{ ...found, program: cgroupId === 0n ? undefined : program }];
  });
}

/** Is there something to attach again? */
export const lacksLinks = (lib: Bridge, head: ScopeHead): boolean =>
  extensions.some(({ programs }) => programs) &&
  head.path !== undefined &&
  !head.damaged &&
  head.layout === LAYOUT_VERSION &&
  sockReports(lib, head).some(({ program }) => program === undefined);
