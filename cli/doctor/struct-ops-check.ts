// SPDX-License-Identifier: MIT
// What the kernel has of struct_ops for TCP, as its types say.

import { hasOpsLinks, hasStructOps, kernelHasType } from "../programs/kernel.ts";
import type { Check } from "./types.ts";

export function structOpsCheck(): Check {
  const check = { name: "struct_ops", core: false } as const;
  const has = hasStructOps();
  if (has === undefined)
    return { ...check, verdict: "skip", detail: "not known: the kernel's types cannot be read" };
  const next = `${kernelHasType("bpf_tcp_ops") ? "has" : "no"} bpf_tcp_ops`;
  if (!has) {
    const detail = `\`ext load\` takes no congestion controls here: since 5.6, with CONFIG_BPF_JIT; ${next}`;
    return { ...check, verdict: "warn", detail };
  }
  const how = hasOpsLinks() ? "replaced in one step" : "not replaced in one step before 6.4";
  return { ...check, verdict: "ok", detail: `congestion controls can be loaded, ${how}; ${next}` };
}
