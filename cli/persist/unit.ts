// SPDX-License-Identifier: MIT
// The unit that makes the kept policy true when the system starts. Pure.

import { commandLine } from "../system/unit-hook.ts";

export const POLICY = "/etc/tcpx/policy.toml";
export const UNIT = "tcpx.service";
export const UNIT_FILE = `/etc/systemd/system/${UNIT}`;

const CAPABILITIES = [
  "CAP_BPF",
  "CAP_NET_ADMIN",
  "CAP_PERFMON",
  "CAP_SYS_ADMIN", // setns(), and to mount bpffs
  "CAP_SYS_PTRACE", // /proc/PID/root and /proc/PID/ns of others
  "CAP_SYS_RESOURCE", // RLIMIT_MEMLOCK before 5.11
];

/**
 * Early: before the network is there, and before every service that does not ask for an earlier place. Not
 * MemoryDenyWriteExecute: the runtime and bun:ffi make code. Not ProtectKernelTunables or ProtectControlGroups:
 * bpffs and cgroups are below /sys. ProtectKernelModules leaves us congestion controls that are modules: the
 * kernel loads those itself.
 */
export function unitText(argv: readonly string[]): string {
  return `# Made by \`tcpx persist on\`; \`tcpx persist off\` removes it.
[Unit]
Description=tcpx: rules of ${POLICY}
DefaultDependencies=no
ConditionPathExists=${POLICY}
After=local-fs.target systemd-sysctl.service
Before=sysinit.target network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${commandLine(argv)} apply --wait --prepare-units ${POLICY}
TimeoutStartSec=90
CapabilityBoundingSet=${CAPABILITIES.join(" ")}
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/run
ProtectHome=read-only
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectHostname=yes
ProtectClock=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=net mnt
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
LimitMEMLOCK=infinity
UMask=0022

[Install]
WantedBy=sysinit.target
`;
}
