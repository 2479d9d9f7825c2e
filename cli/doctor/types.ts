// SPDX-License-Identifier: MIT

/** ok; warn: works with a restriction; fail: cannot; skip: could not be tried. */
export type Verdict = "ok" | "warn" | "fail" | "skip";

export interface Check {
  name: string;
  verdict: Verdict;
  detail: string;
  /** Nothing works without it. */
  core: boolean;
}
