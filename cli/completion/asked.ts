// SPDX-License-Identifier: MIT
// What completes and is not in the table: cgroups, units, processes, and selectors of rules that are there. Names that a terminal
// would obey or hide are not offered: nobody could see what is completed.

import { type Dirent, readdirSync } from "node:fs";
import { type Args, selectorArgs, textArg } from "../base/args.ts";
import { visible } from "../output/safe.ts";
import type { Rule } from "../policy/rule.ts";
import { formatCidr } from "../policy/selector.ts";
import { childEnvironment, programOf } from "../system/child.ts";
import { findCgroupRoot } from "../system/host.ts";
import type { Table } from "./tree.ts";

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

/** What of a rule a flag would name; undefined: nothing. */
function partOf({ selector }: Rule, flag: string): string | undefined {
  if (flag === "port") return selector.port === 0 ? undefined : String(selector.port);
  return selector.family !== 0 && selector.direction === flag ? formatCidr(selector) : undefined;
}

/** What the commands know and completion asks them for. */
export interface Asked {
  table: Table;
  /**
   * The rules that a command finds which has these arguments.
   * @throws TcpxError where they may not be read, or the arguments make no sense
   */
  rules(args: Args): Promise<Rule[]>;
}

interface Unset {
  ext: string;
  args: Args;
  /** The kind, where it is given. */
  places: string[];
}

/** Values of --to, --from or --port for which `unset` finds a rule; as rules() throws. */
export async function rulesFor(
  flag: string,
  typed: string,
  { ext, args, places: [kind] }: Unset,
  asked: Asked,
): Promise<string[]> {
  const given = Object.keys(selectorArgs).flatMap((name) => {
    const list = textArg(args, name)?.split(",");
    return list && name !== flag ? [{ name, list }] : [];
  });
  const fits = (rule: Rule) =>
    rule.ext === ext &&
    (kind === undefined || rule.kind === kind) &&
    given.every(({ name, list }) => list.includes(partOf(rule, name) ?? ""));
  const comma = typed.lastIndexOf(",") + 1;
  const [head, start] = [typed.slice(0, comma), typed.slice(comma)];
  const members = head.split(",");
  const found = new Set<string>();
  for (const rule of await asked.rules(args)) {
    const part = fits(rule) ? partOf(rule, flag) : undefined;
    if (part?.startsWith(start) && !members.includes(part)) found.add(head + part);
    if (found.size >= MOST) break;
  }
  return [...found];
}

/** Units of systemd that processes may run in. */
export function unitNames(): string[] {
  const program = programOf("systemctl");
  if (program === null) return [];
  const how = ["--all", "--plain", "--no-legend", "--no-pager", "--type=service,scope,slice"];
  const { stdout } = Bun.spawnSync([program, "list-units", ...how], {
    cwd: "/",
    env: childEnvironment(),
    stdin: "ignore",
    stderr: "ignore",
    timeout: 2000,
  });
  const names = stdout
    .toString()
    .split("\n")
    .map((line) => line.split(" ")[0]!);
  return names.filter((name) => name !== "" && visible(name) === name);
}

export const processIds = (): string[] => readdirSync("/proc").filter((name) => /^\d+$/.test(name));
