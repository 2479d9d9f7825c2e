// SPDX-License-Identifier: MIT

import { lacksRoom } from "../bridge/bridge.ts";
import type { FilterRule } from "./filter-rules.ts";

/** ok; warn: works with a restriction; fail: cannot; skip: could not be tried. */
export type Verdict = "ok" | "warn" | "fail" | "skip";

export interface Check {
  name: string;
  verdict: Verdict;
  detail: string;
  /** Nothing works without it. */
  core: boolean;
  /** Of the check of packet filters: the rules that are in the way. */
  filters?: FilterRule[];
}

/** Does this error tell nothing about the kernel? There was no permission, or no room. */
export const keepsFromTrying = (code: unknown): boolean => code === "EPERM" || lacksRoom(code);

export const notTried = (why: string): string => `not tried: ${why}`;
