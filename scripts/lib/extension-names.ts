// SPDX-License-Identifier: MIT
// Where an extension may be named: in its own files and in the registry. Everything else asks the registry.

import { basename } from "node:path";
import type { Sources } from "./rooms.ts";

export const REGISTRY = "cli/extensions/registry.ts";

/** Basenames of the extensions, which are their names, by what TypeScript calls them. */
export function extensionsIn(registry: string): Map<string, string> {
  const lines = registry.matchAll(/^export \{ (\w+) \} from "\.\/([\w-]+)\.ts";$/gm);
  const found = new Map([...lines].map(([, id, name]) => [id!, name!]));
  if (found.size === 0) throw new Error(`${REGISTRY}: no list of extensions`);
  return found;
}

const uncommented = (text: string) => text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "$1");

/** Is it one of the extension's own files? */
const isOwn = (path: string, name: string) =>
  /^cli\/(?:extensions|wire)\//.test(path) && new RegExp(`^${name}(?:-[a-z-]+)?\\.ts$`).test(basename(path));

/** Texts whose words are for people. */
const STRING = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g;

/** How others can name an extension: as a text, by its files; and beside texts as a member or a key. */
const patternsOf = (id: string, name: string) => ({
  texts: new RegExp(`["']${name}["']|/${name}(?:-[a-z-]+)?\\.ts"`, "g"),
  beside: new RegExp(`\`${name}\`|\\.${id}\\b|(?<![\\w$.-])${id}\\??:`, "g"),
});
/** Numbers and identifiers by name: of whichever extension, they are a slice's. */
const MEMBERS = /\b(?:Ext\.(?!COUNT\b)|Exid\.)[A-Z_]+/g;

function problemsOf(path: string, text: string, extensions: ReadonlyMap<string, string>): string[] {
  const code = uncommented(text);
  const isSlice = [...extensions.values()].some((name) => isOwn(path, name));
  const foreign = [...extensions].filter(([, name]) => !isOwn(path, name));
  const beside = code.replace(STRING, '""');
  const found = foreign.flatMap(([id, name]) => {
    const patterns = patternsOf(id, name);
    const words = [...code.matchAll(patterns.texts), ...beside.matchAll(patterns.beside)];
    return words.map(([word]) => `${path} names ${name}: ${word}`);
  });
  const members = isSlice ? [] : [...code.matchAll(MEMBERS)].map(([word]) => `${path} names ${word}`);
  return [...found, ...members];
}

/** Names of extensions where they do not belong; one line each. */
export function nameProblems(sources: Sources): string[] {
  const extensions = extensionsIn(sources.get(REGISTRY) ?? "");
  return [...sources]
    .filter(([path]) => path !== REGISTRY && path.startsWith("cli/") && !path.endsWith(".generated.ts"))
    .flatMap(([path, text]) => problemsOf(path, text, extensions));
}
