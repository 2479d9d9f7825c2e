// SPDX-License-Identifier: MIT
// What the agent is kept from, by capabilities that it lacks or by a filter, and what is told of it. Held ACKs leave
// through raw sockets: where those are refused nothing is held back.

import { existsSync } from "node:fs";
import { Exit, type ExitCode, TcpxError } from "../base/errors.ts";
import { type Bridge, Errno } from "../bridge/bridge.ts";
import type { Rule } from "../policy/rule.ts";
import { programOf } from "../system/child.ts";
import { type Capability, capabilities } from "../system/host.ts";
import type { ThreadStats } from "./engine.ts";
import { type AgentAnswer, isCurrent } from "./health.ts";
import { askAgent } from "./socket.ts";
import { CAPABILITIES } from "./transient-unit.ts";
import { wishOf } from "./wish.ts";

/** Why no held ACK could be sent: JSON, since the agent tells it. */
export interface Refused {
  code: ExitCode;
  what: string;
  hint: string;
}

const HINTS: Record<string, string> = {
  EPERM: "a seccomp filter or a security module is in the way",
  EACCES: "a security module is in the way",
  EAFNOSUPPORT: "a filter of address families is in the way, or this kernel has no IPv4",
  EMFILE: "raise the limit of open files (ulimit -n, LimitNOFILE=)",
};

/** In this process; undefined: nothing is in the way. */
export function refusedHere(lib: Bridge): Refused | undefined {
  const result = lib.tcpx_raw_sockets();
  if (result >= 0) return undefined;
  const { code } = new Errno("", -result);
  const kinds: Record<string, ExitCode> = {
    EPERM: Exit.PERMISSION,
    EACCES: Exit.PERMISSION,
    EAFNOSUPPORT: Exit.UNSUPPORTED,
  };
  if (code === "EPERM" && !capabilities(lib)("NET_RAW")) {
    const hint = "the agent sends held ACKs through raw sockets; start it with all capabilities of root";
    return { code: Exit.PERMISSION, what: "CAP_NET_RAW is missing", hint };
  }
  const what = `raw sockets are refused (${code})`;
  return { code: kinds[code] ?? Exit.FAILED, what, hint: HINTS[code] ?? "the agent sends held ACKs so" };
}

export const refusal = ({ code, what, hint }: Refused): TcpxError =>
  new TcpxError(code, `ACKs cannot be held back: ${what}`, { hint });

/** Those of the agent's that this process lacks. SYS_ADMIN stands for BPF and PERFMON. */
export function missingHere(lib: Bridge): Capability[] {
  const has = capabilities(lib);
  const spared = (name: Capability) => (name === "BPF" || name === "PERFMON") && has("SYS_ADMIN");
  return CAPABILITIES.filter((name) => !has(name) && !spared(name));
}

/** By `troubleWith`: what failed, and the capability that it takes. */
const TROUBLES: Record<number, { what: string; capability: Capability }> = {
  1: { what: "cannot be entered", capability: "SYS_ADMIN" },
  2: { what: "refuse raw sockets", capability: "NET_RAW" },
  3: { what: "refuse routes", capability: "NET_ADMIN" },
};

const LAST = "(last minute)";

/** What namespaces are not served for, other than by their owner or their routing; one line each. */
export function troubles(stats: ThreadStats | undefined, missing: readonly Capability[]): string[] {
  if (!stats) return [];
  const { troubled, troubleWith, troubleErrno, unfound } = stats;
  const trouble = TROUBLES[troubleWith];
  const found: string[] = [];
  if (troubled > 0 && trouble) {
    const lacks = missing.includes(trouble.capability);
    const why = lacks ? `CAP_${trouble.capability} is missing` : new Errno("", troubleErrno).code;
    found.push(`${troubled} network namespace(s) ${trouble.what} ${LAST}: ${why}`);
  }
  if (unfound > 0 && missing.includes("SYS_PTRACE")) {
    found.push(`${unfound} network namespace(s) were not found ${LAST}: CAP_SYS_PTRACE is missing`);
  }
  return found;
}

/** Will systemd start it, with what it gives the unit? */
const hasSystemd = () => existsSync("/run/systemd/system") && programOf("systemd-run") !== null;

/**
 * Makes sure, before rules are set, that what they hold back can be sent: by the agent that runs, or by the one
 * that would be started from here.
 * @throws TcpxError (permission, unsupported); nothing was changed
 */
export async function requireSender(lib: Bridge, rules: readonly Rule[]): Promise<void> {
  if (!rules.some((rule) => wishOf(rule)?.thins)) return;
  const own = refusedHere(lib);
  if (!own || hasSystemd()) return;
  const answer = await askAgent<AgentAnswer>({ op: "status" }).catch(() => undefined);
  const isEnough = answer && !answer.ending && isCurrent(answer) && answer.can_send;
  if (!isEnough) throw refusal(own);
}
