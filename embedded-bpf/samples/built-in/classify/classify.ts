// SPDX-License-Identifier: MIT
// `tcpx classify`: priority and mark of connections. A sample, to be copied: several settings, and a rule for each of
// them, so that a narrower selector that sets one leaves the other one in force.
// In cli/extensions/registry.ts: export { classify } from "./classify.ts";

import { textArg } from "../base/args.ts";
import { type Range, rangeText } from "../base/duration.ts";
import { usageError } from "../base/errors.ts";
import { Counter, Ext, Kind } from "../layout/layout.generated.ts";
import { exemption, noneWord } from "./exemption.ts";
import type { Raw, Said } from "./seen.ts";
import type { Extension, RuleDraft, RuleVerb } from "./types.ts";

/** In the order of enum tcpx_classify_kind. */
const KEYS = ["priority", "mark"] as const;
type Key = (typeof KEYS)[number];
const RANGES: Record<Key, Range> = {
  priority: { least: 0, most: 65_535 },
  mark: { least: 0, most: 2_147_483_647 },
};

const keyArg = (key: Key, socketOption: string) =>
  ({
    type: "string",
    valueHint: "N",
    exempts: true,
    range: RANGES[key],
    description: `${socketOption}, ${rangeText(RANGES[key])}; none exempts the selector`,
  }) as const;

function draftKey(key: Key, text: string): RuleDraft {
  if (text === "none") return exemption(key);
  const { least, most } = RANGES[key];
  const n = /^\d{1,10}$/.test(text) ? Number(text) : -1;
  if (n < least || n > most)
    throw usageError(`--${key} '${text}' is none`, text, `accepted is ${rangeText(RANGES[key])}, or none`);
  return { kind: key, none: false, force: false, value: [n, 0] };
}

const set: RuleVerb = {
  summary: "Give connections a priority, a mark, or both",
  kinds: KEYS,
  args: {
    value: noneWord(": both keys"),
    priority: keyArg("priority", "SO_PRIORITY"),
    mark: keyArg("mark", "SO_MARK"),
  },
  examples: [
    ["tcpx classify set --priority 5 --to 192.0.2.0/24", "Priority 5 to there"],
    ["tcpx classify set --mark 77 --port 443", "Mark 77, whatever the priority is"],
  ],
  draft(args) {
    const word = textArg(args, "value");
    const given = KEYS.filter((key) => textArg(args, key) !== undefined);
    if (word !== undefined && word !== "none")
      throw usageError(`stray argument '${word}'`, word, "accepted is none, or --priority and --mark");
    if (word === "none" && given.length > 0)
      throw usageError(`none and --${given[0]} exclude each other`, "none", "leave one out");
    if (word === "none") return { drafts: KEYS.map((key) => exemption(key)), notices: [] };
    if (given.length === 0) throw usageError("nothing to set", "set", "give --priority N, --mark N, or both");
    return { drafts: given.map((key) => draftKey(key, textArg(args, key)!)), notices: [] };
  },
};

/** The rules that a connection has, in the place of the one local rule of others. */
function complete(said: Said, { own, kinds }: Raw): Said {
  const present = KEYS.filter((key) => kinds[key] !== undefined);
  if (present.length === 0) return said;
  const active = present.filter((key) => kinds[key] === "active");
  if (active.length === 0) return { ...said, local: { ...said.local, status: "exempt" } };
  const shown = (keys: readonly Key[]) => ({
    text: keys.map((key) => `${key} ${own[key]}`).join(" "),
    json: Object.fromEntries(keys.map((key) => [key, own[key]])),
  });
  const isKept = (key: Key) => ((own.kept! >>> (Kind.COUNT + KEYS.indexOf(key))) & 1) === 1;
  const applied = active.filter((key) => !isKept(key));
  const came =
    applied.length > 0
      ? { status: "applied" as const, applied: shown(applied) }
      : { status: "kept" as const, reason: "application" };
  return { ...said, local: { ...said.local, rule: shown(active), ...came } };
}

export const classify: Extension = {
  name: "classify",
  id: Ext.CLASSIFY,
  title: "Priority and mark (SO_PRIORITY, SO_MARK)",
  summary: "What queues and firewalls tell connections apart by",
  kinds: KEYS,
  verbs: { set },
  examples: [
    ["tcpx classify set --priority 5", "Every connection has priority 5"],
    ["tcpx classify unset mark --all", "Marks no more"],
  ],
  describe: ({ none, value: [n] }) => (none ? "none" : String(n)),
  json: ({ kind, none, value: [n] }) => (none ? {} : { [kind]: n }),
  spell: ({ kind, none, value: [n] }) => [{ verb: "set", args: { [kind]: none ? "none" : String(n) } }],
  run: { valueHint: "KEY=N,...", description: "Priority and mark: priority=5,mark=77" },
  trial: {
    rules: ["set --priority 5"],
    shortfall: (_, count) => (count(Counter.APPLIED) ? undefined : "the priority was not set"),
  },
  seen: { complete },
};
