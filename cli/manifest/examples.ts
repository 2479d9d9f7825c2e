// SPDX-License-Identifier: MIT
// Examples of a manifest, tried: help that is wrong is worse than none.

import { parseArgs } from "citty";
import { checkArguments, flagArg, globalArgs, liveArgs, placeArgs, selectorWords } from "../base/args.ts";
import { TcpxError } from "../base/errors.ts";
import { placeRules } from "../extensions/place.ts";
import { FIRST_SLOT } from "../extensions/slots.ts";
import type { Extension } from "../extensions/types.ts";
import { parseSelectors } from "../policy/selector.ts";
import { problemAt, type Source } from "../toml/problem.ts";
import { extensionFrom } from "./extension.ts";
import type { Manifest } from "./types.ts";

/** @param line behind the extension's name */
function tryLine(extension: Extension, line: string): void {
  const [name = "", ...words] = line.split(" ");
  const verb = extension.verbs[name]!;
  const defs = { ...verb.args, ...placeArgs, ...(verb.checkLive && liveArgs), ...globalArgs };
  const args = parseArgs(checkArguments(words, defs, `tcpx ${extension.name} ${name}`), defs);
  const { drafts } = verb.draft(args);
  if (flagArg(args, "live")) verb.checkLive?.(drafts);
  placeRules(extension, parseSelectors(selectorWords(args)), drafts, null);
}

/** @throws TcpxError (usage) for the first one that tcpx would not take */
export function checkExamples(source: Source, manifest: Manifest): void {
  const extension = extensionFrom(manifest, FIRST_SLOT);
  for (const { name, examples } of manifest.verbs) {
    for (const [i, [line]] of examples.entries()) {
      try {
        tryLine(extension, line);
      } catch (error) {
        if (!(error instanceof TcpxError)) throw error;
        throw problemAt(source, ["verbs", name, "examples", i, 0], error);
      }
    }
  }
}
