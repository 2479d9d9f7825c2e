// SPDX-License-Identifier: MIT
// Congestion controls of this kernel. BPF never loads a module, so we do, before a rule needs it.

import { readFileSync } from "node:fs";
import { Exit, TcpxError } from "../errors.ts";

/** Names that the kernel has at hand; its list is the same in every network namespace. */
export function availableAlgorithms(): string[] {
  return readFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control", "utf8").trim().split(/\s+/);
}

async function loadModule(algorithm: string): Promise<void> {
  const modprobe = Bun.which("modprobe", { PATH: `${process.env.PATH}:/usr/sbin:/sbin` });
  if (!modprobe) return;
  const argv = [modprobe, "-q", `tcp_${algorithm}`];
  await Bun.spawn(argv, { stdin: "ignore", stdout: "ignore", stderr: "ignore" }).exited;
}

/**
 * Makes sure that the kernel has these congestion controls, loading their modules.
 * @throws TcpxError (unsupported) that names the missing one and those that there are
 */
export async function requireAlgorithms(names: string[]): Promise<void> {
  for (const name of names) {
    if (!availableAlgorithms().includes(name)) await loadModule(name);
    const available = availableAlgorithms();
    if (available.includes(name)) continue;
    throw new TcpxError(Exit.UNSUPPORTED, `this kernel has no congestion control '${name}'`, {
      value: name,
      hint: `it has ${available.join(", ")}`,
    });
  }
}
