// SPDX-License-Identifier: MIT
// Source packages of the distribution that we build on, fetched and verified by its own apt, which
// rarely has source entries switched on.

import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { cached } from "./cache.ts";
import { hostEntries, hostRelease, ownEntries, privateApt } from "./private-apt.ts";
import { run } from "./run.ts";

interface Distro {
  id: string;
  codename: string;
}

async function hostDistro(): Promise<Distro> {
  const { id, codename } = await hostRelease();
  if ((id !== "debian" && id !== "ubuntu") || !codename) {
    throw new Error(`the bridge is built from Debian's or Ubuntu's source packages; this is ${id}`);
  }
  return { id, codename };
}

async function sourceApt(root: string, { id, codename }: Distro): Promise<Record<string, string>> {
  const entries = ownEntries(await hostEntries(), codename);
  if (entries.length === 0) {
    throw new Error(`no entry of ${id} ${codename} with "main" in /etc/apt/sources.list(.d)`);
  }
  return privateApt(root, entries, "deb-src");
}

/** Somebody else's archive may use the same suite and component names; its Release says who it is. */
async function dropForeign(root: string, env: Record<string, string>, distro: Distro): Promise<void> {
  const format = "$(ORIGIN) $(SOURCESENTRY)";
  const targets = await run(["apt-get", "indextargets", "--format", format, "Created-By: Sources"], { env });
  let left = 0;
  for (const line of targets.split("\n").filter(Boolean)) {
    const [, origin, file] = line.match(/^(.*?) (\/\S+?)(:\d+)?$/) ?? [];
    if (origin?.toLowerCase() === distro.id) left++;
    else if (file?.startsWith(`${root}/parts/`)) await rm(file, { force: true });
  }
  if (left === 0) throw new Error(`the mirrors of ${distro.id} ${distro.codename} offer no source packages`);
}

/**
 * A folder with the unpacked source packages `<name>-<version>/` and their `.dsc` files. It is
 * kept by release; remove it (or change TCPX_CACHE_DIR) to ask the mirrors again.
 */
export async function distroSources(name: string, packages: string[]): Promise<string> {
  const distro = await hostDistro();
  const label = `${name}-${distro.id}-${distro.codename}`;
  return cached(label, ["1", distro.id, distro.codename, ...packages], async (out) => {
    const apt = join(out, ".apt");
    const env = await sourceApt(apt, distro);
    await run(["apt-get", "-q", "update", "--error-on=any"], { env });
    await dropForeign(apt, env, distro);
    await run(["apt-get", "-q", "source", "--only-source", ...packages], { env, cwd: out });
    await rm(apt, { recursive: true });
    for (const file of await readdir(out)) {
      if (/\.(orig|debian)\.tar\.|\.diff\.|\.asc$/.test(file)) await rm(join(out, file));
    }
  });
}
