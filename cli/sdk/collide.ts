// SPDX-License-Identifier: MIT
// Names and identifiers that are taken on this host, before somebody gets used to them.

import { usageError } from "../base/errors.ts";
import { bridge } from "../bridge/bridge.ts";
import { extensions } from "../extensions/index.ts";
import { siteIfReadable } from "../loader/site-map.ts";
import { collisionOf } from "../manifest/collision.ts";
import { readManifest } from "../manifest/read.ts";
import type { Manifest } from "../manifest/types.ts";
import { availableAlgorithms } from "../system/algorithms.ts";
import { controlName, type NewFile } from "./templates.ts";

const MANIFEST = "extension.toml";

function controls(): string[] {
  try {
    return availableAlgorithms();
  } catch {
    return [];
  }
}

/**
 * @param commands of tcpx
 * @param others the extensions beside it
 * @throws TcpxError (usage) when they have its name, or an identifier of it
 */
export async function requireFree(
  manifest: Manifest,
  commands: readonly string[],
  others = extensions.filter(({ name }) => name !== manifest.name),
): Promise<void> {
  const site = siteIfReadable(await bridge());
  const collision = collisionOf(manifest, { commands, extensions: others, site });
  if (collision === undefined) return;
  throw usageError(collision, manifest.name, `choose another one in ${MANIFEST}; see \`tcpx ext list\``);
}

/** @throws TcpxError (usage) when a new folder would have what somebody else has */
export async function requireNew(
  name: string,
  files: readonly NewFile[],
  commands: readonly string[],
): Promise<void> {
  const manifest = files.find((file) => file.name === MANIFEST);
  if (manifest) {
    const site = siteIfReadable(await bridge());
    const collision = collisionOf(readManifest(manifest.text, MANIFEST), { commands, extensions, site });
    if (collision !== undefined) throw usageError(collision, name, "choose another name");
  } else if (controls().includes(controlName(name))) {
    throw usageError(`there is a congestion control ${controlName(name)}`, name, "choose another name");
  }
}
