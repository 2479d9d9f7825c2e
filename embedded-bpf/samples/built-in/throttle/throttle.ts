// SPDX-License-Identifier: MIT
// `tcpx throttle`: connections send with this rate at most. A sample, to be copied: a local setting.
// In cli/extensions/registry.ts: export { throttle } from "./throttle.ts";

import { textArg } from "../base/args.ts";
import { type Range, rangeText } from "../base/duration.ts";
import { usageError } from "../base/errors.ts";
import { Counter, Ext, Outcome } from "../layout/layout.generated.ts";
import { exemption, noLiveExemption, orNone } from "./exemption.ts";
import type { Extension, RuleVerb } from "./types.ts";

/** Bytes per second. */
const RATE: Range = { least: 1000, most: 4_000_000_000 };

const set: RuleVerb = {
  summary: "Send with this rate at most",
  kinds: ["local"],
  args: { rate: { ...orNone(`Bytes per second, ${rangeText(RATE)}`), range: RATE } },
  examples: [
    ["tcpx throttle set 1000000 --to 192.0.2.0/24", "1 MB/s at most to there"],
    ["tcpx throttle set 1000000 --port 443 --live", "Also on connections that exist already"],
  ],
  draft(args) {
    const text = textArg(args, "rate") ?? "";
    if (text === "none") return { drafts: [exemption("local")], notices: [] };
    const rate = /^\d{1,10}$/.test(text) ? Number(text) : 0;
    if (rate < RATE.least || rate > RATE.most)
      throw usageError(`RATE '${text}' is not a rate`, text, `accepted is ${rangeText(RATE)}, or none`);
    return { drafts: [{ kind: "local", none: false, force: false, value: [rate, 0] }], notices: [] };
  },
  checkLive: noLiveExemption,
};

export const throttle: Extension = {
  name: "throttle",
  id: Ext.THROTTLE,
  title: "Throttle rate (SO_MAX_PACING_RATE)",
  summary: "How fast a connection sends at most",
  verbs: { set },
  examples: [
    ["tcpx throttle set 1000000", "Every connection sends 1 MB/s at most"],
    ["tcpx throttle unset --all", "Take it back"],
  ],
  describe: ({ none, value: [rate] }) => (none ? "none" : `${rate} B/s`),
  json: ({ none, value: [rate] }) => (none ? {} : { bytes_per_second: rate }),
  spell: ({ none, value: [rate] }) => [{ verb: "set", args: { rate: none ? "none" : `${rate}` } }],
  run: { valueHint: "RATE", description: "Send with this rate at most, in bytes per second" },
  trial: {
    rules: ["set 1000000"],
    shortfall: (_, count) => (count(Counter.APPLIED) ? undefined : "the throttle rate was not set"),
  },
  seen: {
    // the application may have chosen since
    outcome: ({ local, own }) =>
      local.outcome === Outcome.APPLIED && own.applied !== local.value[0]
        ? Outcome.APPLICATION
        : local.outcome,
  },
};
