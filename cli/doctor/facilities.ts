// SPDX-License-Identifier: MIT
// Kernel facilities, each tried by loading a small program that uses it.

import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, Errno } from "../bridge/bridge.ts";
import { PROBES, type Probe, tryProgram } from "../bridge/probe.ts";
import type { SockType } from "../bridge/sock-types.ts";
import { extensions } from "../extensions/index.ts";
import { canAnnounce, tryLive } from "../live/probe.ts";
import { listSockets } from "../observe/iterate.ts";
import { type Check, keepsFromTrying, notTried } from "./types.ts";

/** Of all rules; nothing works without those that are core. */
const COMMON = [
  { program: "header_options", core: true },
  { program: "socket_storage", core: true },
  { program: "core_reads", core: true },
  { program: "netns_cookie", core: false },
  { program: "ring_buffer", core: false },
  { program: "socket_iterator", core: false },
] as const;

interface Facility {
  program: Probe;
  core: boolean;
  /** What cannot be done without it. */
  without: string;
}

/** Types of programs that extensions have, each once. */
function sockFacilities(): Facility[] {
  const all = extensions.flatMap(({ programs = {} }) =>
    Object.entries(programs).map(([type, { without }]) => ({ type: type as SockType, without })),
  );
  return [...Map.groupBy(all, ({ type }) => type)].map(([program, found]) => ({
    program,
    core: false,
    without: [...new Set(found.map(({ without }) => without))].join("; "),
  }));
}

/** In the order of the report. */
const FACILITIES: readonly Facility[] = [
  ...COMMON.map((common) => ({ ...common, without: PROBES[common.program].without })),
  ...extensions.flatMap(({ facilities = {} }) =>
    Object.entries(facilities).map(([program, without]) => ({
      program: program as Probe,
      core: false,
      without,
    })),
  ),
  ...sockFacilities(),
];
const LIVE = { name: "live changes", core: false };
const LISTENERS = { name: "old listeners", core: false };

const REFUSED = "the kernel does not let us load BPF programs";

/** What a refusal means: `without` when it is the kernel's answer. */
function judged(check: Pick<Check, "name" | "core">, code: string, without: string): Check {
  if (keepsFromTrying(code)) return { ...check, verdict: "skip", detail: notTried(`${REFUSED} (${code})`) };
  return { ...check, verdict: check.core ? "fail" : "warn", detail: `${without} (${code})` };
}

async function facility(lib: Bridge, { program, core, without }: Facility): Promise<Check> {
  const { name } = PROBES[program];
  const result = await tryProgram(lib, program);
  if (result >= 0) return { name, verdict: "ok", detail: "loads", core };
  return judged({ name, core }, new Errno("load", -result).code, without);
}

/** With the very program of `connections`, which needs more than an iterator. */
async function listing(lib: Bridge, check: Check): Promise<Check> {
  try {
    await listSockets(lib, 0n, []);
    return check;
  } catch (error) {
    const words = (error as Error).message;
    const isAnswer = error instanceof TcpxError && error.code === Exit.UNSUPPORTED;
    if (!isAnswer) return { ...check, verdict: "skip", detail: notTried(words) };
    return { ...check, verdict: "warn", detail: `${PROBES.socket_iterator.without}: ${words}` };
  }
}

/** Changing connections that exist: with the very programs of --live. */
async function liveChanges(lib: Bridge): Promise<Check> {
  const error = await tryLive(lib, "list", "change", "restore");
  if (!error) return { ...LIVE, verdict: "ok", detail: "the programs of --live load" };
  return judged(LIVE, error.code, "rules reach new connections only");
}

/** How far listeners that are older than the rules can be armed. */
async function oldListeners(lib: Bridge): Promise<Check> {
  const error = await tryLive(lib, "arm");
  if (error) return judged(LISTENERS, error.code, "not armed: they negotiate on the third ACK and on data");
  if (canAnnounce()) return { ...LISTENERS, verdict: "ok", detail: "armed: they answer in the SYN-ACK" };
  const detail = "read the SYN, but answer on data; nothing is announced live";
  return { ...LISTENERS, verdict: "warn", detail };
}

/** Its programs are loaded as a command would load them, for which that reads what is pinned. */
async function readable(check: typeof LIVE, work: Promise<Check>): Promise<Check> {
  try {
    return await work;
  } catch (error) {
    return { ...check, verdict: "skip", detail: notTried((error as Error).message) };
  }
}

/**
 * Tries every facility.
 * @param obstacle why that cannot be
 */
export async function facilityChecks(lib: Bridge, obstacle: string | undefined): Promise<Check[]> {
  if (obstacle !== undefined) {
    const all = [
      ...FACILITIES.map(({ program, core }) => ({ name: PROBES[program].name, core })),
      LIVE,
      LISTENERS,
    ];
    return all.map((check) => ({ ...check, verdict: "skip", detail: notTried(obstacle) }));
  }
  const checks: Check[] = [];
  for (const one of FACILITIES) {
    const check = await facility(lib, one);
    checks.push(
      one.program === "socket_iterator" && check.verdict === "ok" ? await listing(lib, check) : check,
    );
  }
  return [...checks, await readable(LIVE, liveChanges(lib)), await readable(LISTENERS, oldListeners(lib))];
}
