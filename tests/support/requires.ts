// SPDX-License-Identifier: MIT
// A test that cannot run here is skipped, and its name says why: a skip is never taken for a pass.
import { describe, test } from "bun:test";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";

export interface Requirement {
  readonly name: string;
  readonly ok: boolean;
  readonly reason: string;
}

export function requirement(name: string, ok: boolean, reason: string): Requirement {
  return { name, ok, reason };
}

/** All of them; the reason is that of the first that is missing. */
export function every(name: string, ...parts: Requirement[]): Requirement {
  const missing = parts.find((part) => !part.ok);
  return requirement(name, missing === undefined, missing?.reason ?? "");
}

type Body = (() => void) | (() => Promise<unknown>);

export function testIf(ok: boolean, reason: string) {
  return (name: string, body: Body, timeoutMs?: number): void => {
    if (ok) test(name, body, timeoutMs);
    else test.skip(`${name} [needs: ${reason}]`, body);
  };
}

export function describeIf(ok: boolean, reason: string) {
  return (name: string, body: () => void): void => {
    if (ok) describe(name, body);
    else describe.skip(`${name} [needs: ${reason}]`, body);
  };
}

export function hasTool(name: string): Requirement {
  return requirement(name, Bun.which(name) !== null, `the program ${name}`);
}

function hasTun(): boolean {
  try {
    accessSync("/dev/net/tun", constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Does the kernel take such a chain? Tried in a network namespace of its own. */
function hasChain(chain: string): boolean {
  const ruleset = `table inet t { chain c { ${chain}; }; }`;
  return Bun.spawnSync(["unshare", "--net", "nft", ruleset]).exitCode === 0;
}

const hasNat = () => hasChain("type nat hook output priority -100; tcp dport 1 redirect to :2");
const hasSynproxy = () => hasChain("type filter hook input priority 0; tcp dport 1 synproxy mss 1460");

const root = requirement("root", process.getuid?.() === 0, "root");
const cgroup2 = requirement(
  "cgroup2",
  / cgroup2 /.test(readFileSync("/proc/self/mounts", "utf8")),
  "a mounted cgroup2",
);

/** What every test with a Lab needs. */
export const labRequirement = every(
  "lab",
  root,
  cgroup2,
  requirement("tun", hasTun(), "/dev/net/tun"),
  ...["ip", "nsenter", "cc"].map(hasTool),
);

/** Lab.capture. */
export const captureRequirement = every("capture", ...["tcpdump", "tshark"].map(hasTool));

/** Lab.nft and Lab.routed. */
export const nftRequirement = every("nft", hasTool("nft"));

/** Chains of type nat: the kernel may lack connection tracking. */
export const natRequirement = every(
  "nat",
  nftRequirement,
  requirement("nat", root.ok && hasNat(), "a kernel with NAT by nftables"),
);

export const synproxyRequirement = every(
  "synproxy",
  nftRequirement,
  requirement("synproxy", root.ok && hasSynproxy(), "a kernel with SYNPROXY by nftables"),
);

/** `ip link add type KIND`: tried in a network namespace of its own. */
export function deviceRequirement(kind: string, more: readonly string[] = []): Requirement {
  const script = [
    ...["ip link add v0 type veth peer name v1", "&&", "ip link add"],
    ...(more.length > 0 ? ["link v0"] : []),
    ...["name", "d0", "type", kind, ...more],
  ];
  const tried = () => Bun.spawnSync(["unshare", "--net", "sh", "-c", script.join(" ")]).exitCode === 0;
  return every(
    kind,
    labRequirement,
    requirement(kind, root.ok && tried(), `a kernel with devices of type ${kind}`),
  );
}

/** A command whose output is a terminal. */
export const ptyRequirement = every("pty", hasTool("script"));

/** System calls of the executable. */
export const straceRequirement = every("strace", hasTool("strace"));

/** Completion in a real shell. */
export const shellRequirement = (shell: string) => every(shell, hasTool(shell));

/** Judges of the manual page. */
export const manRequirement = every("man", ...["groff", "mandoc"].map(hasTool));

/** Peer sockets with mptcp: true. */
export const mptcpRequirement = requirement(
  "mptcp",
  existsSync("/proc/sys/net/mptcp/enabled"),
  "a kernel with MPTCP",
);

/** The interpreter that has Prometheus's own parsers; another python3 may stand before it in PATH. */
export const PROMETHEUS_PYTHON = ["/usr/bin/python3", "python3"].find(
  (python) =>
    Bun.which(python) !== null && Bun.spawnSync([python, "-c", "import prometheus_client"]).exitCode === 0,
);

/** Judges of the metrics. */
export const prometheusRequirement = requirement(
  "prometheus",
  PROMETHEUS_PYTHON !== undefined,
  "the package python3-prometheus-client",
);
