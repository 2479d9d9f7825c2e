// SPDX-License-Identifier: MIT

import { type Args, selectorWords } from "../base/args.ts";
import type { Io } from "../output/io.ts";
import type { Selector } from "../policy/rule.ts";
import { parseSelectors, selectorNotices } from "../policy/selector.ts";

/** What --to, --from and --port select; says what may not be meant. @throws TcpxError (usage) */
export function selectorsOf(args: Args, io: Io): { selectors: Selector[]; notices: string[] } {
  const words = selectorWords(args);
  const selectors = parseSelectors(words);
  const notices = selectorNotices(words);
  for (const notice of notices) io.messages.warn(notice);
  return { selectors, notices };
}
