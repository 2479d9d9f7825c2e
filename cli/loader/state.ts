// SPDX-License-Identifier: MIT
// The rules in force, read back from the kernel: this tcpx's, and those that an older one has left.
//
// Whatever else changes from one layout to the next, this reader relies on: the pins' places, struct
// tcpx_rule_record, and the beginning of struct tcpx_config up to the site's table.

import { join } from "node:path";
import { Exit, TcpxError } from "../base/errors.ts";
import { version } from "../base/version.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { arrayValues, type Fd, firstStruct, linkInfo, openPin, valueSize } from "../bridge/maps.ts";
import { LAYOUT_VERSION } from "../layout/layout.generated.ts";
import type { Rule } from "../policy/rule.ts";
import { findBpffs, requireOwn, type Scope } from "../system/host.ts";
import { isHooked } from "../system/unit-hook.ts";
import { DEFAULT_SITE, type Site } from "../wire/site.ts";
import { isOurs, placeOf, type Recorded, waitsElsewhere } from "./cgroup-place.ts";
import * as pins from "./pins.ts";
import { decodeRules, decodeSite, isRecordSize } from "./records.ts";

/** What is in force in one scope, but for the rules. */
export interface ScopeHead {
  id: bigint;
  /** Path below our cgroup2 mount; of a scope that is not visible, what whoever set its rules calls it. */
  name: string;
  /** Path that this process can open; undefined: it is gone, or not visible. */
  path: string | undefined;
  /** False: the kernel has no such cgroup any more, and the rules have no effect. */
  alive: boolean;
  /** False: it belongs to a view of cgroups that is not ours, such as a container's or its host's. */
  visible: boolean;
  /** It is gone, and the service that it was of will get the rules with its next one. */
  waiting: boolean;
  recorded: Recorded;
  /** Somebody removed pins by hand: attached, but nobody knows the rules any more. */
  damaged: boolean;
  linkId: number;
  progId: number;
  /** Version of the tcpx that put it there. */
  version: string;
  /** Of the pins; lower than our own until the next change takes them over. */
  layout: number;
  /** How many rules. */
  count: number;
  /** The table that its program was loaded with. */
  site: Site;
  /** The extensions that its program knows: a bit for each. */
  uses: number;
}

export interface ScopeState extends ScopeHead {
  /** Decoded when it is asked for: do not spread a state. */
  readonly rules: Rule[];
}

/** For a change of its rules. */
export function scopeOf({ id, name, path, waiting }: ScopeHead): Scope {
  return { id, name, path, ...(waiting && { waiting }) };
}

/** Nobody goes on from there. */
export function damagedError(name: string): TcpxError {
  const what = `the pins of cgroup ${name} were removed by hand: nobody knows its rules`;
  return new TcpxError(Exit.FAILED, what, { value: name, hint: "`tcpx reset` detaches what is left" });
}

/** The layouts that we can read. @throws TcpxError when a newer tcpx has rules here */
function readable(lib: Bridge, bpffs: string): number[] {
  const inForce = (layout: number) => layout <= LAYOUT_VERSION || pins.isInForce(bpffs, layout);
  const [newest = 0, ...older] = pins.layouts(bpffs).filter(inForce);
  if (newest <= LAYOUT_VERSION) return newest === 0 ? [] : [newest, ...older];
  const by = pins
    .scopeIds(bpffs, newest)
    .flatMap((id) => tryGeneration(lib, bpffs, id, newest)?.version ?? []);
  const what = `the rules here are of a newer tcpx (${by[0] ?? "?"}, layout ${newest})`;
  throw new TcpxError(Exit.FAILED, `${what}; this one is ${version}, layout ${LAYOUT_VERSION}`, {
    hint: "use the newer one; `tcpx reset` of either removes everything",
  });
}

/** What a reader makes of a generation; without a map it is damaged. */
type Reader<T extends ScopeHead> = (lib: Bridge, head: ScopeHead, rules: Fd | undefined) => T;

type Fate = Pick<ScopeHead, "name" | "path" | "alive" | "visible" | "waiting">;

/** Only the kernel says that a cgroup is gone: its link, which learns of that after a while, or the look for its id. */
function fateOf(lib: Bridge, id: bigint, linked: boolean, recorded: Recorded): Fate {
  const place = linked ? placeOf(lib, id, recorded) : "gone";
  if (place !== "gone") {
    const { name = recorded.name, path } = place;
    return { name, path, alive: true, visible: path !== undefined, waiting: false };
  }
  const visible = isOurs(recorded);
  const waiting = visible ? isHooked(recorded.name) : waitsElsewhere(lib, recorded);
  return { name: recorded.name, path: undefined, alive: false, visible, waiting };
}

const onlyHead: Reader<ScopeHead> = (_, head) => head;

/** @throws TcpxError when an extension is not one of ours: the layout may be the same */
function decodedRules({ name, version: by, count }: ScopeHead, records: Uint8Array, size: number): Rule[] {
  try {
    return decodeRules(records, count, size);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const what = `the rules of cgroup ${name} are of another tcpx (${by}), which has more extensions or kinds`;
    throw new TcpxError(Exit.FAILED, `${what}: ${error.message}; this one is ${version}`, {
      value: name,
      hint: "use that one; `tcpx reset` of either removes everything",
    });
  }
}

const withRules: Reader<ScopeState> = (lib, head, map) => {
  const count = map ? head.count : 0;
  const size = map ? valueSize(lib, map.fd) : 0;
  const records = map ? arrayValues(lib, map.fd, count, size) : new Uint8Array();
  let decoded: Rule[] | undefined;
  return {
    ...head,
    // many a reader does not ask, and there may be 100,000 of them
    get rules() {
      decoded ??= decodedRules(head, records, size);
      return decoded;
    },
  };
};

