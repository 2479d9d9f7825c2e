// SPDX-License-Identifier: MIT
// One boot of one kernel in QEMU, without KVM: its console, and whether it came to its end.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { completeInitrd } from "./initrd.ts";
import type { Kernel } from "./kernels.ts";

/** The first and the last line of a guest's tests; QEMU's exit code says nothing about them. */
const BEGIN = /^VM: begin /m;
const END = /^VM: end (\d+)$/m;

/** The guest ends itself earlier (tests/vm/init.sh); this is for one that hangs. */
const LIMIT_MS = 280_000;

const MACHINE = [
  ...["-accel", "tcg", "-cpu", "max"], // the default CPU lacks SSE4.2, which Bun needs
  ...["-smp", "2", "-m", "1500", "-net", "none", "-no-reboot"],
  ...["-display", "none", "-monitor", "none", "-serial", "stdio"],
];
/** A guest that is starved of CPU time by its host is no lockup. */
const COMMAND_LINE = "console=ttyS0 quiet panic=-1 nowatchdog rcupdate.rcu_cpu_stall_suppress=1";

/** Programs that a boot needs, and the packages that have them. */
export const TOOLS = {
  "qemu-system-x86_64": "qemu-system-x86",
  busybox: "busybox-static",
  cpio: "cpio",
  xz: "xz-utils",
  zstd: "zstd",
  ip: "iproute2",
} as const;

export interface Boot {
  console: string;
  seconds: number;
  /** Boots that panicked before their tests began. */
  panics: number;
  /** Why the guest's tests did not come to their end. */
  problem: string | undefined;
}

async function start(kernel: Kernel, initrd: string): Promise<string> {
  const image = ["-kernel", join(kernel.dir, "vmlinuz"), "-initrd", initrd, "-append", COMMAND_LINE];
  const qemu = Bun.spawn(["qemu-system-x86_64", ...MACHINE, ...image], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: LIMIT_MS,
    killSignal: "SIGKILL",
  });
  const kill = () => qemu.kill("SIGKILL");
  process.on("exit", kill);
  try {
    const [out, err] = await Promise.all([qemu.stdout.text(), qemu.stderr.text(), qemu.exited]);
    return `${out}${err}`.replaceAll("\r", "");
  } finally {
    process.off("exit", kill);
  }
}

function problemOf(text: string): string | undefined {
  const results = text.match(/^VM: (?!begin |end ).*$/gm)?.length ?? 0;
  const end = text.match(END)?.[1];
  if (end === `${results}`) return undefined;
  if (end !== undefined) return `the guest printed ${end} results, and ${results} arrived`;
  if (text.includes("Kernel panic")) return "the guest panicked";
  return BEGIN.test(text)
    ? "the guest's tests did not come to their end"
    : "the guest did not start its tests";
}

/** Boots once more after a panic before the tests began (TCG does that now and then), never after it. */
export async function boot(kernel: Kernel, shared: string): Promise<Boot> {
  const dir = await mkdtemp(join(tmpdir(), "tcpx-vm-"));
  const started = performance.now();
  try {
    const initrd = join(dir, "initrd");
    await completeInitrd(shared, join(kernel.dir, "modules"), initrd);
    let panics = 0;
    let text = await start(kernel, initrd);
    if (text.includes("Kernel panic") && !BEGIN.test(text)) {
      panics++;
      text = await start(kernel, initrd);
    }
    const seconds = (performance.now() - started) / 1000;
    return { console: text, seconds, panics, problem: problemOf(text) };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
