// SPDX-License-Identifier: MIT
// A version in the place of another one, whose rules go on. Pure.

import type { Manifest, ValueSpec } from "../manifest/types.ts";
import type { Rule } from "../policy/rule.ts";
import { kindsIn } from "./trial.ts";

const wordIn = ({ value }: Rule, word: number) => value[word] ?? 0;

/** What a word means. */
const meaning = ({ name, type, word, unit, choices }: ValueSpec): string =>
  JSON.stringify([name, type, word, type === "duration" ? unit : null, Object.entries(choices ?? {}).sort()]);

/** What is another value than before: words of rules would mean something else. */
function changedValue(before: Manifest, after: Manifest): string | undefined {
  const [old, now] = [before, after].map(({ values }) => values.map(meaning));
  if (old!.every((one) => now!.includes(one)) && old!.length === now!.length) return undefined;
  const names = [...before.values, ...after.values]
    .filter((value) => !(old!.includes(meaning(value)) && now!.includes(meaning(value))))
    .map(({ name }) => name);
  return names[0];
}

function ruleProblem(rule: Rule, { values }: Manifest): string | undefined {
  const out = values.find(({ least, most, word }) => wordIn(rule, word) < least || wordIn(rule, word) > most);
  return (
    out &&
    `a rule has ${wordIn(rule, out.word)} for ${out.name}, which begins at ${out.least} and ends at ${out.most}`
  );
}

/**
 * Why rules of the present version cannot be the next one's; undefined: they can.
 * @param before undefined: nobody knows what they meant
 */
export function successionProblem(
  before: Manifest | undefined,
  after: Manifest,
  rules: readonly Rule[],
): string | undefined {
  if (rules.length === 0) return undefined;
  const kinds = kindsIn(after);
  const gone = rules.find(({ kind }) => !kinds.includes(kind));
  if (gone) return `it has no rules of kind ${gone.kind}`;
  const changed = before && changedValue(before, after);
  if (changed !== undefined) return `its value ${changed} is another`;
  for (const rule of rules) {
    const wrong = rule.none ? undefined : ruleProblem(rule, after);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

/** Is a version lower than another one? What stands behind the three numbers is not looked at. */
export function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split(/[.-]/, 3).map(Number));
  const at = a!.findIndex((part, i) => part !== b![i]);
  return at >= 0 && a![at]! < b![at]!;
}
