// SPDX-License-Identifier: MIT
// What a host says of itself. What cannot be read is not known: that is told as such.

import { release } from "node:os";
import { refusedHere } from "../agent/rights.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { tryProgram } from "../bridge/probe.ts";
import { BPFFS, BTF, btfState, capabilities, findBpffs, findCgroupRoot } from "../system/host.ts";
import { lockdownMode, memoryReads } from "../system/lockdown.ts";
import { hostView, isDirectory, readOrEmpty } from "../system/viewpoint.ts";
import type { Check } from "./types.ts";

const OLDEST = [5, 10] as const;

/** Is kernel `version` at least major.minor? */
export function atLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [a = 0, b = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  return a > major || (a === major && b >= minor);
}

function kernel(): Check {
  const version = release();
  const ok = atLeast(version, OLDEST);
  // distributions backport: an old number is a hint, the probes decide
  const detail = ok ? version : `${version} is older than 5.10, where header options came`;
  return { name: "kernel", verdict: ok ? "ok" : "warn", detail, core: false };
}

/** libbpf has other places to look for them, so what counts is whether it finds them. */
async function btf(lib: Bridge, permitted: boolean): Promise<Check> {
  const check = { name: "BTF", core: true } as const;
  const state = btfState(lib);
  if (state === "there") return { ...check, verdict: "ok", detail: BTF };
  if (permitted && (await tryProgram(lib, "core_reads")) >= 0) {
    return { ...check, verdict: "ok", detail: `found, though ${BTF} is missing` };
  }
  if (state === "hidden") {
    const detail = "not known: sysfs is not mounted at /sys; mount it with: mount -t sysfs sysfs /sys";
    return { ...check, verdict: "skip", detail };
  }
  const detail = `${BTF} is missing: boot a kernel with CONFIG_DEBUG_INFO_BTF=y`;
  return { ...check, verdict: "fail", detail };
}

function cgroup2(): Check {
  const check = { name: "cgroup2", core: true } as const;
  const root = findCgroupRoot();
  if (root !== undefined) return { ...check, verdict: "ok", detail: root };
  const known = readOrEmpty("/proc/filesystems");
  if (known !== "" && !/\tcgroup2$/m.test(known)) {
    return { ...check, verdict: "fail", detail: "this kernel has none" };
  }
  const detail = "not mounted where we can see it; mount it with: mount -t cgroup2 none /sys/fs/cgroup";
  return { ...check, verdict: "skip", detail };
}

/** Why the first rule could not mount it; undefined: it could. */
function mountObstacle(lib: Bridge): string | undefined {
  const host = hostView();
  if (!host) return "a mount in this private mount namespace would end with it";
  if (!capabilities(lib)("SYS_ADMIN")) return "CAP_SYS_ADMIN is missing";
  return isDirectory(host.root + BPFFS) ? undefined : `there is no directory ${BPFFS}`;
}

function bpffs(lib: Bridge): Check {
  const check = { name: "bpffs", core: false } as const;
  const path = findBpffs(lib);
  if (path !== undefined) return { ...check, verdict: "ok", detail: path };
  const obstacle = mountObstacle(lib);
  const detail = obstacle
    ? `not mounted, and tcpx cannot mount it from here: ${obstacle}; on the host: mount -t bpf bpf ${BPFFS}`
    : `not mounted at ${BPFFS}; tcpx mounts it when it sets the first rule`;
  return { ...check, verdict: "warn", detail };
}

function capabilitiesHere(missing: readonly string[]): Check {
  const check = { name: "capabilities", core: true } as const;
  if (missing.length === 0) return { ...check, verdict: "ok", detail: "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON" };
  return { ...check, verdict: "skip", detail: `missing here: ${missing.join(", ")}; run it as root` };
}

/** Held ACKs leave through them. A unit has what systemd gives it. */
function rawSockets(lib: Bridge, permitted: boolean): Check {
  const check = { name: "raw sockets", core: false } as const;
  const refused = refusedHere(lib);
  if (!refused) return { ...check, verdict: "ok", detail: "held ACKs can be sent" };
  const detail = `an agent that is started from here holds no ACKs back: ${refused.what}`;
  return { ...check, verdict: permitted ? "warn" : "skip", detail };
}

/** Whether it is on is read where securityfs has it; what it does is tried. Rules can do without: see negotiation. */
async function lockdown(lib: Bridge, permitted: boolean): Promise<Check> {
  const check = { name: "lockdown", core: false } as const;
  const mode = lockdownMode(lib);
  const reads = permitted ? await memoryReads(lib) : undefined;
  const unknown = "securityfs is not mounted";
  if (reads === false) {
    const what =
      "BPF programs may not read memory: rules do without, and leave callback flags set beside others";
    return { ...check, verdict: "warn", detail: `${mode ?? `mode not known (${unknown})`}: ${what}` };
  }
  if (reads === undefined && mode === undefined) {
    return { ...check, verdict: "skip", detail: `not known: ${unknown}, and what it does was not tried` };
  }
  const detail = mode ?? `the mode is not known (${unknown}), but BPF programs may read memory`;
  return { ...check, verdict: "ok", detail };
}

/** Before 5.15 a socket tagged by net_cls or net_prio forgets its cgroup2 (kernel 8520e224f547). */
function netCls(): Check {
  const mounts = readOrEmpty("/proc/self/mounts");
  const check = { name: "cgroup v1 net_cls", core: false } as const;
  if (mounts === "")
    return { ...check, verdict: "skip", detail: "not known: /proc/self/mounts cannot be read" };
  const v1 = mounts
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, , type, options]) => type === "cgroup" && /\bnet_(cls|prio)\b/.test(options ?? ""));
  const paths = v1.map(([, path]) => path).join(", ");
  const harmful = v1.length > 0 && !atLeast(release(), [5, 15]);
  const verdict = harmful ? "warn" : "ok";
  const detail = harmful
    ? `in use at ${paths}: sockets that they tag are in no named scope before 5.15`
    : paths
      ? `mounted at ${paths}, harmless on this kernel`
      : "not in use";
  return { ...check, verdict, detail };
}

function synCookies(): Check {
  const path = "/proc/sys/net/ipv4/tcp_syncookies";
  const value = readOrEmpty(path).trim();
  const check = { name: "SYN cookies", core: false } as const;
  if (value === "") return { ...check, verdict: "skip", detail: `not known: ${path} cannot be read` };
  const always = value === "2";
  const detail = always
    ? "always (2): a client's options are read from its third ACK instead of its SYN"
    : value === "0"
      ? "off"
      : "only under a SYN flood";
  return { ...check, verdict: always ? "warn" : "ok", detail };
}

/**
 * What the host says of itself, in the order of the report.
 * @param missing capabilities, as missingCapabilities() says
 */
export async function hostChecks(lib: Bridge, missing: readonly string[]): Promise<Check[]> {
  const permitted = missing.length === 0;
  return [
    kernel(),
    await btf(lib, permitted),
    cgroup2(),
    bpffs(lib),
    capabilitiesHere(missing),
    rawSockets(lib, permitted),
    await lockdown(lib, permitted),
    netCls(),
    synCookies(),
  ];
}
