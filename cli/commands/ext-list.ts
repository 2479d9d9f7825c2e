// SPDX-License-Identifier: MIT

import { basename } from "node:path";
import { globalArgs } from "../base/args.ts";
import { Exit } from "../base/errors.ts";
import { bridge } from "../bridge/bridge.ts";
import { extensions } from "../extensions/index.ts";
import { FIRST_SLOT } from "../extensions/slots.ts";
import { readScopes, type ScopeState } from "../loader/state.ts";
import type { Io } from "../output/io.ts";
import { tableRows } from "../output/table.ts";
import { type Entry, entryJson, heldEntry, onWire, strangeEntry, strayEntry } from "../packages/entry.ts";
import { EXTENSIONS } from "../packages/folder.ts";
import { type Held, heldHere, rulesOf, unknownIds, usedBy } from "../packages/here.ts";
import { installed } from "../packages/installed.ts";
import { missingCapabilities } from "../system/host.ts";
import { commands } from "./index.ts";
import { leaf } from "./types.ts";

/** Names that were added, for completion. */
export const addedNames = (): string[] =>
  extensions.filter(({ id }) => id >= FIRST_SLOT).map(({ name }) => name);

/** undefined: we may not look, which is said. */
async function scopesIfAllowed(io: Io): Promise<ScopeState[] | undefined> {
  const lib = await bridge();
  const [missing] = missingCapabilities(lib, "read");
  if (missing === undefined) return readScopes(lib);
  io.messages.info(`rules are not counted: not permitted (${missing} missing)`);
  return undefined;
}

/** What this host has, and what rules are left of. */
export async function entriesHere(io: Io, held: readonly Held[]): Promise<Entry[]> {
  const left = installed(Object.keys(commands)).filter(({ problem }) => problem);
  const why = (path: string) => left.find((one) => one.path === path)?.problem?.message;
  const states = await scopesIfAllowed(io);
  const count = (of: Pick<Held, "id" | "name">) => (states ? rulesOf(states, of).length : null);
  const here = held.map((one) => heldEntry(one, count(one), one.problem?.message ?? why(one.path)));
  const stray = unknownIds(held, usedBy(states ?? [])).map((id) =>
    strayEntry(id, count({ id, name: `ext-${id}` })),
  );
  const strange = left
    .filter(({ path }) => !held.some((one) => one.path === path))
    .map(({ path }) => strangeEntry(basename(path), why(path)!));
  return [...here, ...stray, ...strange];
}

export const extList = leaf({
  summary: "The extensions that were added to this host, and those that rules are left of.",
  args: { ...globalArgs },
  examples: [
    ["tcpx ext list", "Names, versions, what they say on the wire, and how many rules they have"],
    ["tcpx ext list --json | jq '.installed[].name'", "For scripts"],
  ],
  notes: [
    `Each is a file of ${EXTENSIONS}. One that cannot be used is listed with the reason. Extensions that are built in are ` +
      "commands as well, and not in this list: `tcpx --help`.",
    "Needs no root; rules are counted with CAP_BPF.",
  ],
  async run(_args, io) {
    const entries = await entriesHere(io, await heldHere());
    io.json({ installed: entries.map(entryJson) });
    if (entries.length === 0) io.print("no extensions were added to this host; see `tcpx ext add --help`");
    const rows = entries.map((entry) => [
      entry.id ?? "-",
      entry.name,
      entry.version ?? "-",
      entry.rules ?? "?",
      onWire(entry),
      entry.signedBy?.key ?? "-",
      entry.problem ?? entry.summary ?? "",
    ]);
    const head = ["ID", "NAME", "VERSION", "RULES", "ON THE WIRE", "SIGNED BY", "WHAT"];
    if (rows.length > 0) await io.rows(tableRows(head, rows, { numeric: [0, 3], prose: true }));
    return Exit.DONE;
  },
});
