// SPDX-License-Identifier: MIT
// `tcpx uto`: the TCP User Timeout Option, RFC 5482.

import * as v from "valibot";
import { type Args, textArg } from "../base/args.ts";
import { formatDuration, parseDuration, type Range, rangeText } from "../base/duration.ts";
import { usageError } from "../base/errors.ts";
import { Counter, Ext } from "../layout/layout.generated.ts";
import { decodeUto, encodeUto, UTO_KIND, UTO_MAX_MS } from "../wire/uto.ts";
import { exemption, noLiveExemption, noneWord, orNone } from "./exemption.ts";
import type { Extension, RuleDraft, RuleVerb, Spelling } from "./types.ts";
import { utoLive, utoSeen } from "./uto-seen.ts";

/** RFC 5482 section 3.1: L_LIMIT SHOULD be at least 100 seconds. */
const DEFAULT_MIN_MS = 100_000;
/** About what Linux does by itself (tcp_retries2 = 15): accepting alone never holds a connection longer. */
const DEFAULT_MAX_MS = 900_000;
/** Below this most connections would end at their first retransmission (RFC 6298: RTO of 1 s at first). */
const SHORT_MS = 1000;

const TIMEOUT: Range = { least: 1, most: UTO_MAX_MS, unit: "ms" };

const duration = (what: string, also = "") =>
  v.pipe(
    v.string(),
    v.transform((text) => parseDuration(text, what, TIMEOUT.least, TIMEOUT.most, also)),
  );

const setSchema = v.object({
  duration: v.union([v.literal("none"), duration("DURATION", ", or none")]),
  advertise: v.optional(v.boolean(), true),
  force: v.optional(v.boolean(), false),
});

const acceptSchema = v.object({
  value: v.optional(v.string()),
  min: v.optional(duration("--min")),
  max: v.optional(duration("--max")),
  force: v.optional(v.boolean(), false),
});

function noneTakes(flags: string) {
  return usageError(`'none' takes no ${flags}`, "none", "leave it out");
}

/** L_LIMIT above U_LIMIT; one of them may be a default that the user did not think of. */
function limitsCross(args: Args, min: number, max: number) {
  const [givenMin, givenMax] = [textArg(args, "min"), textArg(args, "max")];
  const missing = givenMin === undefined ? "--min" : givenMax === undefined ? "--max" : undefined;
  const hint = missing ? `give ${missing}, too: this is its default` : "accepted is --min up to --max";
  const what = `--min ${givenMin ?? formatDuration(min)} is longer than --max ${givenMax ?? formatDuration(max)}`;
  return usageError(what, missing === "--min" ? givenMax : givenMin, hint);
}

const force = {
  type: "boolean",
  description: "Also where the application has set TCP_USER_TIMEOUT itself",
} as const;

const LINUX_NOTES = [
  "A peer that is alive and does not read for so long (zero window) is given up, too: so it is in Linux, and RFC 5482 " +
    "does not tell the two apart. The timeout has to be longer than pauses of readers.",
  "Where keep-alive is on when a connection is set up, and would find a dead peer earlier, its time is set: idle + " +
    "interval x count. A timeout of idle + interval or less ends the connection at the first lost probe: `tcpx status` " +
    "counts these.",
];

const set: RuleVerb = {
  summary: "Set our user timeout and advertise it to the peer",
  kinds: ["ask", "local"],
  notes: LINUX_NOTES,
  args: {
    duration: { ...orNone(`User timeout, ${rangeText(TIMEOUT)}, such as 30s`), range: TIMEOUT },
    advertise: {
      type: "boolean",
      default: true,
      negativeDescription: "Set the timeout on our side only, without sending the option",
    },
    force,
  },
  examples: [
    ["tcpx uto set 30s --to 10.0.0.0/8", "Connections to 10.0.0.0/8 give up after 30 s, and tell the peer"],
    ["tcpx uto set 2h --port 22", "SSH, in both directions, survives two hours without a network"],
    ["tcpx uto set 5min --to 10.0.0.0/8 --live", "Connections there that exist already, too"],
    ["tcpx uto set 5s --no-advertise", "All connections of this network namespace, without the option"],
    ["tcpx uto set none --to 10.1.2.3", "Exempt one host from a wider rule"],
  ],
  draft(args) {
    const input = v.parse(setSchema, args);
    const { force } = input;
    if (input.duration === "none") {
      if (force || !input.advertise) throw noneTakes("--force or --no-advertise");
      return { drafts: [exemption("local"), exemption("ask")], notices: [] };
    }
    const ms = input.duration;
    const notices =
      ms < SHORT_MS ? [`${formatDuration(ms)} is shorter than most retransmission timeouts (RFC 6298)`] : [];
    // not advertising is an exemption, so that a wider rule does not advertise its own value here
    const ask: RuleDraft = input.advertise
      ? { kind: "ask", none: false, force: false, value: [ms, encodeUto(ms)] }
      : exemption("ask");
    return { drafts: [{ kind: "local", none: false, force, value: [ms, 0] }, ask], notices };
  },
  checkLive: noLiveExemption,
};

