// SPDX-License-Identifier: MIT
// Can this kernel thin ACKs? Tried, because distributions backport: a version number would not tell.

import { release } from "node:os";
import { Exit, TcpxError } from "../base/errors.ts";
import { bridge } from "../bridge/bridge.ts";
import { tryProgram } from "../bridge/probe.ts";

const EOPNOTSUPP = 95;

/** With PREEMPT_RT the verifier refuses timers with an errno of its own, however new the kernel is. */
export function whyNoTimers(result: number): string {
  return result === -EOPNOTSUPP ? "with PREEMPT_RT there are none" : "they came with Linux 5.15";
}

/**
 * Makes sure that this kernel can hold an ACK back and have it sent later.
 * @param instead what works here, for the error
 * @throws TcpxError (unsupported)
 */
export async function requireThinning(instead: string): Promise<void> {
  const lib = await bridge();
  const result = await tryProgram(lib, "bpf_timers"); // in a cgroup_skb program, which the thinner's are
  if (result >= 0) return;
  // when nothing loads here timers are not the reason, and loading the rules tells which it is
  if ((await tryProgram(lib, "header_options")) < 0) return;
  throw new TcpxError(Exit.UNSUPPORTED, `this kernel (${release()}) cannot thin ACKs: it has no BPF timers`, {
    value: release(),
    hint: `${whyNoTimers(result)}; ${instead}`,
  });
}

/** Why this kernel cannot; undefined when it can. */
export function cannotThin(): Promise<string | undefined> {
  return requireThinning("--delay works here").then(
    () => undefined,
    (error: Error) => error.message,
  );
}
