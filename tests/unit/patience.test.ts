// SPDX-License-Identifier: MIT
// How long a command waits for another one, and how it calls the process that it waits for.

import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { endless, patienceOf } from "../../cli/flags/patience.ts";
import { Io } from "../../cli/output/io.ts";
import { lockHolder, nameOf, troubleOf } from "../../cli/system/lock-holder.ts";
import { commandLineOf, FIRST_PID_NS, pidNs, processState } from "../../cli/system/process.ts";
import { until } from "../support/process.ts";

const quiet = new Io({ json: false, quiet: true, verbose: false });
const verbose = new Io({ json: false, quiet: false, verbose: true });

describe("patience", () => {
  test.each([
    [undefined, 5000],
    ["", Number.POSITIVE_INFINITY],
    [false, 0],
    ["500ms", 500],
    ["30s", 30_000],
    ["2min", 120_000],
    ["24h", 86_400_000],
  ])("--wait as %j: %d ms", (wait, ms) => expect(patienceOf({ wait }, quiet).ms).toBe(ms));

  test.each(["10", "0s", "25h", "1d", "-1s", "s", "1 s", "0x1s", "true", "forever"])(
    "--wait=%s is refused by name",
    (wait) => {
      const hint = expect.stringMatching(/1ms to 24h, .*, or --wait alone for no end$/);
      const error = { code: 2, value: wait, message: expect.stringContaining(`--wait '${wait}'`), hint };
      expect(() => patienceOf({ wait }, quiet)).toThrow(expect.objectContaining(error));
    },
  );

  test("with --verbose it is told at once who is waited for, else when the wait is long", () => {
    expect(patienceOf({}, verbose).tellAfter).toBe(0);
    expect(patienceOf({}, quiet).tellAfter).toBe(5000);
    expect(endless(quiet)).toMatchObject({ ms: Number.POSITIVE_INFINITY });
  });
});

describe("the process that is waited for", () => {
  // a tmpfs: some file systems have other device numbers for stat() than for /proc/locks
  const dir = mkdtempSync("/dev/shm/tcpx-lock-holder-");
  const children: Bun.Subprocess[] = [];
  afterAll(async () => {
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map((child) => child.exited));
    rmSync(dir, { recursive: true });
  });

  async function hold(...more: string[]): Promise<Bun.Subprocess> {
    const argv = ["flock", "--no-fork", dir, "sh", "-c", "echo held; exec cat", "words", ...more];
    const child = Bun.spawn(argv, { stdin: "pipe", stdout: "pipe" });
    children.push(child);
    await child.stdout.getReader().read();
    return child;
  }

  /** The shell says that it has the lock before it becomes cat. */
  const isCat = () => until(() => lockHolder(dir)?.command === "cat");

  test("nobody, or no such directory", () => {
    expect(lockHolder(dir)).toBeUndefined();
    expect(lockHolder(join(dir, "none"))).toBeUndefined();
  });

  test("is named, also when it is stopped", async () => {
    const child = await hold();
    const named = { pid: child.pid, command: "cat" };
    expect(await isCat()).toBe(true);
    expect(lockHolder(dir)).toEqual({ ...named, state: "running" });
    child.kill("SIGSTOP");
    expect(await until(() => processState(child.pid)?.stopped === true)).toBe(true);
    expect(lockHolder(dir)).toEqual({ ...named, state: "stopped" });
    child.kill("SIGKILL");
    await child.exited;
    expect(lockHolder(dir)).toBeUndefined(); // the lock goes with it
  });

  test("is who has inherited the lock when who took it has ended", async () => {
    const script = `exec 9<${dir}; flock 9; echo held; exec cat`;
    const child = Bun.spawn(["sh", "-c", script], { stdin: "pipe", stdout: "pipe" });
    children.push(child);
    await child.stdout.getReader().read();
    expect(await isCat()).toBe(true);
    expect(lockHolder(dir)).toEqual({ pid: child.pid, command: "cat", state: "running" });
    child.kill("SIGKILL");
    await child.exited;
  });

  test("a command line is cut, and one that is not there is the name", async () => {
    const child = Bun.spawn(["sleep", `${"0".repeat(5000)}60`], { stdout: "ignore" });
    children.push(child);
    expect(await until(() => commandLineOf(child.pid).startsWith("sleep"))).toBe(true);
    expect(commandLineOf(child.pid)).toMatch(/^sleep 0{114}\.\.\.$/);
    child.kill("SIGKILL");
    await child.exited;
    expect(commandLineOf(child.pid)).toBe("[ended]");
  });

  test("what is said of it", () => {
    const holder = { pid: 12, command: "tcpx uto set 30s" };
    expect(nameOf({ ...holder, state: "running" })).toBe("process 12 (tcpx uto set 30s)");
    expect(troubleOf({ ...holder, state: "running" })).toBeUndefined();
    expect(troubleOf({ ...holder, state: "stopped" })).toEqual({
      is: "is stopped",
      hint: "continue it with `kill -CONT 12`, or end it",
    });
    for (const state of ["traced", "frozen"] as const) {
      expect(troubleOf({ ...holder, state })?.is).toMatch(/^is (stopped by a debugger|frozen)/);
    }
    const where = pidNs() === FIRST_PID_NS ? "that cannot be seen" : "outside this pid namespace";
    expect(nameOf(undefined)).toBe(`a process ${where}`);
  });
});