const accept: RuleVerb = {
  summary: "Adopt user timeouts that peers advertise, within limits",
  kinds: ["accept"],
  notes: LINUX_NOTES,
  args: {
    value: noneWord(": peers there have no say"),
    min: {
      type: "string",
      valueHint: "DURATION",
      range: TIMEOUT,
      description: `L_LIMIT, the shortest timeout to adopt; default ${formatDuration(DEFAULT_MIN_MS)} (RFC 5482)`,
    },
    max: {
      type: "string",
      valueHint: "DURATION",
      range: TIMEOUT,
      description: `U_LIMIT, the longest timeout to adopt; default ${formatDuration(DEFAULT_MAX_MS)}, about Linux's own`,
    },
    force,
  },
  examples: [
    ["tcpx uto accept --from 10.0.0.0/8", "Adopt what clients in 10.0.0.0/8 advertise, 100s to 15min"],
    ["tcpx uto accept --min 10s --max 1h", "Wider limits, for peers on both sides"],
    ["tcpx uto accept none --from 10.9.0.0/16", "Ignore the option of these clients"],
  ],
  draft(args) {
    const input = v.parse(acceptSchema, args);
    if (input.value !== undefined && input.value !== "none") {
      const hint = "accepted is 'none', or limits as --min DURATION --max DURATION";
      throw usageError(`stray argument '${input.value}'`, input.value, hint);
    }
    if (input.value === "none") {
      if (input.min !== undefined || input.max !== undefined || input.force) {
        throw noneTakes("--min, --max or --force");
      }
      return { drafts: [exemption("accept")], notices: [] };
    }
    const [min, max] = [input.min ?? DEFAULT_MIN_MS, input.max ?? DEFAULT_MAX_MS];
    if (min > max) throw limitsCross(args, min, max);
    return { drafts: [{ kind: "accept", none: false, force: input.force, value: [min, max] }], notices: [] };
  },
};

function spell({ kind, none, force, value: [a, b] }: RuleDraft): Spelling[] {
  const forced = force ? { force } : {};
  if (kind === "accept") {
    const limits = { min: formatDuration(a), max: formatDuration(b), ...forced };
    return [{ verb: "accept", args: none ? { value: "none" } : limits }];
  }
  const set = (args: Args): Spelling => ({ verb: "set", args });
  if (none) return [set({ duration: "none" })];
  const own = { duration: formatDuration(a), ...forced };
  return kind === "local" ? [set(own), set({ ...own, advertise: false })] : [set(own)];
}

export const uto: Extension = {
  name: "uto",
  id: Ext.UTO,
  title: "TCP User Timeout Option (RFC 5482)",
  summary: "How long data may stay unacknowledged before a connection ends",
  verbs: { set, accept },
  examples: [
    ["tcpx uto set 30s --to 10.0.0.0/8", "Ask and do: 30 s on connections to 10.0.0.0/8"],
    ["tcpx uto accept --from 10.0.0.0/8", "Let clients there choose, within 100s..15min"],
    ["tcpx uto show", "The rules"],
    ["tcpx uto unset --to 10.0.0.0/8", "Take the rule back"],
  ],
  describe(rule) {
    if (rule.none) return "none";
    const force = rule.force ? " (force)" : "";
    const [a, b] = rule.value;
    if (rule.kind === "accept") return `${formatDuration(a)}..${formatDuration(b)}${force}`;
    return `${formatDuration(a)}${force}`;
  },
  spell,
  demo: {
    negotiates: "a user timeout",
    client: "set 3s",
    server: "accept --min 1s --max 1min",
    isDone: (ends) => ends.every(({ hasRules, gaveUpMs }) => hasRules === (gaveUpMs !== null)),
  },
  trial: {
    rules: ["set 42s", "accept --min 1s"],
    shortfall({ userTimeoutMs }, count) {
      if (userTimeoutMs !== 42_000) return `the user timeout is ${userTimeoutMs}, not 42000 ms`;
      return count(Counter.SENT) && count(Counter.RECEIVED) ? undefined : "the option did not get through";
    },
  },
  run: {
    valueHint: "D",
    description: "User timeout, told to the peer, as of `tcpx uto set`",
    switches: ["advertise"],
    examples: [
      ["tcpx run --uto 10s -- curl -O http://192.0.2.7/big.iso", "Give up 10 s after the path is cut"],
      ["sudo tcpx run --uto 30s -- sudo -u alice ssh host", "For a command of another user"],
    ],
  },
  options: [
    {
      role: "ask",
      kind: UTO_KIND,
      words: (payload) =>
        payload.length === 2
          ? `user timeout ${formatDuration(decodeUto((payload[0]! << 8) | payload[1]!))}`
          : undefined,
    },
  ],
  json(rule) {
    if (rule.none) return {};
    const [a, b] = rule.value;
    if (rule.kind === "accept") return { min_ms: a, max_ms: b };
    return rule.kind === "ask"
      ? { timeout_ms: a, option: `1c04${b.toString(16).padStart(4, "0")}` }
      : { timeout_ms: a };
  },
  seen: utoSeen,
  live: utoLive,
};
