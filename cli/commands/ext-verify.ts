// SPDX-License-Identifier: MIT

import { globalArgs, textArg } from "../base/args.ts";
import { Exit } from "../base/errors.ts";
import { type Candidate, examine, sumOf } from "../packages/candidate.ts";
import { type Entry, entryJson, entryOf, onWire } from "../packages/entry.ts";
import { KEYS } from "../packages/minisign.ts";
import { readPackage } from "./ext-source.ts";
import { leaf } from "./types.ts";

export const sha256Args = {
  sha256: {
    type: "string",
    valueHint: "HEX",
    description: "Its sum, as sha256sum(1) prints it: refused otherwise",
  },
} as const;

/** "signed by ours (key 0123...)" */
export function signatureText({ signedBy, unknownKey, package: { minisig } }: Candidate): string {
  if (signedBy) {
    const { key, id, comment } = signedBy;
    return `signed by ${key}, key ${id}${comment === "" ? "" : ` (${comment})`}`;
  }
  if (minisig === undefined) return "not signed";
  return `signed by key ${unknownKey}, which is not below ${KEYS}: not checked`;
}

/** "hooks say, see; on the wire: kind 77" */
export function hooksText(entry: Entry): string {
  const wire = onWire(entry);
  return `hooks ${entry.hooks.join(", ")}; ${wire === "-" ? "nothing is put on the wire" : `on the wire: ${wire}`}`;
}

export const extVerify = leaf({
  summary: "Check a package: its form, sums, signature, manifest and code. Nothing is loaded or changed.",
  args: {
    file: { type: "positional", valueHint: "FILE", description: "A package, NAME.tcpx" },
    ...sha256Args,
    ...globalArgs,
  },
  examples: [
    ["tcpx ext verify tag.tcpx", "Is it whole, and who has signed it?"],
    ["tcpx ext verify tag.tcpx --sha256 $SUM", "Is it that one?"],
  ],
  notes: [
    `Keys are files of minisign below ${KEYS}, NAME.pub. A wrong signature by one of them is an error; one by another ` +
      "key cannot be checked, and that is said. What this kernel makes of it is tried by `tcpx ext add --dry-run`.",
    "Needs no root.",
  ],
  async run(args, io) {
    const file = textArg(args, "file")!;
    const sha256 = sumOf(textArg(args, "sha256"));
    const candidate = await examine(readPackage(file), file, { sha256 });
    const entry = entryOf(candidate, null, null);
    io.json({ file, package: entryJson(entry), unknown_key: candidate.unknownKey });
    io.print(`${file}: ${entry.name} ${entry.version}, ${signatureText(candidate)}`);
    io.print(`sha256 ${candidate.sha256}\n${hooksText(entry)}`);
    return Exit.DONE;
  },
});
