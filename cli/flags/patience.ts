// SPDX-License-Identifier: MIT
// How long a command waits for another tcpx, by its flags or by what it is for.

import { type Args, textArg } from "../base/args.ts";
import { LONGEST_WAIT_MS, parseDuration } from "../base/duration.ts";
import type { Io } from "../output/io.ts";
import { PATIENCE_MS, type Patience } from "../system/lock.ts";

function waitMs(args: Args): number {
  if (args.wait === false) return 0; // what citty makes of --no-wait
  const text = textArg(args, "wait");
  if (text === undefined) return PATIENCE_MS;
  if (text === "") return Number.POSITIVE_INFINITY;
  return parseDuration(text, "--wait", 1, LONGEST_WAIT_MS, ", or --wait alone for no end");
}

/** Of a command that has `waitArgs`. @throws TcpxError (usage) for what is no duration */
export function patienceOf(args: Args, io: Io): Patience {
  const tellAfter = io.flags.verbose ? 0 : PATIENCE_MS;
  return { ms: waitMs(args), tellAfter, tell: (what) => io.messages.info(what) };
}

/** Of a command that others rely on, or that has to clean up; nobody has asked it to wait, so it warns. */
export function endless(io: Io, signal?: AbortSignal): Patience {
  return { ms: Number.POSITIVE_INFINITY, tell: (what) => io.messages.warn(what), ...(signal && { signal }) };
}
