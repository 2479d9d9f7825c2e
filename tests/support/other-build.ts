// SPDX-License-Identifier: MIT
// The executable of another time: this tree, built with another layout and version in a folder of its own.
import { cp, mkdtemp, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { run } from "../../scripts/lib/run.ts";

const ROOT = resolve(import.meta.dir, "../..");
const NOT_NEEDED = [".git", "node_modules", "build", "dist", "docs", "tests"];
const SHARED = "embedded-bpf/shared";

async function replace(path: string, what: RegExp, by: string): Promise<void> {
  const text = await readFile(path, "utf8");
  if (!what.test(text)) throw new Error(`${path} has no ${what}`);
  await writeFile(path, text.replace(what, by));
}

/**
 * Builds, in a new folder below `parent`, a tcpx whose layout number is this much higher than ours, whose
 * connections have a record of another size, and whose version is `version`.
 * @param root of the tree, when it is a copy with more in it
 * @returns its path
 */
export async function buildOther(
  parent: string,
  higher: number,
  version: string,
  root = ROOT,
): Promise<string> {
  const dir = await mkdtemp(join(parent, "other-"));
  const parts = (await readdir(root)).filter((part) => !NOT_NEEDED.includes(part));
  for (const part of parts) await cp(join(root, part), join(dir, part), { recursive: true });
  await symlink(join(ROOT, "node_modules"), join(dir, "node_modules"));
  const [rule, conn] = [join(dir, SHARED, "rule.h"), join(dir, SHARED, "conn.h")];
  const own = Number(/#define TCPX_LAYOUT (\d+)/.exec(await readFile(rule, "utf8"))![1]);
  await replace(rule, /(#define TCPX_LAYOUT) \d+/, `$1 ${own + higher}`);
  await replace(conn, /(\n\t__u32 received;[^\n]*)/, "$1\n\t__u64 of_another_time;");
  await replace(conn, /(sizeof\(struct tcpx_conn\)) == 440/, "$1 == 448");
  await replace(join(dir, "package.json"), /"version": "[^"]*"/, `"version": "${version}"`);
  await run([process.execPath, "scripts/build.ts"], { cwd: dir });
  return join(dir, "dist/tcpx");
}
