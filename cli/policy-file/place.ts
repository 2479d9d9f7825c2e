// SPDX-License-Identifier: MIT
// The rules of a scope of a policy, at their places.

import { placeRules } from "../extensions/place.ts";
import type { Drafted, HostFacts } from "../extensions/types.ts";
import type { RuleMap } from "../policy/change.ts";
import { type Netns, type Rule, ruleKey } from "../policy/rule.ts";
import { lineOf, type Path, pathText } from "../toml/locate.ts";
import { Problems, problem, type Source } from "../toml/problem.ts";
import type { Site } from "../wire/site.ts";
import type { Draft, Entry } from "./entry.ts";
import type { Policy, PolicyScope } from "./parse.ts";

/** What the drafts of a policy become on this host. */
export class Fitting {
  private readonly fitted = new Map<Draft, Drafted>();

  constructor(private readonly host: HostFacts) {}

  of(draft: Draft): Drafted {
    const known = this.fitted.get(draft);
    if (known) return known;
    const { drafts, notices } = draft.drafted;
    const fit = draft.verb.fit?.(drafts, this.host);
    const made = fit ? { drafts: fit.drafts, notices: [...notices, ...fit.notices] } : draft.drafted;
    this.fitted.set(draft, made);
    return made;
  }

  /** Each once. */
  notices(): string[] {
    return [...new Set([...this.fitted.values()].flatMap(({ notices }) => notices))];
  }

  /** Makes this host ready for the rules. @throws TcpxError (unsupported) */
  async prepare(dryRun: boolean, site: Site): Promise<void> {
    const byVerb = new Map<Draft["verb"], Drafted["drafts"]>();
    for (const [{ verb }, { drafts }] of this.fitted) {
      byVerb.set(verb, [...(byVerb.get(verb) ?? []), ...drafts]);
    }
    for (const [verb, drafts] of byVerb) await verb.prepare?.(drafts, dryRun, site);
  }
}

const entryPath = (scope: PolicyScope, { draft, index }: Entry): Path => [
  ...scope.path,
  draft.extension.name,
  index,
];

function rulesOf(
  { draft, selectors, allNetns }: Entry,
  netns: Netns | null,
  fitting: Pick<Fitting, "of">,
): Rule[] {
  return placeRules(draft.extension, selectors, fitting.of(draft).drafts, allNetns ? null : netns);
}

/** Places the rules of a scope; of two at one place the second is a problem. */
function place(
  source: Source,
  scope: PolicyScope,
  netns: Netns | null,
  fitting: Pick<Fitting, "of">,
  problems: Problems,
): RuleMap {
  const rules = new Map<string, Rule>();
  for (const entry of scope.entries) {
    for (const rule of rulesOf(entry, netns, fitting)) {
      const { size } = rules;
      rules.set(ruleKey(rule), rule);
      if (rules.size > size) continue;
      const isOwner = (other: Entry) =>
        rulesOf(other, netns, fitting).some((r) => ruleKey(r) === ruleKey(rule));
      const owner = problems.isFull() ? entry : scope.entries.find(isOwner)!;
      problems.add(duplicate(source, scope, entry, owner, rule));
      break; // its other kinds stand there twice, too
    }
  }
  return rules;
}

/**
 * The rules of a scope.
 * @param netns whose rules they are that do not say all-netns; null: everybody's
 * @param problems gets two rules at one place; when it is left out, they are thrown
 * @throws TcpxError (usage) for two rules at one place
 */
export function placeScope(
  policy: Policy,
  scope: PolicyScope,
  netns: Netns | null,
  fitting: Fitting,
  problems?: Problems,
): RuleMap {
  const own = problems ?? new Problems();
  const rules = place({ ...policy.source, isFull: own.isFull }, scope, netns, fitting, own);
  if (!problems) own.end();
  return rules;
}

/** Stands for the namespace of whoever will apply the file: nobody has it. */
const SOME_NETNS: Netns = { cookie: 0n, inode: 0 };

/** Two rules at one place of a scope, as far as the file alone tells. */
export function duplicates(source: Source, scope: PolicyScope, problems: Problems): void {
  place(source, scope, SOME_NETNS, { of: ({ drafted }) => drafted }, problems);
}

function duplicate(source: Source, scope: PolicyScope, entry: Entry, owner: Entry, rule: Rule) {
  const first = entryPath(scope, owner);
  const line = source.isFull?.() ? "" : ` (line ${lineOf(source.text, first)})`;
  const what = `duplicate rule: ${pathText(first)}${line} stands at the same place`;
  const hint = `a selector has one ${rule.ext} ${rule.kind} rule: leave one out`;
  return problem(source, entryPath(scope, entry), what, hint);
}
