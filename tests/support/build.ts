// SPDX-License-Identifier: MIT
// Compiles the C programs of the tests once per version of their sources.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { cached } from "../../scripts/lib/cache.ts";
import { run } from "../../scripts/lib/run.ts";

/** Folders with the sources of one program each. */
const PROGRAMS = ["peer", "wire", "load", "loop"] as const;
const FLAGS = ["-O1", "-Wall", "-Wextra", "-Werror", "-static", "-pthread"];

export type Support = Record<(typeof PROGRAMS)[number], string>;

let building: Promise<string> | undefined;

/** The folder with the test programs. They are static, so they run in a bare initrd too. */
export function supportFolder(): Promise<string> {
  building ??= build();
  return building;
}

/** The paths of the test programs. */
export async function buildSupport(): Promise<Support> {
  const dir = await supportFolder();
  return Object.fromEntries(PROGRAMS.map((name) => [name, join(dir, name)])) as Support;
}

async function build(): Promise<string> {
  const files = PROGRAMS.flatMap((name) => sources(name, /\.[ch]$/)).map((path) => `file:${path}`);
  return cached("test-support", [...FLAGS, ...PROGRAMS, ...files], async (out) => {
    const compile = (name: string) =>
      run([process.env.CC || "cc", ...FLAGS, "-o", join(out, name), ...sources(name, /\.c$/)]);
    await Promise.all(PROGRAMS.map(compile));
  });
}

/** The program of tests/support/routes; not one of the others: guests have no source of the bridge. */
export async function buildRoutes(): Promise<string> {
  const parts = /^(routes?|netlink|guard)\b.*\.[ch]$/;
  const files = [...sources("routes", /\.c$/), ...sources("../../native-loader", parts)];
  const folder = await cached(
    "test-routes",
    [...FLAGS, ...files.map((path) => `file:${path}`)],
    async (out) => {
      const units = files.filter((path) => path.endsWith(".c"));
      await run([process.env.CC || "cc", ...FLAGS, "-o", join(out, "routes"), ...units]);
    },
  );
  return join(folder, "routes");
}

function sources(name: string, kind: RegExp): string[] {
  const dir = join(import.meta.dir, name);
  const files = readdirSync(dir).filter((file) => kind.test(file));
  return files.sort().map((file) => join(dir, file));
}
