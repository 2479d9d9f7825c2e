// SPDX-License-Identifier: MIT
// What completes and is not in the table: cgroups, and selectors of rules that are there. Names that a terminal
// would obey or hide are not offered: nobody could see what is completed.

import { type Dirent, readdirSync } from "node:fs";
import type { ArgsDef } from "citty";
import { spellings, tokenize } from "../base/arg-words.ts";
import { scopeFlags, selectorArgs, textArg } from "../base/args.ts";
import { extensionCommands, findCommand } from "../commands/index.ts";
import { openHost } from "../flags/host-access.ts";
import { visible } from "../output/safe.ts";
import type { Rule } from "../policy/rule.ts";
import { formatCidr } from "../policy/selector.ts";
import { findCgroupRoot } from "../system/host.ts";

/** What is more than this is no help. */
const MOST = 200;

function directoriesIn(path: string, start: string): string[] {
  let entries: Dirent[] = [];
  try {
    entries = readdirSync(path, { withFileTypes: true });
  } catch {
    return []; // not there, or behind a door
  }
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return names.filter((name) => name.startsWith(start) && visible(name) === name).sort();
}

/**
 * Cgroups that --cgroup takes: by their paths below the mount of cgroup2, and by those with it.
 * @param root the mount; cgroups of another process's view are named as they are there
 */
export function cgroupsFor(typed: string, root = findCgroupRoot()): string[] {
  if (root === undefined) return [];
  const mount = root.replace(/^\/proc\/\d+\/root/, "");
  const at = typed.lastIndexOf("/") + 1;
  const [folder, start] = typed === "" ? ["/", ""] : [typed.slice(0, at), typed.slice(at)];
  if (folder.split("/").includes("..")) return [];
  const below = `${mount}/`.startsWith(folder) ? mount.slice(folder.length).split("/")[0]! : "";
  const onTheWay = folder !== "" && below !== "" && below.startsWith(start) ? [folder + below] : [];
  const path = folder.startsWith(`${mount}/`) ? folder.slice(mount.length) : `/${folder}`;
  const found = directoriesIn(root + path, start).map((name) => folder + name);
  return [...new Set([...onTheWay, ...found])].slice(0, MOST);
}

/** The words of a line as far as they can be understood: flags by name, and the others. */
function understood(words: string[], defs: ArgsDef) {
  const known = spellings(defs);
  const args: Record<string, string> = {};
  const places: string[] = [];
  for (const token of tokenize(words, known)) {
    if (token.kind === "positional") places.push(token.value);
    if (token.kind !== "option" || typeof token.value !== "string") continue;
    const flag = known.get(token.name);
    if (flag?.value === "required") args[flag.name] = token.value;
  }
  return { args, places, has: (flag: string) => words.includes(`--${flag}`) };
}

/** What of a rule a flag would name; undefined: nothing. */
function partOf({ selector }: Rule, flag: string): string | undefined {
  if (flag === "port") return selector.port === 0 ? undefined : String(selector.port);
  return selector.family !== 0 && selector.direction === flag ? formatCidr(selector) : undefined;
}

/**
 * Values of --to, --from or --port for which `unset` finds a rule.
 * @param words behind "tcpx", without the one at the cursor
 * @throws TcpxError where the rules may not be read, or the words make no sense
 */
export async function rulesFor(flag: string, typed: string, words: string[]): Promise<string[]> {
  const isExtension = Object.keys(await extensionCommands());
  const at = words.findIndex((word) => !word.startsWith("-"));
  const [ext = "", verb] = words.slice(at);
  const command = isExtension.includes(ext) ? await findCommand(ext) : undefined;
  const leaf = command?.kind === "group" && verb !== undefined ? command.commands[verb] : undefined;
  if (!leaf || !Object.hasOwn(selectorArgs, flag)) return [];
  const { args, places, has } = understood(words.slice(at + 2), leaf.args);
  const host = await openHost(scopeFlags(args));
  const scope = host.scope();
  const own = has("all-netns") ? undefined : host.netns()?.cookie;
  const isHere = ({ netns }: Rule) => scope.name !== "/" || netns?.cookie === own;
  const [kind] = places;
  const given = Object.keys(selectorArgs).flatMap((name) => {
    const list = textArg(args, name)?.split(",");
    return list && name !== flag ? [{ name, list }] : [];
  });
  const fits = (rule: Rule) =>
    rule.ext === ext &&
    (kind === undefined || rule.kind === kind) &&
    isHere(rule) &&
    given.every(({ name, list }) => list.includes(partOf(rule, name) ?? ""));
  const comma = typed.lastIndexOf(",") + 1;
  const [head, start] = [typed.slice(0, comma), typed.slice(comma)];
  const members = head.split(",");
  const found = new Set<string>();
  const state = host.states().find(({ id }) => id === scope.id);
  for (const rule of state?.rules ?? []) {
    const part = fits(rule) ? partOf(rule, flag) : undefined;
    if (part?.startsWith(start) && !members.includes(part)) found.add(head + part);
    if (found.size >= MOST) break;
  }
  return [...found];
}
