// SPDX-License-Identifier: MIT
// What local rules have done to a connection: what tcpx sets without asking anybody.

import type { Came, Local, RawRule } from "../extensions/seen.ts";
import type { Extension } from "../extensions/types.ts";
import { Outcome, RuleFlag } from "../layout/layout.generated.ts";
import type { Site } from "../wire/site.ts";
import { ruleShown } from "./value.ts";

const NO_LOCAL: Local = { status: "none", rule: null, applied: null, reason: null, why: "" };

const PENDING: Came = { status: "pending", reason: null, why: "" };
const OUTCOMES: Readonly<Record<number, Came>> = {
  [Outcome.APPLIED]: { status: "applied", reason: null, why: "" },
  [Outcome.APPLICATION]: { status: "kept", reason: "application", why: "" },
  [Outcome.GRANTED]: { status: "kept", reason: "granted", why: "" },
  [Outcome.LOSS]: { status: "failed", reason: "loss", why: "a segment was lost" },
  [Outcome.LATE]: { status: "failed", reason: "late", why: "data was sent before" },
  [Outcome.KERNEL]: { status: "failed", reason: "kernel", why: "the kernel refused it" },
};

export function localOf(extension: Extension, raw: RawRule, site: Site): Local {
  const { flags, outcome } = raw;
  if (!(flags & RuleFlag.SET)) return NO_LOCAL;
  if (flags & RuleFlag.NONE) return { ...NO_LOCAL, status: "exempt" };
  const rule = ruleShown(extension, "local", raw, site);
  const came = extension.seen?.outcomes?.[outcome] ?? OUTCOMES[outcome] ?? PENDING;
  return { ...came, rule, applied: came.status === "applied" ? rule : null };
}
