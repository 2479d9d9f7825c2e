// SPDX-License-Identifier: MIT
// Where an extension may be named: in its own files and in the registry. Everything else asks the registry.

import { basename } from "node:path";
import type { Sources } from "./rooms.ts";

export const REGISTRY = "cli/extensions/index.ts";

/** Files that name some still, each until it does not. */
export const KNOWN: readonly string[] = [];

/** Basenames of the extensions, which are their names, by what the registry calls them. */
export function extensionsIn(registry: string): Map<string, string> {
  const [, list = ""] = /extensions: readonly Extension\[\] = \[([^\]]*)\]/.exec(registry) ?? [];
  const files = new Map(
    [...registry.matchAll(/^import \{ (\w+) \} from "\.\/([\w-]+)\.ts";$/gm)].map(([, id, file]) => [
      id!,
      file!,
    ]),
  );
  const found = list.split(",").flatMap((word) => {
    const file = files.get(word.trim());
    return file === undefined ? [] : [[word.trim(), file] as const];
  });
  if (found.length === 0) throw new Error(`${REGISTRY}: no list of extensions`);
  return new Map(found);
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
export function nameProblems(sources: Sources, known: readonly string[] = KNOWN): string[] {
  const extensions = extensionsIn(sources.get(REGISTRY) ?? "");
  const named = new Map(
    [...sources]
      .filter(([path]) => path !== REGISTRY && path.startsWith("cli/") && !path.endsWith(".generated.ts"))
      .map(([path, text]) => [path, problemsOf(path, text, extensions)]),
  );
  const gone = known.filter((path) => !named.get(path)?.length);
  return [
    ...[...named].flatMap(([path, problems]) => (known.includes(path) ? [] : problems)),
    ...gone.map((path) => `${path} names none: take it out of scripts/lib/extension-names.ts`),
  ];
}
