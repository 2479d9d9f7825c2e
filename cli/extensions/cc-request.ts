// SPDX-License-Identifier: MIT
// `tcpx cc-request`: a client asks the server for a congestion control.

import * as v from "valibot";
import { meant } from "../base/did-you-mean.ts";
import { usageError } from "../base/errors.ts";
import { Counter, Ext, Outcome } from "../layout/layout.generated.ts";
import { requireAlgorithms } from "../system/algorithms.ts";
import { experiment, requestHex } from "../wire/request.ts";
import {
  ALGORITHMS,
  algorithmId,
  algorithmName,
  algorithmNames,
  algorithmNumber,
  DEFAULT_SITE,
  exidOf,
  numberName,
  type Site,
  slotOf,
} from "../wire/site.ts";
import { exemption, noLiveExemption, orNone } from "./exemption.ts";
import type { Shown } from "./seen.ts";
import type { Extension, RuleDraft, RuleVerb, Spelling } from "./types.ts";

const ASK = { name: "cc-ask", documented: 0x7cc0 };
const ANSWER = { name: "cc-answer", documented: 0x7cc1 };
/** An answer that names no algorithm. */
const REFUSED = 0xffff;

const OPTIONS = [
  experiment(
    "ask",
    ASK,
    (number, site) => `asks for ${numberName(number, site) ?? `congestion control ${number}`}`,
  ),
  experiment("answer", ANSWER, (number, site) =>
    number === REFUSED ? "congestion control refused" : `grants ${numberName(number, site) ?? number}`,
  ),
];

function parseAlgorithm(name: string, site: Site): number {
  const id = algorithmId(name, site);
  if (id >= 0) return id;
  if (name === "none") throw usageError("'none' stands alone", name, "it exempts from all algorithms");
  const names = algorithmNames(site);
  const hint = meant(name, [...names, "none"], `accepted is ${names.join(", ")}, or none`);
  throw usageError(`ALGORITHM '${name}' is not known`, name, hint);
}

const setSchema = (site: Site) =>
  v.object({
    algorithm: v.union([
      v.literal("none"),
      v.pipe(
        v.string(),
        v.transform((name) => parseAlgorithm(name, site)),
      ),
    ]),
    local: v.optional(v.boolean(), false),
    force: v.optional(v.boolean(), false),
  });

const acceptSchema = (site: Site) =>
  v.object({
    algorithms: v.union([
      v.literal("none"),
      v.pipe(
        v.string(),
        v.transform((text) => text.split(",").map((name) => parseAlgorithm(name.trim(), site))),
      ),
    ]),
    force: v.optional(v.boolean(), false),
  });

/** What the bits of an accept rule mean. */
function idsOf(bits: number): number[] {
  return Array.from({ length: 32 }, (_, id) => id).filter((id) => (bits >>> id) & 1);
}

const namesOf = (bits: number, site: Site) => idsOf(bits).map((id) => algorithmName(id, site));

const force = {
  type: "boolean",
  description: "Also where the application has chosen a congestion control itself",
} as const;

const set: RuleVerb = {
  summary: "Ask servers to send to us with a congestion control, or set our own",
  kinds: ["ask", "local"],
  args: {
    algorithm: {
      ...orNone(`${ALGORITHMS.slice(0, 5).join(", ")}, ..., or one of the site's own (see tcpx apply)`),
      words: ALGORITHMS,
    },
    local: {
      type: "boolean",
      description: "Use it on this side, for connections of both directions, asking nobody",
    },
    force,
  },
  examples: [
    ["tcpx cc-request set bbr --to 192.0.2.0/24", "Ask those servers to send with BBR"],
    ["tcpx cc-request set bbr --local --port 443", "Send with BBR ourselves on port 443"],
    ["tcpx cc-request set bbr --local --port 443 --live", "Also on connections that exist already"],
    ["tcpx cc-request set none --to 192.0.2.9", "Ask nothing of this one"],
  ],
  directionNote: "Asking is for connections that this side opens: --from is an error without --local.",
  draft(args, site = DEFAULT_SITE) {
    const input = v.parse(setSchema(site), args);
    const kind = input.local ? "local" : "ask";
    if (input.algorithm === "none") {
      if (input.force) throw usageError("'none' takes no --force", "none", "leave it out");
      return { drafts: [exemption(kind)], notices: [] };
    }
    if (input.force && !input.local) {
      throw usageError(
        "--force is for --local and accept",
        "--force",
        "the server decides about its own applications",
      );
    }
    return { drafts: [{ kind, none: false, force: input.force, value: [input.algorithm, 0] }], notices: [] };
  },
  checkLive(drafts) {
    if (drafts.some(({ kind }) => kind === "ask")) {
      const hint = "a request is made when a connection is set up: leave it out, or give --local";
      throw usageError("--live is for --local", "--live", hint);
    }
    noLiveExemption(drafts);
  },
  prepare: (drafts, dryRun, site = DEFAULT_SITE) =>
    requireAlgorithms(
      drafts.filter((d) => d.kind === "local" && !d.none).map((d) => algorithmName(d.value[0], site)),
      dryRun,
    ),
};

