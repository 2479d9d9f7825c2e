// SPDX-License-Identifier: MIT
// The agent may do no more than it needs to, whoever has started it.

import { Exit, TcpxError } from "../errors.ts";
import { type Bridge, Errno } from "../loader/bridge.ts";
import { capabilityMask } from "../loader/host.ts";
import { startAnew } from "../system/quiet.ts";
import { CAPABILITIES, QUIET } from "./unit.ts";

/** In the environment of who has started anew: its pid. With any other value it means nothing. */
const STARTED_ANEW = "TCPX_AGENT_CONFINED";

function failed(why: string, cause?: unknown): TcpxError {
  return new TcpxError(Exit.FAILED, `capabilities cannot be given up: ${why}`, {
    hint: "the agent does not run with more than it needs: see docs/security.md",
    cause,
  });
}

/**
 * Goes on with the agent's capabilities and no others, no new privileges, and without the runtime's timers.
 * Capabilities are a thread's, and the runtime has threads already: so it starts anew, where need be, and
 * does not return then. What systemd has started is confined.
 * @throws TcpxError when it cannot be done
 */
export function becomeConfined(lib: Bridge): void {
  const keep = capabilityMask(CAPABILITIES);
  const confined = lib.tcpx_confined(keep);
  if (confined === 1 && process.env.BUN_GC_TIMER_DISABLE !== undefined) return;
  const pid = String(process.pid);
  if (process.env[STARTED_ANEW] === pid) {
    if (confined === 1) return;
    throw failed("they came back");
  }
  lib.tcpx_raise_memlock(); // before 5.11; takes CAP_SYS_RESOURCE
  const error = lib.tcpx_confine(keep);
  if (error < 0) throw failed(new Errno("", -error).code);
  try {
    startAnew({ ...QUIET, [STARTED_ANEW]: pid });
  } catch (cause) {
    throw failed(`${process.execPath} cannot be started anew`, cause);
  }
  throw failed("this runtime cannot start anew");
}
