// SPDX-License-Identifier: MIT
// `tcpx ack`: how received data is acknowledged, by us and by peers.

import * as v from "valibot";
import { type Args, textArg } from "../base/args.ts";
import { type Range, rangeText } from "../base/duration.ts";
import { usageError } from "../base/errors.ts";
import { Ext } from "../layout/layout.generated.ts";
import { TARR_MOST } from "../wire/ack.ts";
import {
  BIT,
  checkAtOnce,
  DELAY,
  EVERY,
  FLOOR,
  MOST_DELAY_MS,
  MOST_EVERY,
  onlyWith,
  parseAskedDelay,
  parseCount,
  parseDelay,
  parseDelayMs,
} from "./ack-args.ts";
import {
  ACK_OPTIONS,
  ackJson,
  DEFAULT_FLOOR,
  DEFAULT_MARK_BIT,
  describeAck,
  fitDelay,
  packAck,
  spellAck,
  thins,
  wishOf,
} from "./ack-rule.ts";
import { ackLive, ackSeen } from "./ack-seen.ts";
import { cannotThin, requireThinning } from "./ack-thinning.ts";
import { exemption, noLiveExemption, noneWord } from "./exemption.ts";
import type { Drafted, Extension, RuleDraft, RuleVerb } from "./types.ts";

const parsed = <T>(parse: (text: string) => T) => v.optional(v.pipe(v.string(), v.transform(parse)));
const count = (what: string, range: Range) => parsed((text) => parseCount(text, what, range));

const markBit = count("--mark-bit", BIT);

const setSchema = v.object({
  every: count("--every", EVERY),
  delay: parsed((text) => parseDelay(text, "--delay")),
  "min-acks-per-rtt": count("--min-acks-per-rtt", FLOOR),
  "mark-bit": markBit,
});

const requestSchema = v.object({
  every: v.optional(v.string()),
  delay: parsed((text) => parseAskedDelay(text, "--delay")),
  tarr: v.optional(v.boolean(), false),
});

const acceptSchema = v.object({
  "max-every": count("--max-every", EVERY),
  "max-delay": parsed((text) => parseDelayMs(text, "--max-delay")),
  "mark-bit": markBit,
});

/** The rule of a lone `none`; undefined when there is no word. `names` are the verb's flags. */
function exempted(kind: RuleDraft["kind"], args: Args, names: string[]): Drafted | undefined {
  const word = textArg(args, "value");
  if (word === undefined) return undefined;
  const flags = names.filter((name) => name !== "value");
  if (word !== "none") {
    const accepted = flags.map((name) => `--${name}`).join(", ");
    throw usageError(`stray argument '${word}'`, word, `accepted is 'none', or ${accepted}`);
  }
  const given = flags.find((name) => args[name] !== undefined && args[name] !== false);
  if (given) throw usageError(`'none' takes no --${given}`, "none", "leave it out");
  return { drafts: [exemption(kind)], notices: [] };
}

function drafted(kind: RuleDraft["kind"], fields: Parameters<typeof packAck>[0]): Drafted {
  return { drafts: [{ kind, none: false, force: false, value: packAck(fields) }], notices: [] };
}

async function prepareThinning(drafts: RuleDraft[], instead: string): Promise<void> {
  if (drafts.some(thins)) await requireThinning(instead);
}

const markBitArg = {
  type: "string",
  valueHint: "B",
  range: BIT,
  description: `Bit of SO_MARK that says "at once", 0 to 31; default ${DEFAULT_MARK_BIT}`,
} as const;

