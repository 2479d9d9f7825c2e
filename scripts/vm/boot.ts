// SPDX-License-Identifier: MIT
// One boot of one kernel in QEMU, without KVM: its console, and whether it came to its end.

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { completeInitrd } from "./initrd.ts";
import type { Kernel } from "./kernels.ts";

/** The first and the last line of a guest's tests; QEMU's exit code says nothing about them. */
const BEGIN = /^VM: begin /m;
const END = /^VM: end (\d+)$/m;

/** The guest ends itself (tests/vm/init.sh); this much later one that hangs is ended. */
const GRACE_MS = 40_000;
/** For a guest under virtual time, whose seconds are not ours: it ends itself, unless it hangs. */
const VIRTUAL_LIMIT_MS = 1_500_000;

const MACHINE = [
  ...["-accel", "tcg", "-cpu", "max"], // the default CPU lacks SSE4.2, which Bun needs
  // one CPU: under TCG a second one now and then runs into the int3 of a jump label being patched
  // (seen: "Oops: int3" in cookie_hash at the first SYN cookie), which no real machine does
  ...["-smp", "1", "-m", "1500", "-net", "none", "-no-reboot"],
  ...["-display", "none", "-monitor", "none", "-serial", "stdio"],
];
/** A guest that is starved of CPU time by its host is no lockup. */
const COMMAND_LINE = "console=ttyS0 quiet panic=-1 nowatchdog rcupdate.rcu_cpu_stall_suppress=1";

/**
 * Virtual time: the clock follows the instructions (2 ns each), so waiting costs nothing, what else
 * the host does has no influence, and with the random numbers of a seed a run repeats exactly.
 */
const VIRTUAL_TIME = ["-icount", "shift=1,sleep=off", "-rtc", "base=2026-01-01,clock=vm"];

/** What a guest is to do; tests/vm/init.sh reads it from its environment. */
export interface Guest {
  /** A file of tests/vm. */
  script: string;
  /** Passed on to the script as TCPX_PLAN. One word. */
  plan?: string;
  /** Makes time virtual; the number is where the guest's random numbers come from. */
  seed?: number;
  /** Seconds that the guest has, in its own time. */
  limitSeconds: number;
}

const FEATURES: Guest = { script: "guest.ts", limitSeconds: 1100 };

/** Programs that a boot needs, and the packages that have them. */
export const TOOLS = {
  "qemu-system-x86_64": "qemu-system-x86",
  busybox: "busybox-static",
  cpio: "cpio",
  xz: "xz-utils",
  zstd: "zstd",
  ip: "iproute2",
  ethtool: "ethtool",
} as const;

export interface Boot {
  console: string;
  seconds: number;
  /** Boots that panicked before their tests began. */
  panics: number;
  /** Why the guest's tests did not come to their end. */
  problem: string | undefined;
}

let boots = 0;
const running = new Set<Bun.Subprocess>();

/** For an exit handler: nothing of ours outlives the tests. */
export function killBoots(): void {
  for (const qemu of running) qemu.kill("SIGKILL");
}

/** The kernel makes words of its command line that it does not know the environment of init. */
function commandLine({ script, plan, limitSeconds }: Guest): string {
  const words = [`TCPX_GUEST=${script}`, `TCPX_LIMIT=${limitSeconds}`];
  return [COMMAND_LINE, ...words, ...(plan ? [`TCPX_PLAN=${plan}`] : [])].join(" ");
}

async function start(kernel: Kernel, initrd: string, guest: Guest): Promise<string> {
  const clock = guest.seed === undefined ? [] : [...VIRTUAL_TIME, "-seed", `${guest.seed}`];
  const image = ["-kernel", join(kernel.dir, "vmlinuz"), "-initrd", initrd, "-append", commandLine(guest)];
  const qemu = Bun.spawn(["qemu-system-x86_64", ...MACHINE, ...clock, ...image], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: guest.seed === undefined ? guest.limitSeconds * 1000 + GRACE_MS : VIRTUAL_LIMIT_MS,
    killSignal: "SIGKILL",
  });
  running.add(qemu);
  const [out, err] = await Promise.all([qemu.stdout.text(), qemu.stderr.text(), qemu.exited]);
  running.delete(qemu);
  return `${out}${err}`.replaceAll("\r", "");
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

/**
 * Boots with the shared initrd and the kernel's modules, their copy next to it for as long as it takes.
 * Once more after a panic before the tests began (TCG does that now and then), never after it.
 */
export async function boot(kernel: Kernel, shared: string, guest = FEATURES): Promise<Boot> {
  const started = performance.now();
  const initrd = `${shared}-${kernel.release}-${++boots}`;
  await completeInitrd(shared, join(kernel.dir, "modules"), initrd);
  let panics = 0;
  let text = await start(kernel, initrd, guest);
  if (text.includes("Kernel panic") && !BEGIN.test(text)) {
    panics++;
    text = await start(kernel, initrd, guest);
  }
  await rm(initrd);
  const seconds = (performance.now() - started) / 1000;
  return { console: text, seconds, panics, problem: problemOf(text) };
}
