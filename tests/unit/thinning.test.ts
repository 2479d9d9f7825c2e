// SPDX-License-Identifier: MIT
import { expect, test } from "bun:test";
import { whyNoTimers } from "../../cli/extensions/ack-thinning.ts";

test("a new kernel with PREEMPT_RT is not told to be older than 5.15", () => {
  expect(whyNoTimers(-95)).toBe("with PREEMPT_RT there are none");
  expect(whyNoTimers(-22)).toBe("they came with Linux 5.15");
});