const set: RuleVerb = {
  summary: "Acknowledge every N segments, or after a delay of our own",
  kinds: ["local"],
  args: {
    value: noneWord(" from wider rules: the kernel's own way"),
    every: {
      type: "string",
      valueHint: "N",
      range: EVERY,
      description: `Segments per ACK: 1 at once, 2 to ${MOST_EVERY} thinned by the agent (Linux >= 5.15)`,
    },
    delay: {
      type: "string",
      valueHint: "D|rtt/K",
      description: `Longest delay: ${rangeText(DELAY)}, or the connection's RTT by K (1 to 255)`,
    },
    "min-acks-per-rtt": {
      type: "string",
      valueHint: "M",
      range: FLOOR,
      description: `With --every 2 and more: least ACKs per RTT, 0 to 255; default ${DEFAULT_FLOOR}, 0 lifts it`,
    },
    "mark-bit": { ...markBitArg, description: `With --every 1: b${markBitArg.description.slice(1)}` },
  },
  examples: [
    ["tcpx ack set --every 8 --from 10.0.0.0/8", "One ACK per 8 segments on uploads from 10.0.0.0/8"],
    ["tcpx ack set --every 10 --delay rtt/4", "One per 10 segments, a quarter of the RTT late at most"],
    ["tcpx ack set --every 1 --to 192.0.2.0/24", "Acknowledge every segment of those servers at once"],
    ["tcpx ack set --delay 20ms --port 443", "Delayed ACKs wait 20 ms at most, and not 40 to 200"],
    ["tcpx ack set --delay 20ms --port 443 --live", "On connections that exist already, too"],
    ["tcpx ack set none --to 192.0.2.9", "Leave one host to the kernel"],
  ],
  directionNote:
    "One of --every and --delay is needed. Linux delays an ACK for 2 ticks at the least (8 ms at CONFIG_HZ=250), " +
    "rtt/K too; thinned ones may wait for less. When the agent ends, ACKs are the kernel's own again. Nothing is held " +
    "where a held ACK might leave another way, such as with several uplinks: the command and `tcpx status` say so.",
  draft(args) {
    const exempt = exempted("local", args, Object.keys(setSchema.entries));
    if (exempt) return exempt;
    const input = v.parse(setSchema, args);
    const { every, delay, "min-acks-per-rtt": floor, "mark-bit": bit } = input;
    if (every === undefined && delay === undefined) {
      throw usageError("--every or --delay is missing", undefined, "see `tcpx ack set --help`");
    }
    checkAtOnce(every, delay);
    onlyWith("min-acks-per-rtt", floor, every !== undefined && every >= 2, `2 to ${MOST_EVERY}`);
    onlyWith("mark-bit", bit, every === 1, "1");
    return drafted("local", {
      ...delay,
      every: every ?? 0,
      floor: floor ?? DEFAULT_FLOOR,
      markBit: bit ?? DEFAULT_MARK_BIT,
    });
  },
  checkLive(drafts) {
    noLiveExemption(drafts);
    if (!drafts.some(wishOf)) return;
    throw usageError(
      "--live is for --delay alone",
      "--live",
      "--every is for new connections: leave --live out",
    );
  },
  fit: (drafts, host) => fitDelay("--delay", drafts, host),
  prepare: (drafts) => prepareThinning(drafts, "--every 1, or --delay alone, works here"),
};

const request: RuleVerb = {
  summary: "Ask peers to acknowledge our data every N segments",
  kinds: ["ask"],
  args: {
    value: noneWord(" from wider rules: nothing is asked"),
    every: {
      type: "string",
      valueHint: "N",
      range: EVERY,
      description: `Segments per ACK, 1 (at once) to ${MOST_EVERY}; with --tarr to ${TARR_MOST}`,
    },
    delay: {
      type: "string",
      valueHint: "rtt/K",
      description: "Longest delay: the connection's RTT by K, 1 to 255; not with --tarr",
    },
    tarr: {
      type: "boolean",
      description: "Ask with the TARR option instead, which has no delay and no answer",
    },
  },
  examples: [
    ["tcpx ack request --every 10 --delay rtt/4 --to 192.0.2.0/24", "Ask those servers"],
    ["tcpx ack request --every 1 --from 10.0.0.0/8", "Ask our clients for an ACK per segment"],
    ["tcpx ack request --every 4 --live", "Also on connections that exist, and that ask nothing so far"],
    ["tcpx ack request --every 8 --tarr", "Ask in the way of draft-ietf-tcpm-ack-rate-request"],
    ["tcpx ack request none --to 192.0.2.9", "Ask nothing of this one"],
  ],
  directionNote:
    "The peer needs an accept rule (`tcpx ack accept`), or another implementation of TARR. Connections that ask " +
    "already make a changed request with their next segments, once (Linux >= 6.12).",
  draft(args) {
    const exempt = exempted("ask", args, Object.keys(requestSchema.entries));
    if (exempt) return exempt;
    const { every: text, delay: divisor, tarr } = v.parse(requestSchema, args);
    const most = tarr ? TARR_MOST : MOST_EVERY;
    if (text === undefined) throw usageError("--every is missing", undefined, `accepted is 1 to ${most}`);
    const every = parseCount(text, "--every", { least: 1, most }, tarr ? " with --tarr" : "");
    if (tarr && divisor !== undefined) {
      throw usageError(
        "--tarr and --delay exclude each other",
        "--delay",
        "TARR carries no delay: leave it out",
      );
    }
    checkAtOnce(every, divisor);
    return drafted("ask", { every, divisor: divisor ?? 0, tarr });
  },
  checkLive: noLiveExemption,
};

