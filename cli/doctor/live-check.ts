// SPDX-License-Identifier: MIT
// The whole way once: a rule in a cgroup of our own, a connection over loopback in a namespace of our
// own, and what getsockopt() says of it there.

import { Exit, TcpxError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { extensions } from "../extensions/index.ts";
import { rulesOfLine } from "../extensions/line.ts";
import { Child } from "../lab/children.ts";
import { temporaryCgroup } from "../lab/sandbox.ts";
import { findScope } from "../loader/cgroup-place.ts";
import { readCounters } from "../loader/counters.ts";
import { lock, replaceRules } from "../loader/store.ts";
import type { Patience } from "../system/lock.ts";
import { type Check, keepsFromTrying, notTried } from "./types.ts";

const NAME = "negotiation";
const CONNECT_MS = 5000;

/** Extensions that are tried, with rules of both sides. */
const TRIED = extensions.flatMap(({ trial, ...extension }) => (trial ? { ...extension, trial } : []));
const rules = () => TRIED.flatMap((tried) => tried.trial.rules.flatMap((line) => rulesOfLine(tried, line)));

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
  const counters = readCounters(lib, scope);
  for (const { id, trial } of TRIED) {
    const what = trial.shortfall(view, (counter) => counters?.count[id]?.[counter] ?? 0);
    if (what !== undefined) return what;
  }
  return undefined;
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
    const names = TRIED.map(({ name }) => name).join(", ");
    return `attached; ${names.replace(/, ([^,]*)$/, " and $1")} negotiated over ${where}`;
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
