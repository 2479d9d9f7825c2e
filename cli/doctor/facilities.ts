// SPDX-License-Identifier: MIT
// Kernel facilities, each tried by loading a small program that uses it.

import { readFileSync } from "node:fs";
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
  {
    program: "iterator_setsockopt",
    name: "live changes",
    without: "rules reach new connections only",
    core: false,
  },
  { program: "bpf_timers", name: "BPF timers", without: "acknowledgments cannot be thinned", core: false },
];

const BTF = "/sys/kernel/btf/vmlinux";

/** How far listeners that are older than the rules can be armed; follows from live changes. */
function oldListeners(live: Check): Check {
  const check = { name: "old listeners", core: false };
  if (live.verdict === "skip") return { ...check, verdict: "skip", detail: live.detail };
  if (live.verdict !== "ok") {
    const detail = "not armed: their connections negotiate on the third ACK and on data";
    return { ...check, verdict: "warn", detail };
  }
  // the name of the socket option (6.12), without which an iterator cannot set callback flags
  if (!readFileSync(BTF).includes("TCP_BPF_SOCK_OPS_CB_FLAGS")) {
    return {
      ...check,
      verdict: "warn",
      detail: "read the SYN, but answer on data; nothing is announced live",
    };
  }
  return { ...check, verdict: "ok", detail: "armed: they answer in the SYN-ACK" };
}

/** Tries every facility; `possible` is false when there is no permission to. */
export async function facilityChecks(lib: Bridge, possible: boolean): Promise<Check[]> {
  const checks: Check[] = [];
  for (const { program, name, without, core } of FACILITIES) {
    if (!possible) {
      checks.push({ name, verdict: "skip", detail: "not tried: needs root", core });
      continue;
    }
    const result = await tryProgram(lib, program);
    const ok = result >= 0;
    const detail = ok ? "loads" : `${without} (${new Errno("load", -result).code})`;
    checks.push({ name, verdict: ok ? "ok" : core ? "fail" : "warn", detail, core });
  }
  checks.push(oldListeners(checks.find(({ name }) => name === "live changes")!));
  return checks;
}
