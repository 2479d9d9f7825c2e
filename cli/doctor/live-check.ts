// SPDX-License-Identifier: MIT
// The whole way once: a rule in a cgroup of our own, a connection over loopback in a namespace of our
// own, and a look at its socket from this process.

import type { Args } from "../args.ts";
import { Exit, TcpxError } from "../errors.ts";
import { ccRequest } from "../extensions/cc-request.ts";
import { iw } from "../extensions/iw.ts";
import { placeRules } from "../extensions/place.ts";
import type { Extension } from "../extensions/types.ts";
import { uto } from "../extensions/uto.ts";
import { Child, viewConnection } from "../lab/children.ts";
import { temporaryCgroup } from "../lab/sandbox.ts";
import type { Bridge } from "../loader/bridge.ts";
import { findScope } from "../loader/cgroup-place.ts";
import { readCounters } from "../loader/counters.ts";
import { Counter } from "../loader/layout.generated.ts";
import type { Patience } from "../loader/lock.ts";
import { lock, replaceRules } from "../loader/store.ts";
import type { Rule } from "../policy/rule.ts";
import { parseSelectors } from "../policy/selector.ts";
import { DEFAULT_SITE } from "../wire/site.ts";
import type { Check } from "./types.ts";

const NAME = "negotiation";
const TIMEOUT_MS = 42_000;
const PORT = 7003;

/** Every extension, with rules of both sides. */
function rules(): Rule[] {
  const here = parseSelectors({});
  const written = (extension: Extension, verb: string, args: Args) =>
    placeRules(extension, here, extension.verbs[verb]!.draft(args, DEFAULT_SITE).drafts, null);
  return [
    ...written(uto, "set", { duration: "42s" }),
    ...written(uto, "accept", { min: "1s" }),
    ...written(ccRequest, "set", { algorithm: "reno" }), // which every kernel has
    ...written(ccRequest, "accept", { algorithms: "reno" }),
    ...written(iw, "set", { segments: "20" }),
    ...written(iw, "accept", { max: "20" }),
  ];
}

async function negotiate(lib: Bridge, patience: Patience): Promise<string> {
  using held = await lock(lib, patience); // first: who ends us meanwhile finds nothing left
  await using cgroup = temporaryCgroup();
  const scope = findScope(lib, cgroup.path);
  await replaceRules(lib, held, scope, rules());
  try {
    await using child = new Child("loopback", { netns: "new", cgroup: cgroup.path }, String(PORT));
    if (!(await child.wait("connected", 5000))) throw new Error("no connection over loopback");
    const timeout = viewConnection(lib, child.pid)?.userTimeoutMs;
    if (timeout !== TIMEOUT_MS) throw new Error(`the user timeout is ${timeout}, not ${TIMEOUT_MS} ms`);
    const counters = readCounters(lib, scope.id);
    const of = (extension: Extension, counter: number) => counters?.count[extension.id]?.[counter] ?? 0;
    if (!of(uto, Counter.SENT) || !of(uto, Counter.RECEIVED))
      throw new Error("the option did not get through");
    for (const extension of [ccRequest, iw]) {
      if (!of(extension, Counter.GRANTED)) throw new Error(`${extension.name} was not granted`);
    }
  } finally {
    await replaceRules(lib, held, scope, []);
  }
  return "attached; uto, cc-request and iw negotiated over loopback";
}

/** Tries the core as a whole. */
export async function liveCheck(lib: Bridge, possible: boolean, patience: Patience): Promise<Check> {
  if (!possible) return { name: NAME, verdict: "skip", detail: "not tried", core: true };
  try {
    return { name: NAME, verdict: "ok", detail: await negotiate(lib, patience), core: true };
  } catch (error) {
    if (error instanceof TcpxError && error.code === Exit.BUSY) throw error; // says nothing about the kernel
    const detail = error instanceof Error ? error.message : String(error);
    return { name: NAME, verdict: "fail", detail, core: true };
  }
}
