// SPDX-License-Identifier: MIT
// One loaded generation of the sock_ops program: opened, configured, loaded and filled.

import { version } from "../base/version.ts";
import { type Bridge, cstr, Errno, logMark, logSince, unwrap } from "../bridge/bridge.ts";
import { indexes, update } from "../bridge/maps.ts";
import { openBytes, openObject } from "../bridge/open-object.ts";
import { extensionOf } from "../extensions/index.ts";
import { LAYOUT_VERSION } from "../layout/layout.generated.ts";
import { encode, type Struct } from "../layout/struct.ts";
import { flatten, type Table } from "../policy/flatten.ts";
import { type Rule, valueWords } from "../policy/rule.ts";
import { collectAfter } from "../system/garbage.ts";
import type { Site } from "../wire/site.ts";
import { loadError } from "./load-error.ts";
import { encodeProfiles, kindsOf, type Profiles, planProfiles, usesOf } from "./profiles.ts";
import { encodeExids, encodeKeys, encodeNamespaces, encodeRules, encodeSite, recordSize } from "./records.ts";
import { RESET_PROGRAM } from "./reset-link.ts";
import { builtIn, hasMap, type Slotted, slotLoadError, slotted } from "./slots.ts";
import type { ScopeHead } from "./state.ts";

/** Entries that are written at once. */
const PIECE = 4096;

/** Maps that outlive a generation: connection state and counters. */
export interface SharedMaps {
  [name: string]: number | undefined;
}

/** A loaded program and its maps; the file descriptors end with it. */
export class Generation implements Disposable {
  constructor(
    private readonly lib: Bridge,
    readonly object: bigint,
    /** Maps of extensions that tcpx does not ship, which the host keeps. */
    readonly slotMaps: readonly string[] = [],
  ) {}

  get program(): number {
    return unwrap("program", this.lib.tcpx_object_prog_fd(this.object, cstr("tcpx")));
  }

  /** What holds resets back; undefined: it was not wanted, or the kernel does not take it. */
  get resetProgram(): number | undefined {
    const fd = this.lib.tcpx_object_prog_fd(this.object, cstr(RESET_PROGRAM));
    return fd < 0 ? undefined : fd;
  }

  map(name: string): number {
    return unwrap(`map ${name}`, this.lib.tcpx_object_map_fd(this.object, cstr(name)));
  }

  [Symbol.dispose](): void {
    this.lib.tcpx_object_close(this.object);
  }
}

/** In pieces: the bytes of 100,000 entries are many. */
function fillPolicies(
  lib: Bridge,
  generation: Generation,
  scope: bigint,
  table: Table,
  plan: Profiles,
): void {
  const [policies, profiles] = [generation.map("policies"), generation.map("profiles")];
  for (let at = 0; at < plan.profiles.length; at += PIECE) {
    const to = Math.min(at + PIECE, plan.profiles.length);
    const keys = Uint32Array.from({ length: to - at }, (_, i) => at + i);
    update(lib, profiles, new Uint8Array(keys.buffer), encodeProfiles(plan, scope, at, to), to - at);
  }
  for (let at = 0; at < table.entries.length; at += PIECE) {
    const piece = table.entries.slice(at, at + PIECE);
    const numbers = plan.numbers.slice(at, at + PIECE);
    update(lib, policies, encodeKeys(piece), new Uint8Array(numbers.buffer), piece.length);
  }
}

/** What a generation is made of. */
export interface Recipe {
  scope: Pick<ScopeHead, "id" | "recorded">;
  rules: Rule[];
  site: Site;
  shared: SharedMaps;
  /** Extensions that rules of scopes around it are for: a bit for each. */
  usesAround: number;
  /** Other sock_ops programs run on the scope's sockets. */
  foreign: boolean;
  /** The program that holds resets back is needed, too. */
  holdsResets: boolean;
}

/** What is tried one after the other: all of it, without helpers that read memory, without holding resets back. */
const ATTEMPTS = [true, false].flatMap((holds) => [0n, 1n].map((no_reads) => ({ holds, no_reads })));

/** The object that is loaded, with its constants. */
async function opened(
  lib: Bridge,
  head: Partial<Struct<"tcpx_config">>,
  slots: Slotted | undefined,
): Promise<Generation> {
  const config = encode("tcpx_config", head);
  const object = slots ? openBytes(lib, slots.bytes, "tcpx") : await openObject(lib, "tcpx");
  using stack = new DisposableStack();
  const generation = stack.use(new Generation(lib, object, slots?.maps));
  if (slots) {
    const constants = Buffer.concat([config, slots.config]);
    unwrap("configure", lib.tcpx_object_rodata_begin(object, constants, BigInt(constants.length)));
  } else {
    unwrap("configure", lib.tcpx_object_rodata(object, config, BigInt(config.length)));
  }
  stack.move();
  return generation;
}

