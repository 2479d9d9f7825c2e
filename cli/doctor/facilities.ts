// SPDX-License-Identifier: MIT
// Kernel facilities, each tried by loading a small program that uses it.

import { canAnnounce, tryLive } from "../live/probe.ts";
import { type Bridge, Errno } from "../loader/bridge.ts";
import { tryProgram } from "../loader/probe.ts";
import type { Check } from "./types.ts";

interface Facility {
  /** Name of the program in embedded-bpf/probe.bpf.c. */
  program: string;
  name: string;
  /** What does not work without it. */
  without: string;
  core: boolean;
}

const FACILITIES: Facility[] = [
  { program: "header_options", name: "TCP header options", without: "no option can be sent", core: true },
  { program: "socket_storage", name: "socket storage", without: "no connection can be tracked", core: true },
  {
    program: "core_reads",
    name: "CO-RE reads",
    without: "applications' own choices cannot be seen",
    core: true,
  },
  {
    program: "netns_cookie",
    name: "namespace cookies",
    without: "root scope rules are for every network namespace",
    core: false,
  },
  { program: "ring_buffer", name: "ring buffer", without: "events cannot be watched", core: false },
  {
    program: "socket_iterator",
    name: "socket iterator",
    without: "connections cannot be listed",
    core: false,
  },
  { program: "bpf_timers", name: "BPF timers", without: "acknowledgments cannot be thinned", core: false },
];

/** Changing connections that exist: with the very programs of --live. */
async function liveChanges(lib: Bridge): Promise<Check> {
  const check = { name: "live changes", core: false };
  const error = await tryLive(lib, "list", "change", "restore");
  if (!error) return { ...check, verdict: "ok", detail: "the programs of --live load" };
  return { ...check, verdict: "warn", detail: `rules reach new connections only (${error.code})` };
}

/** How far listeners that are older than the rules can be armed. */
async function oldListeners(lib: Bridge): Promise<Check> {
  const check = { name: "old listeners", core: false };
  const error = await tryLive(lib, "arm");
  if (error) {
    const detail = `not armed: their connections negotiate on the third ACK and on data (${error.code})`;
    return { ...check, verdict: "warn", detail };
  }
  if (canAnnounce()) return { ...check, verdict: "ok", detail: "armed: they answer in the SYN-ACK" };
  const detail = "read the SYN, but answer on data; nothing is announced live";
  return { ...check, verdict: "warn", detail };
}

/** Tries every facility; `possible` is false when there is no permission to. */
export async function facilityChecks(lib: Bridge, possible: boolean): Promise<Check[]> {
  if (!possible) {
    const names = [
      ...FACILITIES,
      ...["live changes", "old listeners"].map((name) => ({ name, core: false })),
    ];
    return names.map(({ name, core }) => {
      return { name, verdict: "skip", detail: "not tried: needs root", core };
    });
  }
  const checks: Check[] = [];
  for (const { program, name, without, core } of FACILITIES) {
    const result = await tryProgram(lib, program);
    const ok = result >= 0;
    const detail = ok ? "loads" : `${without} (${new Errno("load", -result).code})`;
    checks.push({ name, verdict: ok ? "ok" : core ? "fail" : "warn", detail, core });
  }
  return [...checks, await liveChanges(lib), await oldListeners(lib)];
}
