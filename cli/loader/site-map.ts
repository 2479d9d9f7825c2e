// SPDX-License-Identifier: MIT
// The site's table of this host: one pinned map, absent while it says what is documented.

import { renameSync } from "node:fs";
import { Exit } from "../base/errors.ts";
import { type Bridge, cstr, unwrap } from "../bridge/bridge.ts";
import { firstStruct, indexes, openPin, pin, update } from "../bridge/maps.ts";
import { openObject } from "../bridge/open-object.ts";
import { LAYOUT_VERSION } from "../layout/layout.generated.ts";
import { encode } from "../layout/struct.ts";
import { findBpffs, requireOwn } from "../system/host.ts";
import { DEFAULT_SITE, type Site, sameSite } from "../wire/site.ts";
import * as pins from "./pins.ts";
import { decodeSite, encodeSite } from "./records.ts";

function readIn(lib: Bridge, bpffs: string, layout: number): Site | undefined {
  using map = openPin(lib, pins.sitePath(bpffs, layout));
  return map && decodeSite(firstStruct(lib, map, "tcpx_site"));
}

/** The table that changes are made with: ours, else the one that an older tcpx has left. */
export function readSite(lib: Bridge, bpffs = findBpffs(lib)): Site {
  if (bpffs === undefined) return DEFAULT_SITE;
  requireOwn(pins.topDir(bpffs));
  for (const layout of pins.layouts(bpffs)) {
    if (layout > LAYOUT_VERSION) continue;
    const site = readIn(lib, bpffs, layout);
    if (site) return site;
  }
  return DEFAULT_SITE;
}

const DENIED: unknown[] = ["EACCES", "EPERM", Exit.PERMISSION];

let seen: Site | undefined;

/** As this command has seen it first: the words of its arguments mean what they meant then. */
export function siteSeen(lib: Bridge): Site {
  seen ??= readSite(lib);
  return seen;
}

/** The same for whoever may not look: what it is needed for is refused a moment later. */
export function siteIfReadable(lib: Bridge): Site {
  try {
    return siteSeen(lib);
  } catch (error) {
    if (DENIED.includes((error as { code?: unknown }).code)) return DEFAULT_SITE;
    throw error;
  }
}

/** Makes it the host's table, in one step. Call it with the lock held. */
export async function writeSite(lib: Bridge, bpffs: string, site: Site): Promise<void> {
  const path = pins.sitePath(bpffs);
  const draft = `${path}-new`;
  if (sameSite(site, DEFAULT_SITE)) {
    for (const layout of pins.layouts(bpffs)) pins.removePin(pins.sitePath(bpffs, layout));
    return;
  }
  const object = await openObject(lib, "site");
  try {
    lib.tcpx_raise_memlock();
    unwrap("load", lib.tcpx_object_load(object));
    const map = unwrap("map site", lib.tcpx_object_map_fd(object, cstr("site")));
    update(lib, map, indexes(1), encode("tcpx_site", encodeSite(site)), 1);
    pins.ensureDir(pins.layoutDir(bpffs));
    pins.removePin(draft); // a killed command's
    pin(lib, map, draft);
    renameSync(draft, path);
  } finally {
    lib.tcpx_object_close(object);
  }
}

/** After a take-over: what an older layout has becomes this one's. Call it with the lock held. */
export async function carrySite(lib: Bridge, bpffs: string): Promise<void> {
  if (readIn(lib, bpffs, LAYOUT_VERSION)) return;
  const site = readSite(lib, bpffs);
  if (!sameSite(site, DEFAULT_SITE)) await writeSite(lib, bpffs, site);
}
