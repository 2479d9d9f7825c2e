// SPDX-License-Identifier: MIT
// What tcpx remembers of paths (the pinned map `paths`), as bpftool reads and writes it.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "./process.ts";
import { every, requirement } from "./requires.ts";

const TOP = "/sys/fs/bpf/tcpx";

export const pathsRequirement = every(
  "paths",
  requirement("bpftool", Bun.which("bpftool") !== null, "the program bpftool"),
);

interface Element {
  key: string[];
  value: string[];
  formatted: { key: { port: number }; value: { state: number; cause: number } };
}

/** Undefined when there is none. */
export function pathsPin(): string | undefined {
  const layouts = existsSync(TOP) ? readdirSync(TOP) : [];
  return layouts.map((layout) => join(TOP, layout, "paths")).find((path) => existsSync(path));
}

async function elements(pin: string): Promise<Element[]> {
  return JSON.parse(await run(["bpftool", "-j", "map", "dump", "pinned", pin]));
}

/** State and cause of what is remembered of a port, in short: "suspected refused". */
export async function pathsOf(port: number): Promise<string[]> {
  const pin = pathsPin();
  const all = pin ? await elements(pin) : [];
  const states = ["unknown", "suspected", "avoided"];
  return all
    .filter(({ formatted }) => formatted.key.port === port)
    .map(({ formatted: { value } }) => `${states[value.state]} ${value.cause === 0 ? "refused" : "lost"}`);
}

export async function pathCount(): Promise<number> {
  const pin = pathsPin();
  return pin ? (await elements(pin)).length : 0;
}

/** How many seconds it still holds. */
export async function pathSeconds(port: number): Promise<number> {
  const all = await elements(pathsPin()!);
  const found = all.find(({ formatted }) => formatted.key.port === port)!;
  const until = Buffer.from(found.value.map(Number)).readBigUInt64LE(0);
  const uptime = Number((await Bun.file("/proc/uptime").text()).split(" ")[0]); // with suspend; a lab has none
  return Number(until / 1_000_000n) / 1000 - uptime;
}

/** As if the time of all that is remembered was over. */
export async function agePaths(): Promise<void> {
  const pin = pathsPin()!;
  for (const { key, value } of await elements(pin)) {
    const aged = ["0x01", ...Array(7).fill("0x00"), ...value.slice(8)];
    await run(["bpftool", "map", "update", "pinned", pin, "key", "hex", ...key, "value", "hex", ...aged]);
  }
}
