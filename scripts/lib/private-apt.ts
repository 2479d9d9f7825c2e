// SPDX-License-Identifier: MIT
// An apt of our own, for what the host's is not set up to fetch: source packages, other suites.
//
// The host's configuration is not ours to change: apt runs with one of its own, in a folder of its own,
// made of the host's mirrors, keys and proxies. Signatures and expiry dates are checked as always.

import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./run.ts";

const SOURCES = "/etc/apt/sources.list";

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
  codename: string | undefined;
}

/** What the host is, or is derived from where its packages are Ubuntu's. */
export async function hostRelease(): Promise<Release> {
  const text = await readFile("/etc/os-release", "utf8").catch(() => "");
  const field = (key: string) => text.match(new RegExp(`^${key}="?([^"\n]*)"?$`, "m"))?.[1];
  const ubuntu = field("UBUNTU_CODENAME");
  return {
    id: ubuntu ? "ubuntu" : (field("ID") ?? "unknown"),
    codename: ubuntu ?? field("VERSION_CODENAME"),
  };
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

export type PackageType = "deb" | "deb-src";

export function formatEntry(entry: SourceEntry, type: PackageType = "deb-src"): string {
  const lines = [`Types: ${type}`, `URIs: ${entry.uris.join(" ")}`, `Suites: ${entry.suites.join(" ")}`];
  lines.push(`Components: ${entry.components.join(" ")}`);
  if (entry.signedBy) lines.push(`Signed-By: ${entry.signedBy}`);
  return `${lines.join("\n")}\n`;
}

/** All that the host's apt reads, whoever's they are. */
export async function hostEntries(): Promise<SourceEntry[]> {
  const parts = `${SOURCES}.d`;
  const names = existsSync(parts) ? (await readdir(parts)).sort() : [];
  const files = [SOURCES, ...names.map((name) => join(parts, name))].filter(existsSync);
  const parsed = files.map(async (file) => {
    if (file.endsWith(".sources")) return parseSources(await readFile(file, "utf8"));
    return file.endsWith(".list") ? parseList(await readFile(file, "utf8")) : [];
  });
  return (await Promise.all(parsed)).flat();
}

/**
 * The host's proxies and transport settings, and nothing else of its configuration: its hooks
 * would run, and a relaxed signature check is not for us.
 */
async function transportSettings(): Promise<string[]> {
  const dump = await run(["apt-config", "dump"]);
  return dump.split("\n").filter((line) => /^Acquire::(https?|Force-?IPv[46]|Retries)\b/i.test(line));
}

/**
 * Writes a private configuration with these entries below `root`, their files into `root/parts`;
 * returns the environment that makes apt use it.
 */
export async function privateApt(
  root: string,
  entries: SourceEntry[],
  type: PackageType,
  more: Record<string, string> = {},
): Promise<Record<string, string>> {
  for (const dir of ["parts", "lists/partial", "cache/archives/partial"]) {
    await mkdir(join(root, dir), { recursive: true });
  }
  await writeFile(join(root, "status"), "");
  for (const [i, entry] of entries.entries()) {
    await writeFile(join(root, "parts", `${i}.sources`), formatEntry(entry, type));
  }
  const settings = {
    "Dir::Etc::main": "/dev/null",
    "Dir::Etc::parts": "/dev/null",
    "Dir::Etc::sourcelist": "/dev/null",
    "Dir::Etc::sourceparts": `${root}/parts`,
    "Dir::Etc::preferences": "/dev/null",
    "Dir::Etc::preferencesparts": "/dev/null",
    "Dir::State::lists": `${root}/lists`,
    "Dir::State::status": `${root}/status`,
    "Dir::Cache": `${root}/cache`,
    "APT::Sandbox::User": "root",
    "Acquire::Languages": "none",
    "Acquire::AllowInsecureRepositories": "false",
    "APT::Get::AllowUnauthenticated": "false",
    ...more,
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key} "${value}";`);
  await writeFile(join(root, "apt.conf"), [...(await transportSettings()), ...lines, ""].join("\n"));
  return { APT_CONFIG: join(root, "apt.conf"), DEBIAN_FRONTEND: "noninteractive" };
}
