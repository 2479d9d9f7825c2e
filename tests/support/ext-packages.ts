// SPDX-License-Identifier: MIT
// Packages for tests: of tests/support/slots, and of sources that are wrong in one way each.
import { join } from "node:path";
import { packExtension } from "../../cli/packages/package.ts";
import { compileSlot, slotSource } from "./slot-objects.ts";

/** A local setting: the rate of `pace`. */
export const manifestOf = (
  name: string,
  { version = "1.0.0", more = "", kind = "" } = {},
): string => `schema = 1
api = 1
name = "${name}"
version = "${version}"
summary = "Paces connections"
title = "SO_MAX_PACING_RATE, socket(7)"
${kind}
[values.rate]
type = "rate"
text = "The most that each connection sends"
range = ["64k", "10G"]

[verbs.set]
kind = "local"
summary = "Pace connections at RATE"
word = "rate"
examples = [["set 10M --to 192.0.2.0/24", "Pace those connections"]]
${more}`;

/** The object of `pace`, whatever it is called. */
export const paceObject = (dir: string): Promise<Uint8Array> => compileSlot(dir, slotSource("pace"));

/** An object of this source, which follows the includes. */
export async function objectFrom(dir: string, body: string, ...flags: string[]): Promise<Uint8Array> {
  const source = join(dir, `${Bun.hash(body).toString(36)}.bpf.c`);
  await Bun.write(source, `#include "tcpx_ext.h"\n\n${body}\n`);
  return compileSlot(dir, source, ...flags);
}

/** Writes NAME.tcpx; its path. */
export async function writePackage(
  dir: string,
  name: string,
  object: Uint8Array,
  manifest = manifestOf(name),
  file = `${name}.tcpx`,
): Promise<string> {
  const path = join(dir, file);
  await Bun.write(path, packExtension({ name, object, manifest }));
  return path;
}
