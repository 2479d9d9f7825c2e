// SPDX-License-Identifier: MIT
// What `tcpx ext test` and `ext dev` run on a host of their own. Not for people.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { globalArgs, textArg } from "../base/args.ts";
import { Exit } from "../base/errors.ts";
import { bridge } from "../bridge/bridge.ts";
import { interruption, Stage } from "../lab/stage.ts";
import { Network } from "../sdk/network.ts";
import { perform, type Wish } from "../sdk/perform.ts";
import { leaf } from "./types.ts";

/** Whoever has started us holds our stdin open, and lets go of it when it is time to end. */
async function whenLeft(left: () => void): Promise<void> {
  try {
    for await (const _ of process.stdin);
  } catch {
    return; // that was us: we have done
  }
  left();
}

export const internalExtTest = leaf({
  summary: "Tries an extension between two hosts; not for people.",
  args: { work: { type: "positional", description: "What it is given" }, ...globalArgs },
  async run(args, io) {
    const work = textArg(args, "work")!;
    const wish = JSON.parse(readFileSync(join(work, "wish.json"), "utf8")) as Wish;
    using interrupted = interruption();
    const left = new AbortController();
    void whenLeft(() => left.abort(new Error("whoever has started this is gone")));
    const signal = AbortSignal.any([interrupted.signal, left.signal]);
    await using stage = new Stage(await bridge(), new Network(), signal);
    try {
      return await perform({ io, stage, wish, work });
    } catch (error) {
      if (left.signal.aborted) return Exit.FAILED; // nobody waits for what it has to say
      throw error;
    } finally {
      process.stdin.destroy(); // it would keep us
    }
  },
});
