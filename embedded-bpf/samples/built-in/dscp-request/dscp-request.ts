// SPDX-License-Identifier: MIT
// `tcpx dscp-request`: a client asks the server for a DSCP. A sample, to be copied: an option on the wire.
// In cli/extensions/registry.ts: export { dscpRequest } from "./dscp-request.ts";

import { type Args, textArg } from "../base/args.ts";
import { type Range, rangeText } from "../base/duration.ts";
import { usageError } from "../base/errors.ts";
import { Counter, Ext } from "../layout/layout.generated.ts";
import { experiment, requestHex } from "../wire/request.ts";
import { DEFAULT_SITE, exidOf } from "../wire/site.ts";
import { exemption, noneWord, orNone } from "./exemption.ts";
import type { Shown } from "./seen.ts";
import type { Drafted, Extension, RuleDraft, RuleVerb } from "./types.ts";

const DSCP: Range = { least: 0, most: 63 };
/** An answer that grants none. */
const REFUSED = 0xffff;

const ASK = { name: "dscp-ask", documented: 0x7c60 };
const ANSWER = { name: "dscp-answer", documented: 0x7c61 };

/** @param name of the argument that has the DSCP, and `what` the user knows it by */
function drafted(kind: RuleDraft["kind"], args: Args, name: string, what: string): Drafted {
  const text = textArg(args, name);
  if (text === "none") return { drafts: [exemption(kind)], notices: [] };
  const accepted = `accepted is ${rangeText(DSCP)}, or none`;
  if (text === undefined) throw usageError(`${what} is missing`, undefined, accepted);
  const dscp = /^\d{1,2}$/.test(text) ? Number(text) : -1;
  if (dscp < DSCP.least || dscp > DSCP.most)
    throw usageError(`${what} '${text}' is not a DSCP`, text, accepted);
  return { drafts: [{ kind, none: false, force: false, value: [dscp, 0] }], notices: [] };
}

const set: RuleVerb = {
  summary: "Ask servers to send to us with this DSCP",
  kinds: ["ask"],
  args: { dscp: { ...orNone(`${rangeText(DSCP)} (RFC 2474), such as 46 for EF`), range: DSCP } },
  examples: [["tcpx dscp-request set 46 --to 192.0.2.0/24", "Ask those servers for expedited forwarding"]],
  directionNote: "Asking is for connections that this side opens: --from is an error.",
  draft: (args) => drafted("ask", args, "dscp", "DSCP"),
};

const accept: RuleVerb = {
  summary: "Grant clients the DSCP that they ask for, up to a limit",
  kinds: ["accept"],
  args: {
    value: noneWord(": clients there are granted nothing"),
    max: {
      type: "string",
      valueHint: "DSCP",
      description: `The largest to grant, ${rangeText(DSCP)}`,
      range: DSCP,
    },
  },
  examples: [["tcpx dscp-request accept --max 46 --from 10.0.0.0/8", "Clients there may ask for up to 46"]],
  directionNote: "Granting is for connections that this side accepts: --to is an error.",
  draft(args) {
    const word = textArg(args, "value");
    if (word === undefined) return drafted("accept", args, "max", "--max");
    if (word !== "none" || args.max !== undefined)
      throw usageError(`stray argument '${word}'`, word, "accepted is 'none', or --max DSCP");
    return drafted("accept", args, "value", "DSCP");
  },
};

const shown = (dscp: number): Shown => ({ text: `${dscp}`, json: { dscp } });

export const dscpRequest: Extension = {
  name: "dscp-request",
  id: Ext.DSCP_REQUEST,
  title: "DSCP request (RFC 6994 experiment 0x7C60)",
  summary: "A client asks the server for a DSCP",
  verbs: { set, accept },
  directions: { ask: "to", accept: "from" },
  examples: [
    ["tcpx dscp-request accept --max 46", "On the server: the largest DSCP to grant"],
    ["tcpx dscp-request set 46 --to 192.0.2.0/24", "On the client: ask for it"],
  ],
  describe: ({ kind, none, value: [dscp] }) =>
    none ? "none" : kind === "accept" ? `<= DSCP ${dscp}` : `DSCP ${dscp}`,
  json({ kind, none, value: [dscp] }, site = DEFAULT_SITE) {
    if (none) return {};
    return kind === "accept" ? { max_dscp: dscp } : { dscp, option: requestHex(exidOf(ASK, site), dscp) };
  },
  spell({ kind, none, value: [dscp] }) {
    if (kind === "ask") return [{ verb: "set", args: { dscp: none ? "none" : `${dscp}` } }];
    return [{ verb: "accept", args: none ? { value: "none" } : { max: `${dscp}` } }];
  },
  options: [
    experiment("ask", ASK, (dscp) => `asks for DSCP ${dscp}`),
    experiment("answer", ANSWER, (dscp) => (dscp === REFUSED ? "DSCP refused" : `grants DSCP ${dscp}`)),
  ],
  run: { valueHint: "DSCP", description: "Ask servers for this DSCP" },
  demo: { client: "set 46", server: "accept --max 46" },
  trial: {
    rules: ["set 46", "accept --max 46"],
    shortfall: (_, count) => (count(Counter.GRANTED) ? undefined : "no DSCP was granted"),
  },
  seen: { value: shown, refusal: REFUSED },
};
