// SPDX-License-Identifier: MIT
// What is remembered of a program that was loaded: a text in a map, pinned beside it.

import { dirname } from "node:path";
import * as v from "valibot";
import { type Bridge, cstr, unwrap } from "../bridge/bridge.ts";
import { Fd, lookup, openPin, pin, valueSize } from "../bridge/maps.ts";
import { ensureDir } from "../loader/pins.ts";

const ABOUT_MOST = 60_000;

const schema = v.object({
  /** Of this record. */
  v: v.literal(1),
  /** An absolute path. */
  file: v.string(),
  sha256: v.string(),
  /** Path of its cgroup; null: a congestion control. */
  cgroup: v.nullable(v.string()),
  set: v.record(v.string(), v.string()),
  /** Its programs, by their numbers in the kernel, and by the sums of their code. */
  programs: v.array(v.object({ name: v.string(), id: v.number(), tag: v.optional(v.string()) })),
  /** Maps of congestion controls that it has replaced, which connections may still have. */
  before: v.array(v.number()),
  /** Of a congestion control: the number that it was given when it was loaded; null: it had one, or has none. */
  number: v.nullable(v.number()),
});

export type About = v.InferOutput<typeof schema>;

/** @throws where it is pinned already */
export function writeAbout(lib: Bridge, path: string, about: About): void {
  const text = new TextEncoder().encode(JSON.stringify(about));
  if (text.length > ABOUT_MOST) throw new RangeError("there is too much to remember of this program");
  using map = new Fd(lib, unwrap("about", lib.tcpx_text_new(cstr("tcpx_about"), text, BigInt(text.length))));
  ensureDir(dirname(path));
  pin(lib, map.fd, path);
}

/** Undefined: there is none, or something else in its place. */
export function readAbout(lib: Bridge, path: string): About | undefined {
  try {
    using map = openPin(lib, path);
    if (!map) return undefined;
    const text = lookup(lib, map.fd, new Uint8Array(4), valueSize(lib, map.fd));
    return v.parse(schema, JSON.parse(new TextDecoder().decode(text)));
  } catch {
    return undefined;
  }
}
