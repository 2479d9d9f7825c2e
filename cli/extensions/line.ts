// SPDX-License-Identifier: MIT
// Rules of commands that tcpx itself gives, as they would be typed.

import { parseArgs } from "citty";
import { checkArguments } from "../base/args.ts";
import type { Rule } from "../policy/rule.ts";
import { parseSelectors } from "../policy/selector.ts";
import { DEFAULT_SITE } from "../wire/site.ts";
import { placeRules } from "./place.ts";
import type { Extension } from "./types.ts";

/** @param line behind the extension's name: "set 3s" */
export function rulesOfLine(extension: Extension, line: string, port?: number): Rule[] {
  const [verb = "", ...words] = line.split(" ");
  const { args, draft } = extension.verbs[verb]!;
  const { drafts } = draft(parseArgs(checkArguments(words, args, line), args), DEFAULT_SITE);
  return placeRules(extension, parseSelectors(port === undefined ? {} : { port: `${port}` }), drafts, null);
}
