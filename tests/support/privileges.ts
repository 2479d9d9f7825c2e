// SPDX-License-Identifier: MIT
// What the kernel says of the privileges of a process's threads.

/** Numbers of linux/capability.h. */
export const CAP = {
  NET_BIND_SERVICE: 10,
  NET_ADMIN: 12,
  NET_RAW: 13,
  SYS_PTRACE: 19,
  SYS_ADMIN: 21,
  PERFMON: 38,
  BPF: 39,
} as const;

/** A set as /proc/PID/status has it. */
export function capabilitySet(numbers: readonly number[]): string {
  const bits = numbers.reduce((sum, n) => sum | (1n << BigInt(n)), 0n);
  return bits.toString(16).padStart(16, "0");
}

/** Of a thread that has these and can gain none. */
export const confinedTo = (numbers: readonly number[]): Record<string, string> => ({
  CapInh: capabilitySet([]),
  CapPrm: capabilitySet(numbers),
  CapEff: capabilitySet(numbers),
  CapBnd: capabilitySet(numbers),
  CapAmb: capabilitySet([]),
  NoNewPrivs: "1",
});

/** A shell command whose output `privileges` reads. */
export const statusOf = (pid: number) => `for s in /proc/${pid}/task/*/status; do cat $s; done`;

/** Of every thread. */
export function privileges(status: string): Record<string, string>[] {
  const value = (thread: string, key: string) => new RegExp(`^${key}:\\s*(\\S+)$`, "m").exec(thread)?.[1];
  return status
    .split(/^(?=Name:)/m)
    .map((thread) =>
      Object.fromEntries(Object.keys(confinedTo([])).map((key) => [key, value(thread, key) ?? "missing"])),
    );
}
