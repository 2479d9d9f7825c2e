// SPDX-License-Identifier: MIT
// Source packages of the distribution that we build on, fetched and verified by its own apt.
//
// Distributions rarely have source entries switched on, and their configuration is not ours to
// change: apt runs with a configuration of its own, in a folder of its own, made of the host's
// mirrors, keys and proxies.

import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cached } from "./cache.ts";
import { run } from "./run.ts";

export interface SourceEntry {
  uris: string[];
  suites: string[];
  components: string[];
  /** Signed-By as it stands there: key files, fingerprints, or a whole key in lines. */
  signedBy: string | undefined;
}

/** One-line format: `deb [arch=amd64 signed-by=/key] URI suite component...`. */
export function parseList(text: string): SourceEntry[] {
  const entries: SourceEntry[] = [];
  for (const line of text.split("\n")) {
    const match = line.match(/^\s*deb(?:-src)?\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/);
    if (!match) continue;
    const [, options = "", uri, suite, components] = match;
    const signedBy = options.match(/(?:^|\s)signed-by=(\S+)/)?.[1]?.replaceAll(",", " ");
    entries.push({ uris: [uri!], suites: [suite!], components: components!.trim().split(/\s+/), signedBy });
  }
  return entries;
}

/** deb822 format: stanzas of `Field: value`, where lines that begin with a blank continue. */
export function parseSources(text: string): SourceEntry[] {
  const entries: SourceEntry[] = [];
  const body = text.replace(/^#.*\n?/gm, "");
  for (const stanza of body.split(/\n(?:[ \t]*\n)+/)) {
    const fields = new Map<string, string>();
    for (const [, key, value] of stanza.matchAll(/^([A-Za-z-]+):((?:.*)(?:\n[ \t].*)*)/gm)) {
      fields.set(key!.toLowerCase(), value!.replace(/^[ \t]+/, ""));
    }
    const words = (key: string) => fields.get(key)?.split(/\s+/).filter(Boolean) ?? [];
    if (/^(no|false|0|off)$/i.test(fields.get("enabled")?.trim() ?? "")) continue;
    entries.push({
      uris: words("uris"),
      suites: words("suites"),
      components: words("components"),
      signedBy: fields.get("signed-by"),
    });
  }
  return entries;
}

export interface Release {
  id: string;
  codename: string;
}

export async function hostRelease(): Promise<Release> {
  const text = await readFile("/etc/os-release", "utf8").catch(() => "");
  const field = (key: string) => text.match(new RegExp(`^${key}="?([^"\n]*)"?$`, "m"))?.[1];
  const ubuntu = field("UBUNTU_CODENAME");
  const id = ubuntu ? "ubuntu" : (field("ID") ?? "unknown");
  const codename = ubuntu ?? field("VERSION_CODENAME");
  if ((id !== "debian" && id !== "ubuntu") || !codename) {
    throw new Error(`the bridge is built from Debian's or Ubuntu's source packages; this is ${id}`);
  }
  return { id, codename };
}

/** The distribution's own entries: they have `main`, and a suite of this release. */
export function ownEntries(entries: SourceEntry[], codename: string): SourceEntry[] {
  const own = new RegExp(`^${codename}(-updates|-security|/updates)?$`);
  return entries
    .filter((entry) => entry.components.includes("main"))
    .map((entry) => ({
      ...entry,
      components: ["main"],
      uris: entry.uris.filter((uri) => !/^(cdrom|file):/.test(uri)),
      suites: entry.suites.filter((suite) => own.test(suite)),
    }))
    .filter((entry) => entry.uris.length > 0 && entry.suites.length > 0);
}

export function formatEntry(entry: SourceEntry): string {
  const lines = ["Types: deb-src", `URIs: ${entry.uris.join(" ")}`, `Suites: ${entry.suites.join(" ")}`];
  lines.push(`Components: ${entry.components.join(" ")}`);
  if (entry.signedBy) lines.push(`Signed-By: ${entry.signedBy}`);
  return `${lines.join("\n")}\n`;
}

async function hostEntries(): Promise<SourceEntry[]> {
  const parts = "/etc/apt/sources.list.d";
  const names = existsSync(parts) ? (await readdir(parts)).sort() : [];
  const entries: SourceEntry[] = [];
  for (const file of ["/etc/apt/sources.list", ...names.map((name) => join(parts, name))]) {
    if (!existsSync(file)) continue;
    if (file.endsWith(".list")) entries.push(...parseList(await readFile(file, "utf8")));
    if (file.endsWith(".sources")) entries.push(...parseSources(await readFile(file, "utf8")));
  }
  return entries;
}

/**
 * The host's proxies and transport settings, and nothing else of its configuration: its hooks
 * would run, and a relaxed signature check is not for us.
 */
async function transportSettings(): Promise<string> {
  const dump = await run(["apt-config", "dump"]);
  return dump
    .split("\n")
    .filter((line) => /^Acquire::(https?|Force-?IPv[46]|Retries)\b/i.test(line))
    .join("\n");
}

/** Writes the private configuration below `root`; returns the environment that makes apt use it. */
async function privateApt(root: string, release: Release): Promise<Record<string, string>> {
  const entries = ownEntries(await hostEntries(), release.codename);
  if (entries.length === 0) {
    throw new Error(`no entry of ${release.id} ${release.codename} with "main" in /etc/apt/sources.list(.d)`);
  }
  for (const dir of ["parts", "lists/partial", "cache/archives/partial"]) {
    await mkdir(join(root, dir), { recursive: true });
  }
  await writeFile(join(root, "status"), "");
  for (const [i, entry] of entries.entries()) {
    await writeFile(join(root, "parts", `${i}.sources`), formatEntry(entry));
  }
  const config = `${await transportSettings()}
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "${root}/parts";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "${root}/lists";
Dir::State::status "${root}/status";
Dir::Cache "${root}/cache";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::AllowInsecureRepositories "false";
APT::Get::AllowUnauthenticated "false";
`;
  await writeFile(join(root, "apt.conf"), config);
  return { APT_CONFIG: join(root, "apt.conf"), DEBIAN_FRONTEND: "noninteractive" };
}

/** Somebody else's archive may use the same suite and component names; its Release says who it is. */
async function dropForeign(root: string, env: Record<string, string>, release: Release): Promise<void> {
  const format = "$(ORIGIN) $(SOURCESENTRY)";
  const targets = await run(["apt-get", "indextargets", "--format", format, "Created-By: Sources"], { env });
  let left = 0;
  for (const line of targets.split("\n").filter(Boolean)) {
    const [, origin, file] = line.match(/^(.*?) (\/\S+?)(:\d+)?$/) ?? [];
    if (origin?.toLowerCase() === release.id) left++;
    else if (file?.startsWith(`${root}/parts/`)) await rm(file, { force: true });
  }
  if (left === 0)
    throw new Error(`the mirrors of ${release.id} ${release.codename} offer no source packages`);
}

/**
 * A folder with the unpacked source packages `<name>-<version>/` and their `.dsc` files. It is
 * kept by release; remove it (or change TCPX_CACHE_DIR) to ask the mirrors again.
 */
export async function distroSources(name: string, packages: string[]): Promise<string> {
  const release = await hostRelease();
  const label = `${name}-${release.id}-${release.codename}`;
  return cached(label, ["1", release.id, release.codename, ...packages], async (out) => {
    const apt = join(out, ".apt");
    const env = await privateApt(apt, release);
    await run(["apt-get", "-q", "update", "--error-on=any"], { env });
    await dropForeign(apt, env, release);
    await run(["apt-get", "-q", "source", "--only-source", ...packages], { env, cwd: out });
    await rm(apt, { recursive: true });
    for (const file of await readdir(out)) {
      if (/\.(orig|debian)\.tar\.|\.diff\.|\.asc$/.test(file)) await rm(join(out, file));
    }
  });
}
