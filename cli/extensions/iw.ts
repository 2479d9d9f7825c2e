// SPDX-License-Identifier: MIT
// `tcpx iw`: a client asks the server for an initial congestion window.

import { existsSync, readFileSync } from "node:fs";
import * as v from "valibot";
import { rangeText } from "../base/duration.ts";
import { usageError } from "../base/errors.ts";
import { Counter, Ext } from "../layout/layout.generated.ts";
import { experiment, requestHex } from "../wire/request.ts";
import { DEFAULT_SITE, exidOf } from "../wire/site.ts";
import { exemption, noneWord, orNone } from "./exemption.ts";
import type { Shown } from "./seen.ts";
import type { Extension, RuleDraft, RuleVerb, Spelling } from "./types.ts";

const SEGMENTS = { least: 1, most: 1024 };
const RANGE = rangeText(SEGMENTS);
/** Segments of Linux's own first window: RFC 6928. */
const USUAL = 10;
/** Segment size by which Linux rounds its first window down: Ethernet without tunnels. */
const MSS = 1460;

const ASK = { name: "iw-ask", documented: 0x7c10 };
const ANSWER = { name: "iw-answer", documented: 0x7c11 };

const segments = (what: string, also = "") =>
  v.pipe(
    v.string(),
    v.transform((text) => {
      const n = /^\d{1,9}$/.test(text) ? Number(text) : 0;
      if (n >= SEGMENTS.least && n <= SEGMENTS.most) return n;
      throw usageError(`${what} '${text}' is not a number of segments`, text, `accepted is ${RANGE}${also}`);
    }),
  );

const setSchema = v.object({
  segments: v.union([v.literal("none"), segments("SEGMENTS", ", or none")]),
  local: v.optional(v.boolean(), false),
});

const acceptSchema = v.object({
  value: v.optional(v.string()),
  max: v.optional(segments("--max")),
});

/** Segments that our receive window admits in a peer's first flight: half of tcp_rmem's default is for overhead. */
function firstFlight(): number {
  const [, initial] = readFileSync("/proc/sys/net/ipv4/tcp_rmem", "utf8").trim().split(/\s+/);
  return Math.floor(Number(initial) / 2 / MSS);
}

function windowNotice(n: number): string[] {
  const effective = firstFlight();
  if (n <= effective) return [];
  const what = `our own receive window admits about ${effective} segments in the first flight, so ${n} acts like ${effective}`;
  return [`${what}; for more, raise the second value of net.ipv4.tcp_rmem to ${n * MSS * 2}`];
}

const IDLE = "/proc/sys/net/ipv4/tcp_slow_start_after_idle";

/** Does this kernel go back to its usual window after a pause, in the caller's network namespace? */
const forgetsWhenIdle = () => existsSync(IDLE) && readFileSync(IDLE, "utf8").trim() !== "0";

/** BPF may set a window before the first data only, and then gives it back after a pause. */
function idleNotice(n: number): string[] {
  if (n <= USUAL || !forgetsWhenIdle()) return [];
  const when = `once data was sent, after a pause longer than the retransmission timeout, Linux goes back to ${USUAL} segments`;
  const cure = "ip route change ... initcwnd N, or sysctl net.ipv4.tcp_slow_start_after_idle=0";
  return [`${when}, or to the route's initcwnd; to keep more: ${cure}`];
}

const set: RuleVerb = {
  summary: "Ask servers to start with a window of N segments, or set our own",
  kinds: ["ask", "local"],
  args: {
    segments: { ...orNone(`${RANGE}; Linux starts with ${USUAL} (RFC 6928)`), range: SEGMENTS },
    local: {
      type: "boolean",
      description: "Start so ourselves, on connections of both directions, asking nobody",
    },
  },
  examples: [
    ["tcpx iw set 40 --to 192.0.2.0/24", "Ask those servers for 40 segments"],
    ["tcpx iw set 20 --local --from 10.0.0.0/8", "Start with 20 segments towards our own clients"],
  ],
  directionNote:
    "Asking is for connections that this side opens: --from is an error without --local. After a pause " +
    "later than the first data Linux goes back to its usual window, or to the route's initcwnd, unless " +
    "net.ipv4.tcp_slow_start_after_idle is 0.",
  draft(args) {
    const input = v.parse(setSchema, args);
    const kind = input.local ? "local" : "ask";
    if (input.segments === "none") return { drafts: [exemption(kind)], notices: [] };
    const notices = input.local ? idleNotice(input.segments) : windowNotice(input.segments);
    return { drafts: [{ kind, none: false, force: false, value: [input.segments, 0] }], notices };
  },
};