const accept: RuleVerb = {
  summary: "Grant peers the acknowledgments that they ask for, within limits",
  kinds: ["accept"],
  args: {
    value: noneWord(": peers there are granted nothing"),
    "max-every": {
      type: "string",
      valueHint: "N",
      range: EVERY,
      description: `Most segments per ACK to grant, 1 to ${MOST_EVERY}; default ${MOST_EVERY}; 2 and more: Linux >= 5.15`,
    },
    "max-delay": {
      type: "string",
      valueHint: "D",
      range: DELAY,
      description: `Longest delay to grant, ${rangeText(DELAY)}; default ${MOST_DELAY_MS}ms`,
    },
    "mark-bit": markBitArg,
  },
  examples: [
    ["tcpx ack accept --max-every 16 --from 10.0.0.0/8", "Clients there get what they ask for, 16 at most"],
    ["tcpx ack accept --max-every 100 --max-delay 50ms", "All peers, which wait 50 ms at most"],
    ["tcpx ack accept none --from 10.9.0.0/16", "These get nothing"],
  ],
  directionNote: "Requests of both kinds are understood: our own option and TARR.",
  draft(args) {
    const exempt = exempted("accept", args, Object.keys(acceptSchema.entries));
    if (exempt) return exempt;
    const input = v.parse(acceptSchema, args);
    return drafted("accept", {
      every: input["max-every"] ?? MOST_EVERY,
      floor: DEFAULT_FLOOR,
      markBit: input["mark-bit"] ?? DEFAULT_MARK_BIT,
      delayUs: (input["max-delay"] ?? MOST_DELAY_MS) * 1000,
    });
  },
  fit: (drafts, host) => fitDelay("--max-delay", drafts, host),
  prepare: (drafts) => prepareThinning(drafts, "`--max-every 1` works here"),
};

export const ack: Extension = {
  name: "ack",
  id: Ext.ACK,
  title: "Acknowledgment strategy (RFC 6994 experiment 0x7CA0, and TARR)",
  summary: "How often and how late received data is acknowledged",
  verbs: { set, request, accept },
  examples: [
    ["tcpx ack set --every 1", "Acknowledge each segment at once"],
    ["tcpx ack set --every 10 --delay rtt/4", "Every 10 segments, a quarter of the RTT late at most"],
    [
      "tcpx ack set --every 100 --delay rtt/2 --min-acks-per-rtt 0",
      "Every 100 segments, half the RTT late at most, also when that is fewer than 4 per RTT",
    ],
    ["tcpx ack request --every 10 --delay rtt/4 --to 192.0.2.0/24", "The peer shall do it"],
    ["tcpx ack accept --max-every 100 --from 10.0.0.0/8", "Do it for clients that ask"],
    ["tcpx ack unset --all", "Take it back"],
  ],
  describe: describeAck,
  spell: spellAck,
  json: ackJson,
  options: ACK_OPTIONS,
  announces: ["accept"], // that the peer may use TARR
  demo: { download: { client: "set --every 8", unable: cannotThin } },
  facilities: { bpf_timers: "acknowledgments cannot be thinned" },
  run: {
    valueHint: "KEY=V,...",
    description: "Acknowledge so: every=8,delay=rtt/4 as of `tcpx ack set`",
    examples: [["tcpx run --ack every=8,delay=rtt/4 -- ./download", "Fewer ACKs for what it receives"]],
  },
  agent: {
    rules: "`ack --every` rules",
    wish: wishOf,
    programs: { ingress: "ack_ingress", egress: "ack_egress" },
  },
  seen: ackSeen,
  live: ackLive,
};
