// SPDX-License-Identifier: MIT
// Why the kernel did not take a program. It says a number only, so the reason is found by trying.

import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, Errno, lacksRoom } from "../bridge/bridge.ts";
import { PROBES, type Probe, tryProgram } from "../bridge/probe.ts";
import { BTF, btfState } from "../system/host.ts";
import { lockdownMode, memoryReads } from "../system/lockdown.ts";
import { lockedMemoryLimit } from "../system/scarcity.ts";

/** What every program of rules uses. */
const CORE: readonly Probe[] = ["header_options", "socket_storage", "core_reads", "ring_buffer"];

async function firstMissing(lib: Bridge, probes: readonly Probe[]): Promise<string | undefined> {
  for (const probe of probes) {
    const result = await tryProgram(lib, probe);
    if (result < 0) return `${PROBES[probe].name} (${new Errno("load", -result).code})`;
  }
  return undefined;
}

function withoutBtf(lib: Bridge): { what: string; hint: string } {
  return btfState(lib) === "hidden"
    ? {
        what: `the kernel's types cannot be read: sysfs is not mounted at /sys`,
        hint: "mount it with: mount -t sysfs sysfs /sys",
      }
    : {
        what: `this kernel has no BTF (${BTF} is missing)`,
        hint: "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y",
      };
}

async function reasonOf(lib: Bridge, code: string, probes: readonly Probe[]) {
  const missing = await firstMissing(lib, probes);
  if (missing && btfState(lib) !== "there") return withoutBtf(lib);
  if (missing) {
    return {
      what: `this kernel lacks something that the BPF program needs: ${missing}`,
      hint: "see `tcpx doctor`",
    };
  }
  if (code === "EINVAL" && (await memoryReads(lib)) === false) {
    const mode = lockdownMode(lib) ?? "confidentiality, as it seems";
    return {
      what: `kernel lockdown (${mode}) forbids BPF programs to read memory, and this kernel leaves them no other way`,
      hint: "newer kernels do; or boot with lockdown=integrity",
    };
  }
  return {
    what: `this kernel refused the BPF program (${code}), and takes all that could be tried of it alone`,
    hint: "see `tcpx doctor`, and the verifier's words with --verbose",
  };
}

/**
 * The error for a program that was not loaded.
 * @param probes what it uses, to be tried alone
 */
export async function loadError(lib: Bridge, error: Errno, probes = CORE): Promise<TcpxError> {
  // the verifier says EACCES and EINVAL; EPERM comes before it
  if (error.code === "EPERM") {
    const locked = lockedMemoryLimit();
    if (locked !== undefined) {
      const what = `locked memory is limited to ${locked} KB, and this kernel counts BPF programs and maps (EPERM)`;
      const hint = "raise the limit (ulimit -l, LimitMEMLOCK=), or run it with CAP_SYS_RESOURCE";
      return new TcpxError(Exit.UNSUPPORTED, what, { cause: error, hint });
    }
    return new TcpxError(Exit.PERMISSION, "the kernel does not let us load BPF programs (EPERM)", {
      cause: error,
      hint: "run it as root on the host itself, not in a container",
    });
  }
  if (lacksRoom(error.code)) {
    const what = `there is no room for the BPF program (${error.code})`;
    return new TcpxError(Exit.FAILED, what, {
      cause: error,
      hint: "look at the limits of memory and open files",
    });
  }
  const { what, hint } = await reasonOf(lib, error.code, probes);
  return new TcpxError(Exit.UNSUPPORTED, what, { cause: error, hint });
}
