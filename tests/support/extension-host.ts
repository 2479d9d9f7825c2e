// SPDX-License-Identifier: MIT
// A host that has added extensions: built from their folders and added as its administrator does.
import { existsSync } from "node:fs";
import { cp } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Lab } from "./lab.ts";
import { OWN_ETC } from "./packed.ts";
import { PrivateHost } from "./private-host.ts";

const ROOT = resolve(import.meta.dir, "../..");
/** Where the folders are: samples for readers, and packages for tests alone. */
const PLACES = ["embedded-bpf/samples", "tests/support/packages"];

/** A copy of an extension's folder, which is nobody's but ours; its path. */
export async function copyExtension(dir: string, name: string): Promise<string> {
  const from = PLACES.map((place) => join(ROOT, place, name)).find((path) => existsSync(path));
  if (!from) throw new Error(`there is no folder ${name} in ${PLACES.join(", ")}`);
  const to = join(dir, name);
  await cp(from, to, { recursive: true });
  return to;
}

/** A host of its own with these; it ends with the lab. */
export async function extensionHost(lab: Lab, ...names: string[]): Promise<PrivateHost> {
  const host = await PrivateHost.create(lab, { setup: OWN_ETC });
  for (const name of names) {
    const folder = await copyExtension(lab.dir, name);
    await host.ok(["ext", "build", folder]);
    await host.ok(["ext", "add", join(folder, `${name}.tcpx`)]);
  }
  return host;
}
