// SPDX-License-Identifier: MIT
// `tcpx hue`: an extension that nobody needs, to be tried in a copy of the tree. It asks, is asked, and has a local rule.

import { type Args, textArg } from "../../cli/base/args.ts";
import { type Range, rangeText } from "../../cli/base/duration.ts";
import { usageError } from "../../cli/base/errors.ts";
import { exemption, noneWord, orNone } from "../../cli/extensions/exemption.ts";
import type { Drafted, Extension, RuleDraft, RuleVerb } from "../../cli/extensions/types.ts";
import { experiment, requestHex } from "../../cli/wire/request.ts";
import { DEFAULT_SITE, exidOf } from "../../cli/wire/site.ts";

const ASK = { name: "hue-ask", documented: 0x7c50 };
const ANSWER = { name: "hue-answer", documented: 0x7c51 };
const DEGREES: Range = { least: 0, most: 359 };

function drafted(kind: RuleDraft["kind"], args: Args, name: string): Drafted {
  const text = textArg(args, name);
  if (text === "none" || textArg(args, "value") === "none") return { drafts: [exemption(kind)], notices: [] };
  if (text === undefined)
    throw usageError(`--${name} is missing`, undefined, `accepted is ${rangeText(DEGREES)}`);
  const n = /^\d{1,3}$/.test(text) ? Number(text) : -1;
  if (n < DEGREES.least || n > DEGREES.most)
    throw usageError(
      `${name.toUpperCase()} '${text}' is no colour`,
      text,
      `accepted is ${rangeText(DEGREES)}, or none`,
    );
  return { drafts: [{ kind, none: false, force: false, value: [n, 0] }], notices: [] };
}

const set: RuleVerb = {
  summary: "Ask servers for a colour, or have one",
  kinds: ["ask", "local"],
  args: {
    degrees: { ...orNone(rangeText(DEGREES)), range: DEGREES, words: ["120", "240"] },
    local: { type: "boolean", description: "Have it ourselves, asking nobody" },
  },
  examples: [
    ["tcpx hue set 120 --to 192.0.2.0/24", "Green"],
    ["tcpx hue set 240 --local --port 443", "Blue"],
  ],
  draft: (args) => drafted(args.local === true ? "local" : "ask", args, "degrees"),
};

const accept: RuleVerb = {
  summary: "Grant clients a colour, up to a limit",
  kinds: ["accept"],
  args: {
    value: noneWord(": clients there have none"),
    max: { type: "string", valueHint: "DEGREES", description: rangeText(DEGREES), range: DEGREES },
  },
  examples: [["tcpx hue accept --max 180", "Half of them"]],
  draft: (args) => drafted("accept", args, "max"),
};

export const hue: Extension = {
  name: "hue",
  id: 4,
  title: "Hue (RFC 6994 experiment 0x7C50)",
  summary: "A colour for a connection",
  verbs: { set, accept },
  directions: { ask: "to", accept: "from" },
  examples: [["tcpx hue set 120", "Green, everywhere"]],
  describe: ({ none, value: [n] }) => (none ? "none" : `${n} degrees`),
  json(rule, site = DEFAULT_SITE) {
    if (rule.none) return {};
    const [degrees] = rule.value;
    return rule.kind === "ask" ? { degrees, option: requestHex(exidOf(ASK, site), degrees) } : { degrees };
  },
  spell({ kind, none, value: [n] }) {
    if (kind === "accept") return [{ verb: "accept", args: none ? { value: "none" } : { max: `${n}` } }];
    const local = kind === "local" ? { local: true } : {};
    return [{ verb: "set", args: { degrees: none ? "none" : `${n}`, ...local } }];
  },
  options: [
    experiment("ask", ASK, (n) => `asks for ${n} degrees`),
    experiment("answer", ANSWER, (n) => `grants ${n} degrees`),
  ],
  run: { valueHint: "DEGREES", description: "Ask servers for this colour", switches: ["local"] },
  demo: { client: "set 120", server: "accept --max 180" },
  trial: { rules: ["set 120", "accept --max 180"], shortfall: () => undefined },
  facilities: { bpf_timers: "colours cannot fade" },
};
