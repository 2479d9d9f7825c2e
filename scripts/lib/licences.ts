// SPDX-License-Identifier: MIT
// The notices and licences of all that an executable holds: libraries, npm packages, Bun.

import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";

interface Manifest {
  name: string;
  version: string;
  license?: string;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

async function manifest(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
}

/** Where the bundler finds a package for a file in `from`; not all of them export their package.json. */
function packageFolder(name: string, from: string): string {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, "node_modules", name);
    if (existsSync(candidate)) return candidate;
    if (folder === dirname(folder)) throw new Error(`no npm package ${name}; \`bun install\` brings it`);
  }
}

/** The packages that the one in `root` needs at run time, and those that they need, by name. */
export async function shippedPackages(root: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const visit = async (folder: string) => {
    const { dependencies, optionalDependencies } = await manifest(folder);
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      if (found.has(name)) continue;
      const dependency = packageFolder(name, folder);
      found.set(name, dependency);
      await visit(dependency);
    }
  };
  await visit(root);
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function packageText(folder: string): Promise<string> {
  const { name, version, license } = await manifest(folder);
  const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file)).sort();
  if (files.length === 0) throw new Error(`the npm package ${name} comes without its licence`);
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
  return [`===== ${name} ${version}: ${license ?? "see below"}, from npm =====`, ...texts].join("\n\n");
}

/** What Bun says of itself, in the documentation of the version that is used. */
async function bunText(root: string): Promise<string> {
  const folder = packageFolder("bun-types", root);
  const { version } = await manifest(folder);
  if (version !== Bun.version) throw new Error(`bun-types is of Bun ${version}, and this is ${Bun.version}`);
  const page = await readFile(join(folder, "docs/project/license.mdx"), "utf8");
  const text = page
    .replace(/^---\n[\s\S]*?\n---\n/, "")
    .replace(/ +\|/g, " |")
    .replace(/-{4,}/g, "---");
  return `===== Bun ${version}, its runtime, unmodified: MIT =====\n\n${text.trim()}`;
}

/** `libraries` is what the bridge brings. */
export async function allLicences(root: string, libraries: string): Promise<string> {
  const packages = await Promise.all([...(await shippedPackages(root)).values()].map(packageText));
  const own = `===== tcpx =====\n\n${await readFile(join(root, "LICENSE"), "utf8")}`;
  const parts = [own, libraries, ...packages, await bunText(root)];
  return `${parts.map((text) => text.trim()).join("\n\n")}\n`;
}
