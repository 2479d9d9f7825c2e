// SPDX-License-Identifier: MIT
// A process that stays for long may do no more than it needs to, whoever has started it, and does not wake up
// for nothing.

import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, Errno } from "../bridge/bridge.ts";
import { type Capability, capabilityMask } from "./host.ts";
import { QUIET } from "./runtime-env.ts";
import { self } from "./self.ts";

/** In the environment of who has started anew: its pid. With any other value it means nothing. */
const STARTED_ANEW = "TCPX_CONFINED";

function failed(why: string, cause?: unknown): TcpxError {
  return new TcpxError(Exit.FAILED, `capabilities cannot be given up: ${why}`, {
    hint: "what stays for long does not run with more than it needs: see docs/security.md",
    cause,
  });
}

/** This command again, in this process, with more in its environment. */
function startAnew(env: Record<string, string>): TcpxError {
  const [program = "", ...first] = self();
  try {
    process.execve?.(program, [program, ...first, ...process.argv.slice(2)], { ...process.env, ...env });
  } catch (error) {
    return failed(`${program} cannot be started anew`, error);
  }
  return failed("this runtime cannot start anew");
}

/**
 * Goes on with these capabilities and no others, no new privileges, and without the runtime's timers.
 * Capabilities are a thread's, and the runtime has threads already, which have read the environment: so it
 * starts anew, where need be, and does not return then. What a unit has confined already goes on.
 * @throws TcpxError when it cannot be done
 */
export function becomeConfined(lib: Bridge, capabilities: readonly Capability[]): void {
  const keep = capabilityMask(capabilities);
  const confined = lib.tcpx_confined(keep) === 1;
  if (confined && process.env.BUN_GC_TIMER_DISABLE !== undefined) return;
  const pid = String(process.pid);
  if (process.env[STARTED_ANEW] === pid) {
    if (confined) return;
    throw failed("they came back");
  }
  lib.tcpx_raise_memlock(); // before 5.11; takes CAP_SYS_RESOURCE
  const error = lib.tcpx_confine(keep);
  if (error < 0) throw failed(new Errno("", -error).code);
  throw startAnew({ ...QUIET, [STARTED_ANEW]: pid });
}
