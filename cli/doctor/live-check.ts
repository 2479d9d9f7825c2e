// SPDX-License-Identifier: MIT
// The whole way once: a rule in a cgroup of our own, a connection over loopback in a namespace of our
// own, and a look at its socket from this process.

import { Exit, TcpxError } from "../errors.ts";
import { uto } from "../extensions/uto.ts";
import { Child, connectionOption } from "../lab/children.ts";
import { temporaryCgroup } from "../lab/sandbox.ts";
import type { Bridge } from "../loader/bridge.ts";
import { readCounters } from "../loader/counters.ts";
import { findScope } from "../loader/host.ts";
import { Counter } from "../loader/layout.generated.ts";
import { lock, replaceRules } from "../loader/store.ts";
import type { Rule } from "../policy/rule.ts";
import { parseSelectors } from "../policy/selector.ts";
import type { Check } from "./types.ts";

const NAME = "negotiation";
const TCP_USER_TIMEOUT = 18;
const TIMEOUT_MS = 42_000;
const PORT = 7003;

function rules(): Rule[] {
  const [selector] = parseSelectors({});
  const drafts = [
    ...uto.verbs.set!.draft({ duration: "42s" }).drafts,
    ...uto.verbs.accept!.draft({ min: "1s" }).drafts,
  ];
  return drafts.map((draft) => ({ ext: uto.name, selector: selector!, netns: null, ...draft }));
}

async function negotiate(lib: Bridge, wait: boolean): Promise<string> {
  await using cgroup = temporaryCgroup();
  using held = lock(lib, wait);
  const scope = findScope(lib, cgroup.path);
  await replaceRules(lib, held, scope, rules());
  try {
    await using child = new Child("loopback", { netns: "new", cgroup: cgroup.path }, String(PORT));
    if (!(await child.wait("connected", 5000))) throw new Error("no connection over loopback");
    const timeout = connectionOption(lib, child.pid, TCP_USER_TIMEOUT);
    if (timeout !== TIMEOUT_MS) throw new Error(`the user timeout is ${timeout}, not ${TIMEOUT_MS} ms`);
    const row = readCounters(lib, scope.id)?.count[uto.id];
    if (!row?.[Counter.SENT] || !row[Counter.RECEIVED]) throw new Error("the option did not get through");
  } finally {
    await replaceRules(lib, held, scope, []);
  }
  return "attached, option sent and received, user timeout set";
}

/** Tries the core as a whole. */
export async function liveCheck(lib: Bridge, possible: boolean, wait: boolean): Promise<Check> {
  if (!possible) return { name: NAME, verdict: "skip", detail: "not tried", core: true };
  try {
    return { name: NAME, verdict: "ok", detail: await negotiate(lib, wait), core: true };
  } catch (error) {
    if (error instanceof TcpxError && error.code === Exit.BUSY) throw error; // says nothing about the kernel
    const detail = error instanceof Error ? error.message : String(error);
    return { name: NAME, verdict: "fail", detail, core: true };
  }
}
