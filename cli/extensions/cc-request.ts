// SPDX-License-Identifier: MIT
// `tcpx cc-request`: a client asks the server for a congestion control.

import * as v from "valibot";
import { usageError } from "../errors.ts";
import { Exid, Ext } from "../loader/layout.generated.ts";
import { requireAlgorithms } from "../system/algorithms.ts";
import { ALGORITHMS, requestHex } from "../wire/request.ts";
import { exemption, noLiveExemption } from "./exemption.ts";
import type { Extension, RuleDraft, RuleVerb, Spelling } from "./types.ts";

function algorithmId(name: string): number {
  const id = ALGORITHMS.indexOf(name);
  if (id >= 0) return id;
  if (name === "none") throw usageError("'none' stands alone", name, "it exempts from all algorithms");
  throw usageError(`ALGORITHM '${name}' is not known`, name, `accepted is ${ALGORITHMS.join(", ")}, or none`);
}

const algorithm = v.pipe(v.string(), v.transform(algorithmId));

const algorithms = v.pipe(
  v.string(),
  v.transform((text) => text.split(",").map((name) => algorithmId(name.trim()))),
);

const setSchema = v.object({
  algorithm: v.union([v.literal("none"), algorithm]),
  local: v.optional(v.boolean(), false),
  force: v.optional(v.boolean(), false),
});

const acceptSchema = v.object({
  algorithms: v.union([v.literal("none"), algorithms]),
  force: v.optional(v.boolean(), false),
});

/** Names of the bits of an accept rule. */
function namesOf(bits: number): string[] {
  return ALGORITHMS.filter((_, id) => (bits >>> id) & 1);
}

const force = {
  type: "boolean",
  description: "Also where the application has chosen a congestion control itself",
} as const;

const set: RuleVerb = {
  summary: "Ask servers to send to us with a congestion control, or set our own",
  args: {
    algorithm: {
      type: "positional",
      description: `${ALGORITHMS.slice(0, 5).join(", ")}, ...; none exempts the selector`,
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
  draft(args) {
    const input = v.parse(setSchema, args);
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
  prepare: (drafts, dryRun) =>
    requireAlgorithms(
      drafts.filter((d) => d.kind === "local" && !d.none).map((d) => ALGORITHMS[d.value[0]]!),
      dryRun,
    ),
};

const accept: RuleVerb = {
  summary: "Grant clients these congestion controls, and no others",
  args: {
    algorithms: {
      type: "positional",
      valueHint: "ALGORITHM,...",
      description: "What to grant; modules are loaded now, never by a request; none exempts the selector",
    },
    force,
  },
  examples: [
    ["tcpx cc-request accept bbr,cubic --from 10.0.0.0/8", "Clients there may choose between two"],
    ["tcpx cc-request accept none --from 10.9.0.0/16", "These may not"],
  ],
  directionNote: "Granting is for connections that this side accepts: --to is an error.",
  draft(args) {
    const input = v.parse(acceptSchema, args);
    if (input.algorithms === "none") {
      if (input.force) throw usageError("'none' takes no --force", "none", "leave it out");
      return { drafts: [exemption("accept")], notices: [] };
    }
    const bits = input.algorithms.reduce((set, id) => set | (1 << id), 0) >>> 0;
    return { drafts: [{ kind: "accept", none: false, force: input.force, value: [bits, 0] }], notices: [] };
  },
  prepare: (drafts, dryRun) =>
    requireAlgorithms(
      drafts.flatMap((d) => namesOf(d.value[0])),
      dryRun,
    ),
};

function spell({ kind, none, force, value: [value] }: RuleDraft): Spelling[] {
  const forced = force ? { force } : {};
  if (kind === "accept") {
    return [{ verb: "accept", args: { algorithms: none ? "none" : namesOf(value).join(","), ...forced } }];
  }
  const local = kind === "local" ? { local: true } : {};
  return [{ verb: "set", args: { algorithm: none ? "none" : ALGORITHMS[value], ...local, ...forced } }];
}

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
  describe(rule) {
    if (rule.none) return "none";
    const text = rule.kind === "accept" ? namesOf(rule.value[0]).join(",") : ALGORITHMS[rule.value[0]];
    return `${text}${rule.force ? " (force)" : ""}`;
  },
  spell,
  json(rule) {
    if (rule.none) return {};
    if (rule.kind === "accept") return { algorithms: namesOf(rule.value[0]) };
    const named = { algorithm: ALGORITHMS[rule.value[0]] };
    return rule.kind === "ask" ? { ...named, option: requestHex(Exid.CC_ASK, rule.value[0]) } : named;
  },
};
