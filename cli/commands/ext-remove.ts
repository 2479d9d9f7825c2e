// SPDX-License-Identifier: MIT

import { type Args, changeArgs, flagArg, globalArgs, textArg } from "../base/args.ts";
import { counted } from "../base/count.ts";
import { Exit, type ExitCode } from "../base/errors.ts";
import { changeScopes } from "../change/scopes.ts";
import { eachChangeLine, ruleJson } from "../describe/rules.ts";
import { type Host, openHost } from "../flags/host-access.ts";
import { patienceOf } from "../flags/patience.ts";
import { readScope, scopeOf } from "../loader/state.ts";
import { listOf } from "../output/document.ts";
import type { Io } from "../output/io.ts";
import { clear } from "../packages/clear.ts";
import { type Held, heldHere, isRuleOf, rulesOf, unknownIds, usedBy } from "../packages/here.ts";
import { unsetRules } from "../policy/change.ts";
import type { Rule } from "../policy/rule.ts";
import type { Patience } from "../system/lock.ts";
import { addedNames } from "./ext-list.ts";
import { noSuch } from "./ext-show.ts";
import { leaf } from "./types.ts";

/** What is to go: its number, and its file where there is one. */
interface Goes {
  id: number;
  name: string;
  held: Held | undefined;
}

function find(name: string, held: readonly Held[], uses: number): Goes {
  const one = held.find((other) => other.name === name);
  if (one) return { id: one.id, name, held: one };
  const strays = unknownIds(held, uses);
  const id = strays.find((other) => name === `ext-${other}`);
  if (id !== undefined) return { id, name, held: undefined };
  throw noSuch(name, [...held.map((other) => other.name), ...strays.map((other) => `ext-${other}`)]);
}

/** Takes its rules back, of all scopes, as `unset --all` of each does. */
function takeBack(io: Io, host: Host, goes: Goes, dryRun: boolean, patience: Patience) {
  const targets = () =>
    host
      .states()
      .filter((state) => rulesOf([state], goes).length > 0)
      .map((state) => ({
        scope: scopeOf(readScope(host.lib, state.id) ?? state),
        plan: (present: Rule[]) => {
          const ext = present.find((rule) => isRuleOf(goes, rule))?.ext ?? goes.name;
          return unsetRules(present, { ext, netns: null });
        },
      }));
  return changeScopes(io, host, { dryRun, patience, targets, everywhere: () => true });
}

async function run(args: Args, io: Io): Promise<ExitCode> {
  const [dryRun, patience] = [flagArg(args, "dry-run"), patienceOf(args, io)];
  const host = await openHost();
  const held = await heldHere();
  const goes = find(textArg(args, "name")!, held, usedBy(host.states()));
  const { changes, site } = await takeBack(io, host, goes, dryRun, patience);
  const concerned = changes.filter(({ change }) => change.removed.length > 0);
  const removed = concerned.flatMap(({ change }) => change.removed);
  if (!dryRun) await clear(host.lib, goes, held, patience);
  io.json({
    command: "ext remove",
    changed: true,
    dry_run: dryRun,
    name: goes.name,
    number: goes.id,
    version: goes.held?.candidate?.manifest.version ?? null,
    removed: listOf(removed, (rule) => ruleJson(rule, site.wanted)),
    rule_count: removed.length,
  });
  const netns = host.netns();
  for (const { scope, change } of concerned)
    for (const line of eachChangeLine(change, { scope: scope.name, current: netns, site: site.wanted }))
      io.print(line);
  const version = goes.held?.candidate?.manifest.version;
  const what = `${goes.name}${version === undefined ? "" : ` ${version}`}`;
  const [rules, scopes] = [counted(removed.length, "rule"), counted(concerned.length, "scope")];
  const withThem = removed.length > 0 ? `, with ${rules} of ${scopes}` : ", which had no rules";
  io.print(`${dryRun ? "would remove" : "removed"} ${what}${withThem}`);
  if (dryRun) io.print("nothing was changed (--dry-run)");
  return Exit.DONE;
}

export const extRemove = leaf({
  summary: "Remove an extension from this host, after its rules in all scopes.",
  args: {
    name: {
      type: "positional",
      valueHint: "NAME",
      words: addedNames(),
      description: "As `tcpx ext list` has it",
    },
    ...changeArgs,
    ...globalArgs,
  },
  examples: [
    ["tcpx ext remove tag", "Its rules, its program in all scopes, and its file"],
    ["tcpx ext remove tag --dry-run", "Which rules would go with it?"],
  ],
  notes: [
    "Connections keep what rules have set on them; `tcpx NAME unset --all --live` before gives it back, where the " +
      "extension can. One whose file somebody has removed by hand is listed as ext-N, and removed by that name.",
  ],
  run,
});