function readGeneration<T extends ScopeHead>(
  lib: Bridge,
  bpffs: string,
  id: bigint,
  layout: number,
  reader: Reader<T>,
): T | undefined {
  const dir = pins.scopeDir(bpffs, id, layout);
  using link = openPin(lib, join(dir, "link"));
  if (!link) return undefined; // a killed first attach: nothing is in force
  const { linkId, progId, cgroupId } = linkInfo(lib, link.fd);
  // a killed take-over: the link is still at its old place, and its program is of the new layout
  const places = [dir, pins.scopeDir(bpffs, id)].map((scope) => pins.generationDir(scope, progId));
  const open = (name: string) => openPin(lib, join(places[0]!, name)) ?? openPin(lib, join(places[1]!, name));
  using config = open("config");
  using rules = open("rules");
  const state = { id, linkId, progId, layout };
  if (!config || !rules || !isRecordSize(valueSize(lib, rules.fd))) {
    const recorded = { name: `id ${id}`, base: 0n, keeper: 0n };
    const nobodyKnows = { damaged: true, version: "?", site: DEFAULT_SITE, count: 0, uses: 0 };
    const fate = fateOf(lib, id, cgroupId !== 0n, recorded);
    return reader(lib, { ...state, ...fate, recorded, ...nobodyKnows }, undefined);
  }
  const {
    rule_count,
    version,
    cgroup: name,
    base,
    keeper,
    site,
    uses,
  } = firstStruct(lib, config, "tcpx_config");
  const count = layout > LAYOUT_VERSION ? 0 : rule_count; // a newer one's may be of kinds that we do not know
  const recorded = { name, base, keeper };
  const fate = fateOf(lib, id, cgroupId !== 0n, recorded);
  const head = { ...state, ...fate, recorded, damaged: false, version, count, uses };
  return reader(lib, { ...head, site: decodeSite(site) }, rules);
}

/** The same where pins may be anything. */
function tryGeneration(lib: Bridge, bpffs: string, id: bigint, layout: number): ScopeState | undefined {
  try {
    return readGeneration(lib, bpffs, id, layout, withRules);
  } catch {
    return undefined; // no link, but something else of that name
  }
}

/** The bpffs, when there may be something of ours in it. */
function ourBpffs(lib: Bridge): string | undefined {
  const bpffs = findBpffs(lib);
  if (bpffs) requireOwn(pins.topDir(bpffs));
  return bpffs;
}

function readIn<T extends ScopeHead>(
  lib: Bridge,
  bpffs: string,
  id: bigint,
  reader: Reader<T>,
): T | undefined {
  for (let attempt = 0; ; attempt++) {
    const states = readable(lib, bpffs).flatMap(
      (layout) => readGeneration(lib, bpffs, id, layout, reader) ?? [],
    );
    // another command may just have replaced the generation that we were about to read
    if (!states[0]?.damaged || attempt >= 5) return states[0];
  }
}

function readOne<T extends ScopeHead>(lib: Bridge, id: bigint, reader: Reader<T>): T | undefined {
  const bpffs = ourBpffs(lib);
  return bpffs === undefined ? undefined : readIn(lib, bpffs, id, reader);
}

const byName = (a: ScopeHead, b: ScopeHead) =>
  a.name === b.name ? Number(a.id - b.id) : a.name < b.name ? -1 : 1;

function readAll<T extends ScopeHead>(lib: Bridge, reader: Reader<T>): T[] {
  const bpffs = ourBpffs(lib);
  if (bpffs === undefined) return [];
  const ids = new Set(readable(lib, bpffs).flatMap((layout) => pins.scopeIds(bpffs, layout)));
  const states = [...ids].flatMap((id) => readIn(lib, bpffs, id, reader) ?? []);
  return states.sort(byName);
}

/** The state of a scope; undefined when tcpx has nothing there. @throws TcpxError when a newer one has */
export const readScope = (lib: Bridge, id: bigint) => readOne(lib, id, withRules);

/** The same for those who do not ask for the rules, of which there may be 100,000. */
export const readHead = (lib: Bridge, id: bigint) => readOne(lib, id, onlyHead);

/** Every scope with rules, root first. @throws TcpxError when a newer tcpx has rules here */
export const readScopes = (lib: Bridge) => readAll(lib, withRules);

export const readHeads = (lib: Bridge) => readAll(lib, onlyHead);

/** What there is for a reset: of every layout, as far as it can be read. */
export interface Remains {
  states: ScopeState[];
  /** Version of a newer tcpx that has something here, whose rules we cannot read. */
  newer: string | undefined;
}

/** Reads what it can, whatever somebody has made of the pins. */
export function readRemains(lib: Bridge): Remains {
  const bpffs = ourBpffs(lib);
  if (!bpffs) return { states: [], newer: undefined };
  const layouts = pins.layouts(bpffs);
  const found = layouts.flatMap((layout) =>
    pins.scopeIds(bpffs, layout).flatMap((id) => tryGeneration(lib, bpffs, id, layout) ?? []),
  );
  // the newest first, so that a scope in the middle of a take-over counts once
  const states = [...new Map(found.reverse().map((state) => [state.id, state])).values()];
  const newer = found.find(({ layout }) => layout > LAYOUT_VERSION)?.version;
  const isNewer = layouts.some((layout) => layout > LAYOUT_VERSION && pins.isInForce(bpffs, layout));
  return { states: states.sort(byName), newer: newer ?? (isNewer ? "?" : undefined) };
}
