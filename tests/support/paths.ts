// SPDX-License-Identifier: MIT
// What tcpx remembers of paths (the pinned map `paths`), as bpftool reads and writes it.
import { existsSync } from "node:fs";
import { LAYOUT_VERSION } from "../../cli/layout/layout.generated.ts";
import { run } from "./process.ts";
import { every, requirement } from "./requires.ts";

const PIN = `/sys/fs/bpf/tcpx/v${LAYOUT_VERSION}/paths`;

export const pathsRequirement = every(
  "paths",
  requirement("bpftool", Bun.which("bpftool") !== null, "the program bpftool"),
);

interface Element {
  key: string[];
  value: string[];
  formatted: { key: { port: number }; value: { state: number; cause: number } };
}

async function elements(): Promise<Element[]> {
  return existsSync(PIN) ? JSON.parse(await run(["bpftool", "-j", "map", "dump", "pinned", PIN])) : [];
}

/** State and cause of what is remembered of a port, in short: "suspected refused". */
export async function pathsOf(port: number): Promise<string[]> {
  const states = ["unknown", "suspected", "avoided", "believed"];
  return (await elements())
    .filter(({ formatted }) => formatted.key.port === port)
    .map(({ formatted: { value } }) => `${states[value.state]} ${value.cause === 0 ? "refused" : "lost"}`);
}

export async function pathCount(): Promise<number> {
  return (await elements()).length;
}

/** How many seconds it still holds. */
export async function pathSeconds(port: number): Promise<number> {
  const found = (await elements()).find(({ formatted }) => formatted.key.port === port)!;
  const until = Buffer.from(found.value.map(Number)).readBigUInt64LE(0);
  const uptime = Number((await Bun.file("/proc/uptime").text()).split(" ")[0]); // with suspend; a lab has none
  return Number(until / 1_000_000n) / 1000 - uptime;
}

/** As if the time of all that is remembered was over. */
export async function agePaths(): Promise<void> {
  for (const { key, value } of await elements()) {
    const aged = ["0x01", ...Array(7).fill("0x00"), ...value.slice(8)];
    await run(["bpftool", "map", "update", "pinned", PIN, "key", "hex", ...key, "value", "hex", ...aged]);
  }
}
