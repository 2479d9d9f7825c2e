// SPDX-License-Identifier: MIT
// What can be read off a host without changing anything.

import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import type { Bridge } from "../loader/bridge.ts";
import { findBpffs, findCgroupRoot, missingCapabilities } from "../loader/host.ts";
import type { Check } from "./types.ts";

const OLDEST = [5, 10] as const;

function read(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}

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

function btf(): Check {
  const path = "/sys/kernel/btf/vmlinux";
  const ok = existsSync(path);
  const detail = ok ? path : `${path} is missing: boot a kernel with CONFIG_DEBUG_INFO_BTF=y`;
  return { name: "BTF", verdict: ok ? "ok" : "fail", detail, core: true };
}

function cgroup2(): Check {
  const root = findCgroupRoot();
  const detail = root ?? "not mounted; mount it with: mount -t cgroup2 none /sys/fs/cgroup";
  return { name: "cgroup2", verdict: root ? "ok" : "fail", detail, core: true };
}

function bpffs(lib: Bridge): Check {
  const path = findBpffs(lib);
  const detail = path ?? "not mounted at /sys/fs/bpf; tcpx mounts it when it sets the first rule";
  return { name: "bpffs", verdict: path ? "ok" : "warn", detail, core: false };
}

function capabilities(lib: Bridge): Check {
  const missing = missingCapabilities(lib);
  const ok = missing.length === 0;
  const detail = ok
    ? "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"
    : `missing: ${missing.join(", ")}; run it as root`;
  return { name: "capabilities", verdict: ok ? "ok" : "fail", detail, core: true };
}

function lockdown(): Check {
  const text = read("/sys/kernel/security/lockdown");
  const mode = /\[(\w+)\]/.exec(text)?.[1] ?? "none";
  const blocked = mode === "confidentiality";
  const detail = blocked ? "confidentiality: the kernel refuses BPF programs that read memory" : mode;
  return { name: "lockdown", verdict: blocked ? "fail" : "ok", detail, core: true };
}

/** Before 5.15 a socket tagged by net_cls or net_prio forgets its cgroup2 (kernel 8520e224f547). */
function netCls(): Check {
  const v1 = read("/proc/self/mounts")
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
  return { name: "cgroup v1 net_cls", verdict, detail, core: false };
}

function synCookies(): Check {
  const always = read("/proc/sys/net/ipv4/tcp_syncookies") === "2";
  const detail = always
    ? "always (2): a client's options are read from its third ACK instead of its SYN"
    : "only under a SYN flood";
  return { name: "SYN cookies", verdict: always ? "warn" : "ok", detail, core: false };
}

/** The checks that need no probing, in the order of the report. */
export function hostChecks(lib: Bridge): Check[] {
  return [kernel(), btf(), cgroup2(), bpffs(lib), capabilities(lib), lockdown(), netCls(), synCookies()];
}