const accept: RuleVerb = {
  summary: "Grant clients the window that they ask for, up to a limit",
  kinds: ["accept"],
  args: {
    value: noneWord(": clients there are granted nothing"),
    max: {
      type: "string",
      valueHint: "SEGMENTS",
      description: `The largest window to grant, ${RANGE}`,
      range: SEGMENTS,
    },
  },
  examples: [
    ["tcpx iw accept --max 40 --from 10.0.0.0/8", "Clients there get what they ask for, 40 at most"],
    ["tcpx iw accept none --from 10.9.0.0/16", "These get nothing"],
  ],
  directionNote: "Granting is for connections that this side accepts: --to is an error.",
  draft(args) {
    const input = v.parse(acceptSchema, args);
    if (input.value !== undefined && input.value !== "none") {
      throw usageError(
        `stray argument '${input.value}'`,
        input.value,
        "accepted is 'none', or --max SEGMENTS",
      );
    }
    if (input.value === "none") {
      if (input.max !== undefined) throw usageError("'none' takes no --max", "none", "leave it out");
      return { drafts: [exemption("accept")], notices: [] };
    }
    if (input.max === undefined) throw usageError("--max is missing", undefined, `accepted is ${RANGE}`);
    const draft = { kind: "accept", none: false, force: false, value: [input.max, 0] } as const;
    return { drafts: [draft], notices: idleNotice(input.max) };
  },
};

function spell({ kind, none, value: [n] }: RuleDraft): Spelling[] {
  if (kind === "accept") return [{ verb: "accept", args: none ? { value: "none" } : { max: String(n) } }];
  const local = kind === "local" ? { local: true } : {};
  return [{ verb: "set", args: { segments: none ? "none" : String(n), ...local } }];
}

const shown = (n: number): Shown => ({ text: String(n), json: { segments: n } });

export const iw: Extension = {
  name: "iw",
  id: Ext.IW,
  title: "Initial window request (RFC 6994 experiment 0x7C10)",
  summary: "A client asks the server for an initial congestion window",
  verbs: { set, accept },
  directions: { ask: "to", accept: "from" },
  examples: [
    ["tcpx iw accept --max 40", "On the server: the largest window to grant"],
    ["tcpx iw set 40 --to 192.0.2.0/24", "On the client: ask for it"],
    ["tcpx status", "Granted, refused, unanswered"],
    ["tcpx iw unset --all", "Take it back"],
  ],
  describe(rule) {
    if (rule.none) return "none";
    return rule.kind === "accept" ? `<= ${rule.value[0]} segments` : `${rule.value[0]} segments`;
  },
  spell,
  options: [
    experiment("ask", ASK, (n) => `asks for a window of ${n} segments`),
    experiment("answer", ANSWER, (n) => (n === 0 ? "window refused" : `grants a window of ${n} segments`)),
  ],
  demo: { negotiates: "an initial window", client: "set 40", server: "accept --max 32" },
  trial: {
    rules: ["set 20", "accept --max 20"],
    shortfall: (_, count) => (count(Counter.GRANTED) ? undefined : "iw was not granted"),
  },
  live: { keeps: "initial windows" },
  run: { valueHint: "N", description: "Ask servers for this initial window, in segments" },
  json(rule, site = DEFAULT_SITE) {
    if (rule.none) return {};
    const [n] = rule.value;
    if (rule.kind === "accept") return { max_segments: n };
    return rule.kind === "ask" ? { segments: n, option: requestHex(exidOf(ASK, site), n) } : { segments: n };
  },
  seen: {
    value: shown,
    rule: ([n]) => shown(n),
    help: {
      connections: {
        examples: [
          ["tcpx connections | grep ' iw refused'", "A line each, in a pipe: what servers have refused"],
        ],
      },
    },
  },
};