/** Opens and loads it; without the helpers that read memory where the kernel does not let it have them. */
async function loaded(
  lib: Bridge,
  head: Partial<Struct<"tcpx_config">>,
  sizes: Record<string, number>,
  valueSizes: Record<string, number>,
  { shared, holdsResets }: Recipe,
  slots: Slotted | undefined,
): Promise<Generation> {
  lib.tcpx_raise_memlock();
  const mark = logMark(lib);
  let refused: Errno | undefined;
  for (const { holds, no_reads } of ATTEMPTS) {
    if (holds && !holdsResets) continue;
    using stack = new DisposableStack();
    const generation = stack.use(await opened(lib, { ...head, no_reads }, slots));
    const { object } = generation;
    unwrap("autoload", lib.tcpx_object_autoload(object, cstr(RESET_PROGRAM), holds ? 1 : 0));
    for (const [map, size] of Object.entries(sizes)) {
      unwrap(`size of ${map}`, lib.tcpx_object_max_entries(object, cstr(map), Math.max(1, size)));
    }
    for (const [map, size] of Object.entries(valueSizes)) {
      unwrap(`value of ${map}`, lib.tcpx_object_value_size(object, cstr(map), size));
    }
    for (const [map, fd] of Object.entries(shared)) {
      if (fd !== undefined && hasMap(slots, map))
        unwrap(`reuse ${map}`, lib.tcpx_object_reuse_map(object, cstr(map), fd));
    }
    const result = lib.tcpx_object_load(object);
    if (result >= 0) {
      stack.move();
      return generation;
    }
    refused ??= new Errno("load", -result);
    if (refused.code === "EPERM" || (refused.code !== "EINVAL" && !holds)) break;
    // too much for the verifier, which is tens of seconds each time
    if (slots && refused.code === "E2BIG") break;
  }
  throw slots ? slotLoadError(slots, refused!, logSince(lib, mark)) : await loadError(lib, refused!);
}

/** Identifiers of an extension: the site's, and where that says nothing those of its description. */
const inForce = (row: number[], documented: number[] = []) =>
  row.map((exid, role) => exid || (documented[role] ?? 0));

/**
 * Loads the program with these rules and the site's table; nothing is attached or pinned yet.
 * @throws TcpxError when the kernel refuses it
 */
export async function loadGeneration(lib: Bridge, recipe: Recipe): Promise<Generation> {
  const { scope, rules, foreign, site } = recipe;
  const table = flatten(rules);
  const words = valueWords(rules, (ext) => extensionOf({ ext }).words ?? 2);
  const plan = planProfiles(rules, table, words);
  const [own, known] = [usesOf(rules), usesOf(rules) | recipe.usesAround];
  const slots = await slotted(lib, own, known, words);
  const head = {
    layout: LAYOUT_VERSION,
    rule_count: rules.length,
    scope: scope.id,
    use_netns: table.namespaces.size > 0 ? 1 : 0,
    use_ports: table.usePorts ? 1 : 0,
    foreign: foreign ? 1 : 0,
    use_from: rules.some((rule) => rule.selector.direction !== "to") ? 1 : 0,
    jiffy_us: unwrap("tick", lib.tcpx_jiffy_us()),
    version,
    cgroup: scope.recorded.name,
    base: scope.recorded.base,
    keeper: scope.recorded.keeper,
    site: encodeSite(site),
    uses: slots?.uses ?? builtIn(known),
    places: plan.places,
    kinds_to: kindsOf(rules, "to"),
    kinds_from: kindsOf(rules, "from"),
    exids: encodeExids(site).map((row, id) => inForce(row, slots?.exids.get(id))),
  };
  const sizes = {
    policies: table.entries.length,
    profiles: plan.profiles.length,
    namespaces: table.namespaces.size,
    rules: rules.length,
  };
  const record = recordSize(words);
  const generation = await loaded(lib, head, sizes, { profiles: plan.size, rules: record }, recipe, slots);
  try {
    collectAfter(rules.length);
    fillPolicies(lib, generation, scope.id, table, plan);
    const namespaces = encodeNamespaces(table);
    update(lib, generation.map("namespaces"), namespaces.keys, namespaces.values, sizes.namespaces);
    update(lib, generation.map("rules"), indexes(sizes.rules), encodeRules(rules, record), sizes.rules);
    return generation;
  } catch (error) {
    generation[Symbol.dispose]();
    throw error;
  }
}
