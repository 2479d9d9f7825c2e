// SPDX-License-Identifier: MIT
// Congestion controls of this kernel. BPF never loads a module, so we do, before a rule needs it.

import { readFileSync } from "node:fs";
import { Exit, TcpxError } from "../base/errors.ts";
import { bridge, cstr } from "../bridge/bridge.ts";
import { childEnvironment, programOf } from "./child.ts";
import { capabilities } from "./host.ts";

/** Names that the kernel has at hand; its list is the same in every network namespace. */
export function availableAlgorithms(): string[] {
  return readFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control", "utf8").trim().split(/\s+/);
}

/** What a confined service may not do itself, the kernel does for whoever may administer the network. */
async function letKernelLoad(algorithm: string): Promise<void> {
  const lib = await bridge();
  if (!capabilities(lib)("SYS_MODULE")) lib.tcpx_algorithm_load(cstr(algorithm));
}

/** Loads its module, or only looks whether there is one; true: that went well. */
async function loadModule(algorithm: string, dryRun: boolean): Promise<boolean> {
  const modprobe = programOf("modprobe");
  if (!modprobe) return false;
  const argv = [modprobe, "-q", ...(dryRun ? ["-n"] : []), `tcp_${algorithm}`];
  const env = childEnvironment();
  return (await Bun.spawn(argv, { env, stdin: "ignore", stdout: "ignore", stderr: "ignore" }).exited) === 0;
}

let coming: readonly string[] = [];

/** What a dry run would load: it counts as there. */
export function expectAlgorithms(names: readonly string[]): void {
  coming = names;
}

/**
 * Makes sure that the kernel has these congestion controls, loading their modules.
 * @param dryRun only looks whether that could be done
 * @throws TcpxError (unsupported) that names the missing one and those that there are
 */
export async function requireAlgorithms(names: string[], dryRun: boolean): Promise<void> {
  for (const name of names) {
    if (availableAlgorithms().includes(name) || (dryRun && coming.includes(name))) continue;
    const loaded = await loadModule(name, dryRun);
    if (!loaded && !dryRun) await letKernelLoad(name);
    const available = availableAlgorithms();
    if (available.includes(name) || (dryRun && loaded)) continue;
    throw new TcpxError(Exit.UNSUPPORTED, `this kernel has no congestion control '${name}'`, {
      value: name,
      hint: `it has ${available.join(", ")}`,
    });
  }
}
