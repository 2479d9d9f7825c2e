// SPDX-License-Identifier: MIT
// What systemd keeps units of tcpx from, the same for all of them. Pure.

import type { Capability } from "./host.ts";

/**
 * Not MemoryDenyWriteExecute: the runtime and bun:ffi make code. Not ProtectKernelTunables or
 * ProtectControlGroups: bpffs and cgroups are below /sys. Not PrivateTmp: the executable may be there. All of
 * /run can be written: /run/tcpx alone would be a mount point, which nobody inside could remove.
 */
const COMMON = {
  NoNewPrivileges: "yes",
  ProtectSystem: "strict",
  ReadWritePaths: "/run",
  ProtectHome: "read-only",
  ProtectKernelModules: "yes",
  ProtectKernelLogs: "yes",
  ProtectHostname: "yes",
  ProtectClock: "yes",
  RestrictAddressFamilies: "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
  RestrictRealtime: "yes",
  RestrictSUIDSGID: "yes",
  LockPersonality: "yes",
  SystemCallArchitectures: "native",
  LimitMEMLOCK: "infinity",
  UMask: "0077",
} as const;

/**
 * Properties of a unit.
 * @param namespaces kinds that it enters: "net", "mnt"
 */
export function sandbox(capabilities: readonly Capability[], namespaces: string): Record<string, string> {
  return {
    CapabilityBoundingSet: capabilities.map((name) => `CAP_${name}`).join(" "),
    ...COMMON,
    RestrictNamespaces: namespaces,
  };
}

/**
 * For units that change rules. ProtectKernelModules leaves us congestion controls that are modules: the kernel
 * loads those itself.
 */
const CHANGES_RULES: readonly Capability[] = [
  "BPF",
  "NET_ADMIN",
  "PERFMON",
  "SYS_ADMIN", // setns(), and to mount bpffs
  "SYS_PTRACE", // /proc/PID/root and /proc/PID/ns of others
];

/** Lines of such a unit. */
export const rulesSandbox = (): string =>
  Object.entries(sandbox(CHANGES_RULES, "net mnt"))
    .map(([name, value]) => `${name}=${value}`)
    .join("\n");
