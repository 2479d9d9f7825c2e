// SPDX-License-Identifier: MIT
// The agent as a transient unit of systemd: outside every session, hardened, started again when it is killed.

import { existsSync, readFileSync } from "node:fs";
import { childEnvironment, programOf } from "../system/child.ts";
import type { Capability } from "../system/host.ts";
import { QUIET } from "../system/runtime-env.ts";
import { sandbox } from "../system/sandbox.ts";

export const UNIT = "tcpx-agent.service";

/** What it needs, and no more. Where BPF and PERFMON are missing, SYS_ADMIN stands for them. */
export const CAPABILITIES: readonly Capability[] = [
  "BPF",
  "NET_ADMIN",
  "NET_RAW",
  "PERFMON",
  "SYS_ADMIN", // setns()
  "SYS_PTRACE", // /proc/PID/ns of others
];

/** Properties of the unit. No RuntimeDirectory: systemd would take it away from the next agent. */
export const PROPERTIES: Record<string, string> = {
  // tcpx.service starts it before sysinit.target, which services wait for otherwise
  DefaultDependencies: "no",
  Conflicts: "shutdown.target",
  Before: "shutdown.target",
  ...sandbox(CAPABILITIES, "net"),
  // a guard process may still have routes to take back when the agent is gone
  KillMode: "control-group",
  TimeoutStopSec: "5",
  // not after a failure with an exit code: that would only repeat itself
  Restart: "on-abnormal",
  RestartSec: "1",
};

/** Is this process of the unit? */
export function isUnit(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(`/${UNIT}`);
  } catch {
    return false;
  }
}

/** Ends the unit, by SIGKILL when it must; false when this process is not of it. */
export async function stopUnit(pid: number): Promise<boolean> {
  if (!isUnit(pid)) return false;
  // killed by us it would be started again
  const child = Bun.spawn([programOf("systemctl") ?? "systemctl", "stop", UNIT], {
    env: childEnvironment(),
    stdio: ["ignore", "ignore", "ignore"],
  });
  return (await child.exited) === 0;
}

/** What follows systemd-run so that it starts `argv` as the unit. */
export function unitArguments(argv: string[]): string[] {
  const properties = Object.entries(PROPERTIES).map(([name, value]) => `--property=${name}=${value}`);
  const env = Object.entries(QUIET).map(([name, value]) => `--setenv=${name}=${value}`);
  const flags = ["--quiet", "--collect", "--no-ask-password", `--unit=${UNIT}`, "--service-type=exec"];
  return [...flags, "--description=tcpx: agent for ACKs", ...properties, ...env, "--", ...argv];
}

/**
 * Starts it there.
 * @returns false where there is no systemd, or it refuses: the caller finds another way
 */
export async function systemdRun(argv: string[]): Promise<boolean> {
  const program = existsSync("/run/systemd/system") ? programOf("systemd-run") : null;
  if (!program) return false;
  // the agent before this one may be a unit that has not quite ended
  for (let attempt = 0; attempt < 20; attempt++) {
    const child = Bun.spawn([program, ...unitArguments(argv)], {
      env: childEnvironment(),
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const [said, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
    if (code === 0) return true;
    if (!said.includes("already")) return false;
    await Bun.sleep(100);
  }
  return true; // it is there: whoever waits for its answer will see
}
