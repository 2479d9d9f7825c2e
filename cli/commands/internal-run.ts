// SPDX-License-Identifier: MIT
// Beginning and end of `tcpx run`, in processes of their own. Not for people.

import { statSync } from "node:fs";
import { notifyAgent } from "../agent/notify.ts";
import { anyNeedsAgent } from "../agent/wish.ts";
import { type Args, globalArgs, selectorArgs, selectorWords, textArg } from "../base/args.ts";
import { Exit } from "../base/errors.ts";
import { bridge } from "../bridge/bridge.ts";
import { changeScope } from "../change/one-scope.ts";
import { placeRules } from "../extensions/place.ts";
import { draftRun, type RunDraft, runArgs } from "../extensions/run-flags.ts";
import { endless } from "../flags/patience.ts";
import { removeRun } from "../loader/run-scopes.ts";
import { siteIfReadable } from "../loader/site-map.ts";
import { removeStale } from "../loader/stale.ts";
import { readScopes } from "../loader/state.ts";
import { lock } from "../loader/store.ts";
import { Io } from "../output/io.ts";
import { setRules } from "../policy/change.ts";
import type { Netns, Rule } from "../policy/rule.ts";
import { parseSelectors } from "../policy/selector.ts";
import { findBpffs } from "../system/host.ts";
import { fitted } from "./extension.ts";
import { leaf } from "./types.ts";

/** The rules of a run. @throws TcpxError (usage) for an address in a direction that a rule is not for */
export function placedRun(args: Args, drafts: RunDraft[], netns: Netns | null): Rule[] {
  const selectors = parseSelectors(selectorWords(args));
  return drafts.flatMap(({ extension, drafts }) => placeRules(extension, selectors, drafts, netns));
}

/** stdout is the command's, and nobody asked for news about other scopes. */
function silent(io: Io): Io {
  const own = new Io({ ...io.flags, json: false });
  own.print = () => {};
  own.rows = async () => {};
  if (!io.flags.verbose && !io.flags.quiet) own.messages.level = 1;
  return own;
}

export const internalRunRules = leaf({
  summary: "Sets the rules of a run; not for people.",
  args: {
    cgroup: { type: "string", description: "The run's cgroup" },
    ...runArgs(),
    ...selectorArgs,
    ...globalArgs,
  },
  async run(args, io) {
    const prepare: (() => Promise<void> | undefined)[] = [];
    const drafts: RunDraft[] = [];
    const site = siteIfReadable(await bridge());
    for (const { extension, ...drafted } of draftRun(args, site)) {
      const verb = extension.verbs.set!;
      const fit = await fitted(verb, drafted);
      for (const notice of fit.notices) io.messages.warn(notice);
      prepare.push(() => verb.prepare?.(fit.drafts, false, site));
      drafts.push({ extension, ...fit });
    }
    const patience = endless(io);
    const scope = { cgroup: textArg(args, "cgroup") };
    const places = { scope, allNetns: false, dryRun: false, patience, fromHere: true };
    const plan = (present: Rule[], netns: Netns | null) => setRules(present, placedRun(args, drafts, netns));
    const wish = { ext: "run", live: false };
    return changeScope(silent(io), "run", places, plan, wish, async () => {
      for (const step of prepare) await step();
    });
  },
});

export const internalRunEnd = leaf({
  summary: "Removes the cgroup of a run, and its rules; not for people.",
  args: { path: { type: "positional", description: "Its path" }, ...globalArgs },
  async run(args, io) {
    const lib = await bridge();
    const path = textArg(args, "path") ?? "";
    const own = statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
    const without = findBpffs(lib) === undefined;
    if (without) removeRun(lib, path);
    // A killed run's rules may still be on their way: only the lock tells whether they have come.
    if (findBpffs(lib) === undefined) return Exit.DONE;
    let neededAgent: boolean;
    {
      using held = await lock(lib, endless(io));
      neededAgent = without || anyNeedsAgent(readScopes(lib).filter(({ id }) => id === own));
      removeRun(lib, path);
      removeStale(lib, held);
    }
    if (neededAgent) await notifyAgent(lib);
    return Exit.DONE;
  },
});
