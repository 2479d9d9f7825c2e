// SPDX-License-Identifier: MIT
// Answers the completion scripts of shells: one word per line, or nothing.

import { globalArgs } from "../base/args.ts";
import { Exit } from "../base/errors.ts";
import { cgroupsFor, rulesFor } from "../completion/asked.ts";
import { unquoted } from "../completion/shell-words.ts";
import { leaf } from "./types.ts";

async function answer(what: string, typed: string, words: string[]): Promise<string[]> {
  try {
    return what === "cgroup" ? cgroupsFor(typed) : await rulesFor(what, typed, words);
  } catch {
    return []; // whoever presses TAB wants no message, and may not be root
  }
}

export const internalComplete = leaf({
  summary: "Print what may stand at the cursor; not for people.",
  args: {
    words: {
      type: "positional",
      required: false,
      valueHint: "-- raw|plain WHAT TYPED WORD...",
      description: "As typed or without quotes; what is wanted, its beginning, the words before it",
    },
    ...globalArgs,
  },
  async run(_, io) {
    const { argv } = process;
    const [form, what = "", ...rest] = argv.slice(argv.indexOf("--") + 1);
    const [typed = "", ...words] = form === "raw" ? rest.map(unquoted) : rest;
    const found = await answer(what, typed, words);
    if (found.length > 0) io.print(found.join("\n"));
    return Exit.DONE;
  },
});
