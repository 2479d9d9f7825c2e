// SPDX-License-Identifier: MIT
// The unit that makes the kept policy true when the system starts. Pure.

import { rulesSandbox } from "../system/sandbox.ts";
import { commandLine } from "../system/unit-hook.ts";

export const POLICY = "/etc/tcpx/policy.toml";
export const UNIT = "tcpx.service";
export const UNIT_FILE = `/etc/systemd/system/${UNIT}`;
/** What enabling makes of WantedBy= below. */
export const UNIT_LINK = `/etc/systemd/system/sysinit.target.wants/${UNIT}`;

const MARK = "# Made by `tcpx persist on`";

/** Has `persist on` of any version written this unit? */
export const isOwnUnit = (text: string): boolean => text.startsWith(MARK);

/** Early: before the network is there, and before every service that does not ask for an earlier place. */
export function unitText(argv: readonly string[]): string {
  return `${MARK}; \`tcpx persist off\` removes it.
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
${rulesSandbox()}

[Install]
WantedBy=sysinit.target
`;
}
