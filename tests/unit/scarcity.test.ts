// SPDX-License-Identifier: MIT
// Which errors tell of a limit, and what is said of it.
import { expect, test } from "bun:test";
import { limitHint, lockedMemoryLimit } from "../../cli/system/scarcity.ts";

test("errors of limits, and no others", () => {
  expect(limitHint({ code: "EMFILE" })).toContain("ulimit -n");
  expect(limitHint({ code: "EFBIG", syscall: "write" })).toContain("ulimit -f");
  expect(limitHint({ code: "EAGAIN", syscall: "posix_spawn" })).toContain("pids.max");
  expect(limitHint({ code: "EAGAIN", syscall: "read" })).toBeUndefined();
  expect(limitHint({ code: "ENOENT" })).toBeUndefined();
  expect(limitHint({ code: "toString" })).toBeUndefined();
  expect(limitHint({})).toBeUndefined();
});

test("locked memory, where the kernel counts it", () => {
  const limits = (soft: string) =>
    `Max file locks            unlimited            unlimited            locks\nMax locked memory         ${soft}               8388608              bytes\n`;
  expect(lockedMemoryLimit("5.10.0-30-amd64", limits("65536"))).toBe(64);
  expect(lockedMemoryLimit("5.10.0-30-amd64", limits("0"))).toBe(0);
  expect(lockedMemoryLimit("5.10.0-30-amd64", limits("unlimited"))).toBeUndefined();
  for (const version of ["5.11.0", "6.1.0-18-amd64", "7.0.0"]) {
    expect(lockedMemoryLimit(version, limits("0"))).toBeUndefined();
  }
});
