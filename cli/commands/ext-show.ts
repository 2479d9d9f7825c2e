// SPDX-License-Identifier: MIT

import { existsSync } from "node:fs";
import { globalArgs, textArg } from "../base/args.ts";
import { meant } from "../base/did-you-mean.ts";
import { Exit, type TcpxError, usageError } from "../base/errors.ts";
import { extensions } from "../extensions/index.ts";
import { FIRST_SLOT } from "../extensions/slots.ts";
import type { Io } from "../output/io.ts";
import { type Candidate, examine } from "../packages/candidate.ts";
import { type Entry, entryJson, entryOf } from "../packages/entry.ts";
import { heldHere } from "../packages/here.ts";
import { addedNames, entriesHere } from "./ext-list.ts";
import { readPackage } from "./ext-source.ts";
import { hooksText, signatureText } from "./ext-verify.ts";
import { leaf } from "./types.ts";

/** The error for a name that is none of these. */
export function noSuch(name: string, names: readonly string[]): TcpxError {
  const builtIn = extensions.find((one) => one.name === name && one.id < FIRST_SLOT);
  if (builtIn) return usageError(`${name} is built in`, name, `see \`tcpx ${name} --help\``);
  const have =
    names.length > 0 ? `this host has ${names.join(", ")}` : "no extensions were added to this host";
  return usageError(`there is no extension ${name}`, name, meant(name, names, have));
}

interface Found {
  entry: Entry;
  candidate: Candidate | undefined;
}

/** A name of this host's, or a file. */
async function find(what: string, io: Io): Promise<Found> {
  const isFile = what.includes("/") || what.endsWith(".tcpx");
  if (isFile || (existsSync(what) && !/^[a-z][a-z0-9-]*$/.test(what))) {
    const candidate = await examine(readPackage(what), what);
    return { candidate, entry: entryOf(candidate, null, null) };
  }
  const all = await heldHere();
  const entries = await entriesHere(io, all);
  const entry = entries.find(({ name }) => name === what);
  if (!entry)
    throw noSuch(
      what,
      entries.map(({ name }) => name),
    );
  return { entry, candidate: all.find(({ name }) => name === what)?.candidate };
}

function* lines({ entry, candidate }: Found): Generator<string> {
  yield `${entry.name}${entry.version === null ? "" : ` ${entry.version}`}${entry.summary === null ? "" : `: ${entry.summary}`}`;
  if (entry.problem !== null) yield `not used: ${entry.problem}`;
  if (!candidate) return;
  const { manifest, package: unpacked, sha256 } = candidate;
  const { title, author, license } = manifest;
  yield title;
  if (author !== undefined || license !== undefined) yield [author, license].filter(Boolean).join(", ");
  yield `number ${entry.id ?? "none yet"}, api ${entry.api}, kinds of rules ${entry.kinds.join(", ")}; rules in force: ${entry.rules ?? "?"}`;
  yield hooksText(entry);
  yield `sha256 ${sha256}; ${signatureText(candidate)}`;
  if (unpacked.readme !== undefined) yield `\n${unpacked.readme.trimEnd()}`;
}

export const extShow = leaf({
  summary: "An extension of this host, or of a package: what it is, who has signed it, and its README.",
  args: {
    what: {
      type: "positional",
      valueHint: "NAME|FILE",
      words: addedNames(),
      description: "An extension's name, or a package's file",
    },
    ...globalArgs,
  },
  examples: [
    ["tcpx ext show tag", "One that was added"],
    ["tcpx ext show ./tag.tcpx", "A package, before it is added"],
  ],
  notes: ["What has a / in it, or ends in .tcpx, is a file. Needs no root; rules are counted with CAP_BPF."],
  async run(args, io) {
    const found = await find(textArg(args, "what")!, io);
    const { author, license, title } = found.candidate?.manifest ?? {};
    const more = { title: title ?? null, author: author ?? null, license: license ?? null };
    io.json({
      package: entryJson(found.entry),
      ...more,
      readme: found.candidate?.package.readme ?? null,
    });
    for (const line of lines(found)) io.print(line);
    return Exit.DONE;
  },
});
