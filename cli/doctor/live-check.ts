// SPDX-License-Identifier: MIT
// The whole way once: a rule in a cgroup of our own, a connection over loopback in a namespace of our
// own, and what getsockopt() says of it there.

import type { Args } from "../base/args.ts";
import { Exit, TcpxError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { ccRequest } from "../extensions/cc-request.ts";
import { iw } from "../extensions/iw.ts";
import { placeRules } from "../extensions/place.ts";
import type { Extension } from "../extensions/types.ts";
import { uto } from "../extensions/uto.ts";
import { Child } from "../lab/children.ts";
import { temporaryCgroup } from "../lab/sandbox.ts";
import { Counter } from "../layout/layout.generated.ts";
import { findScope } from "../loader/cgroup-place.ts";
import { readCounters } from "../loader/counters.ts";
import { lock, replaceRules } from "../loader/store.ts";
import type { Rule } from "../policy/rule.ts";
import { parseSelectors } from "../policy/selector.ts";
import type { Patience } from "../system/lock.ts";
import { DEFAULT_SITE } from "../wire/site.ts";
import { type Check, keepsFromTrying, notTried } from "./types.ts";

const NAME = "negotiation";
const TIMEOUT_MS = 42_000;
const CONNECT_MS = 5000;

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

/** What the checker itself could not do: it says nothing about the kernel. */
class NotTried extends Error {}

const wordsOf = (error: unknown): string => {
  if (error instanceof TcpxError && error.hint) return `${error.message}; ${error.hint}`;
  return error instanceof Error ? error.message : String(error);
};

/** A step that is no part of what is tried. */
async function needed<T>(step: () => T | Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof TcpxError && error.code === Exit.BUSY) throw error;
    throw new NotTried(wordsOf(error));
  }
}

/** Started, and connected to itself; in our own network namespace where it may have no other. */
async function connected(cgroup: string): Promise<{ child: Child; isolated: boolean }> {
  const complaints: string[] = [];
  for (const netns of ["new", "-"]) {
    const child = new Child("loopback", { netns, cgroup });
    const event = await child.wait(["connected", "failed"], CONNECT_MS);
    if (event?.event === "connected") return { child, isolated: netns === "new" };
    await child[Symbol.asyncDispose]();
    const words = event ? String(event.what) : (await child.complaint()).replace(/^tcpx: /, "");
    complaints.push(words || `nothing came in ${CONNECT_MS / 1000} s`);
  }
  throw new NotTried(`no connection over loopback: ${complaints.join("; ")}`);
}

/** What the rules had to do; undefined: it is done. */
async function shortfall(lib: Bridge, child: Child, scope: bigint): Promise<string | undefined> {
  const view = await child.view();
  if (!view) throw new NotTried("the connection's settings could not be read");
  if (view.userTimeoutMs !== TIMEOUT_MS)
    return `the user timeout is ${view.userTimeoutMs}, not ${TIMEOUT_MS} ms`;
  const counters = readCounters(lib, scope);
  const of = (extension: Extension, counter: number) => counters?.count[extension.id]?.[counter] ?? 0;
  if (!of(uto, Counter.SENT) || !of(uto, Counter.RECEIVED)) return "the option did not get through";
  const refused = [ccRequest, iw].find((extension) => !of(extension, Counter.GRANTED));
  return refused && `${refused.name} was not granted`;
}

async function negotiate(lib: Bridge, patience: Patience): Promise<string> {
  using held = await needed(() => lock(lib, patience)); // first: who ends us meanwhile finds nothing left
  await using cgroup = await needed(temporaryCgroup);
  const scope = await needed(() => findScope(lib, cgroup.path));
  await replaceRules(lib, held, scope, rules());
  try {
    const { child, isolated } = await connected(cgroup.path);
    await using _ = child;
    const where = isolated ? "loopback" : "loopback of this network namespace";
    const failure = await shortfall(lib, child, scope.id);
    // packet filters may be in the way in a namespace that is not ours alone
    if (failure && !isolated) throw new NotTried(`over ${where}: ${failure}`);
    if (failure) throw new Error(failure);
    return `attached; uto, cc-request and iw negotiated over ${where}`;
  } finally {
    await replaceRules(lib, held, scope, []);
  }
}

/** Is it the kernel's answer, or did something keep us from asking? */
function isNotTried(error: unknown): boolean {
  if (error instanceof NotTried) return true;
  if (error instanceof TcpxError) return error.code === Exit.PERMISSION || error.code === Exit.FAILED;
  const { code } = error as { code?: unknown };
  return code === "EACCES" || keepsFromTrying(code); // the verifier's EACCES comes as a TcpxError
}

/**
 * Tries the core as a whole.
 * @param obstacle why it cannot be tried
 */
export async function liveCheck(
  lib: Bridge,
  obstacle: string | undefined,
  patience: Patience,
): Promise<Check> {
  const check = { name: NAME, core: true } as const;
  if (obstacle !== undefined) return { ...check, verdict: "skip", detail: notTried(obstacle) };
  try {
    return { ...check, verdict: "ok", detail: await negotiate(lib, patience) };
  } catch (error) {
    if (error instanceof TcpxError && error.code === Exit.BUSY) throw error; // says nothing about the kernel
    const words = wordsOf(error);
    if (isNotTried(error)) return { ...check, verdict: "skip", detail: notTried(words) };
    return { ...check, verdict: "fail", detail: words };
  }
}
