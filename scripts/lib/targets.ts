// SPDX-License-Identifier: MIT
// What tcpx is built for: a CPU architecture, which the bridge is of, and a C library, which Bun is of.

export type Arch = "x64" | "arm64";
export type Libc = "glibc" | "musl";

export interface Target {
  /** As in the name of a release's file: tcpx-linux-NAME. */
  name: string;
  arch: Arch;
  libc: Libc;
  /** What `bun build --target` calls it. */
  bun: string;
  /** The package of the npm registry with Bun's executable for it. */
  runtime: string;
}

function target(arch: Arch, libc: Libc): Target {
  const musl = libc === "musl" ? "-musl" : "";
  const cpu = arch === "arm64" ? "aarch64" : "x64";
  return {
    name: `${arch}${musl}`,
    arch,
    libc,
    bun: `bun-linux-${arch}${musl}`,
    runtime: `@oven/bun-linux-${cpu}${musl}`,
  };
}

export const TARGETS: readonly Target[] = [
  target("x64", "glibc"),
  target("x64", "musl"),
  target("arm64", "glibc"),
  target("arm64", "musl"),
];

export function hostArch(): Arch {
  if (process.arch !== "x64" && process.arch !== "arm64") {
    throw new Error(`no bridge for ${process.arch}: only x64 and arm64`);
  }
  return process.arch;
}

/** The targets of these names, in the order of TARGETS; all of them when no name is given. */
export function targetsNamed(names: readonly string[]): Target[] {
  const unknown = names.filter((name) => !TARGETS.some((one) => one.name === name));
  if (unknown.length > 0) {
    throw new Error(`no target ${unknown.join(" ")}: ${TARGETS.map(({ name }) => name).join(", ")}`);
  }
  return TARGETS.filter(({ name }) => names.length === 0 || names.includes(name));
}