const accept: RuleVerb = {
  summary: "Grant clients these congestion controls, and no others",
  kinds: ["accept"],
  args: {
    algorithms: {
      ...orNone("What to grant; modules are loaded now, never by a request"),
      valueHint: "ALGORITHM,...",
      words: ALGORITHMS,
    },
    force,
  },
  examples: [
    ["tcpx cc-request accept bbr,cubic --from 10.0.0.0/8", "Clients there may choose between two"],
    ["tcpx cc-request accept none --from 10.9.0.0/16", "These may not"],
  ],
  directionNote: "Granting is for connections that this side accepts: --to is an error.",
  draft(args, site = DEFAULT_SITE) {
    const input = v.parse(acceptSchema(site), args);
    if (input.algorithms === "none") {
      if (input.force) throw usageError("'none' takes no --force", "none", "leave it out");
      return { drafts: [exemption("accept")], notices: [] };
    }
    const bits = input.algorithms.reduce((set, id) => set | (1 << id), 0) >>> 0;
    return { drafts: [{ kind: "accept", none: false, force: input.force, value: [bits, 0] }], notices: [] };
  },
  prepare: (drafts, dryRun, site = DEFAULT_SITE) =>
    requireAlgorithms(
      drafts.flatMap((d) => namesOf(d.value[0], site)),
      dryRun,
    ),
};

function spell({ kind, none, force, value: [value] }: RuleDraft, site: Site = DEFAULT_SITE): Spelling[] {
  const forced = force ? { force } : {};
  if (kind === "accept") {
    return [
      { verb: "accept", args: { algorithms: none ? "none" : namesOf(value, site).join(","), ...forced } },
    ];
  }
  const local = kind === "local" ? { local: true } : {};
  return [
    { verb: "set", args: { algorithm: none ? "none" : algorithmName(value, site), ...local, ...forced } },
  ];
}

/** As cc_sum() of embedded-bpf/ext/cc_name.bpf.h. */
function sumOf(name: string): bigint {
  const bytes = new Uint8Array(16);
  new TextEncoder().encodeInto(name, bytes);
  const [first = 0n, second = 0n] = new BigUint64Array(bytes.buffer);
  return BigInt.asUintN(64, first ^ (second * 3n));
}

const shown = (algorithm: string): Shown => ({ text: algorithm, json: { algorithm } });

export const ccRequest: Extension = {
  name: "cc-request",
  id: Ext.CC_REQUEST,
  title: "Congestion control request (RFC 6994 experiment 0x7CC0)",
  summary: "A client asks the server for a congestion control",
  verbs: { set, accept },
  directions: { ask: "to", accept: "from" },
  examples: [
    ["tcpx cc-request accept bbr,cubic", "On the server: what clients may ask for"],
    ["tcpx cc-request set bbr --to 192.0.2.0/24", "On the client: ask for it"],
    ["tcpx status", "Granted, refused, unanswered"],
    ["tcpx cc-request unset --all", "Take it back"],
  ],
  describe(rule, site = DEFAULT_SITE) {
    if (rule.none) return "none";
    const [value] = rule.value;
    const text = rule.kind === "accept" ? namesOf(value, site).join(",") : algorithmName(value, site);
    return `${text}${rule.force ? " (force)" : ""}`;
  },
  spell,
  options: OPTIONS,
  // reno is in every kernel and nobody's default
  demo: {
    negotiates: "a congestion control",
    client: "set reno",
    server: "accept reno,cubic",
    isDone: (ends) =>
      ends.some(
        ({ end, hasRules, view }) => end === "server" && hasRules && view?.congestionControl === "reno",
      ),
  },
  trial: {
    rules: ["set reno", "accept reno"],
    shortfall: (_, count) => (count(Counter.GRANTED) ? undefined : "cc-request was not granted"),
  },
  live: { gives: "congestion control" },
  run: {
    valueHint: "ALG",
    description: "Ask servers for this congestion control",
    examples: [
      ["tcpx run --cc-request bbr --iw 40 --to 192.0.2.0/24 -- rsync -a host::data .", "Ask one network"],
    ],
  },
  json(rule, site = DEFAULT_SITE) {
    if (rule.none) return {};
    const [value] = rule.value;
    if (rule.kind === "accept") return { algorithms: namesOf(value, site) };
    const named = { algorithm: algorithmName(value, site) };
    const option = () => requestHex(exidOf(ASK, site), algorithmNumber(value, site));
    return rule.kind === "ask" ? { ...named, option: option() } : named;
  },
  slots({ kind, none, value: [value] }) {
    const ids = none ? [] : kind === "accept" ? idsOf(value) : [value];
    return ids.map(slotOf).filter((slot) => slot !== undefined);
  },
  seen: {
    outcome: ({ local, wide }, { congestion }) =>
      local.outcome === Outcome.APPLIED && sumOf(congestion) !== wide.ours_sum
        ? Outcome.APPLICATION
        : local.outcome,
    value: (number, site) => shown(numberName(number, site) ?? `number ${number}`),
    refusal: REFUSED,
    rule: ([id], site) => shown(algorithmName(id, site)),
    help: {
      watch: {
        examples: [
          ["tcpx watch --unit nginx.service --ext cc-request,iw", "What clients ask of one service"],
        ],
      },
    },
  },
};
