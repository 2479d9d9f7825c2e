// SPDX-License-Identifier: MIT

import { type Args, flagArg, scopeFlags } from "../base/args.ts";
import { patienceOf } from "../flags/patience.ts";
import type { Io } from "../output/io.ts";
import type { Places } from "./one-scope.ts";

/** Where, and how, a command that has `placeArgs` changes rules. */
export const placesOf = (args: Args, io: Io): Places => ({
  scope: scopeFlags(args),
  allNetns: flagArg(args, "all-netns"),
  dryRun: flagArg(args, "dry-run"),
  patience: patienceOf(args, io),
});
