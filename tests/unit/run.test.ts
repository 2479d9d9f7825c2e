// SPDX-License-Identifier: MIT
// `tcpx run` on paper: its flags are those of the extensions' `set`, and the command is left alone.
import { describe, expect, test } from "bun:test";
import { checkArguments } from "../../cli/base/args.ts";
import { RunExit } from "../../cli/base/errors.ts";
import { run } from "../../cli/commands/run.ts";
import { extensions } from "../../cli/extensions/index.ts";
import { draftRun } from "../../cli/extensions/run-flags.ts";
import { requireCommand } from "../../cli/system/exec.ts";
import { refusal } from "../support/refusal.ts";

const described = (args: Record<string, unknown>) =>
  draftRun(args).flatMap(({ extension, drafts }) =>
    drafts.map((draft) => `${extension.name} ${draft.kind} ${extension.describe(draft)}`),
  );

describe("rules", () => {
  test("of every extension, in registry order", () => {
    const args = { ack: "every=8,delay=rtt/4", iw: "40", "cc-request": "bbr", uto: "10s" };
    expect(described(args)).toEqual([
      "uto local 10s",
      "uto ask 10s",
      "cc-request ask bbr",
      "iw ask 40 segments",
      "ack local every 8, rtt/4",
    ]);
    expect(extensions.map(({ name }) => name)).toEqual(Object.keys(run.args).slice(0, extensions.length));
  });

  test("without advertising, and exemptions", () => {
    expect(described({ uto: "10s", advertise: false })).toEqual(["uto local 10s", "uto ask none"]);
    expect(described({ uto: "none", ack: "none" })).toEqual([
      "uto local none",
      "uto ask none",
      "ack local none",
    ]);
  });

  test.each([
    [{}, "there is nothing to set"],
    [{ advertise: false, iw: "40" }, "--no-advertise is only for --uto"],
    [{ uto: "5x" }, "--uto '5x': DURATION '5x' is not a duration"],
    [{ iw: "4000" }, "--iw '4000': SEGMENTS '4000'"],
    [{ "cc-request": "vegan" }, "ALGORITHM 'vegan' is not known"],
    [{ ack: "8" }, "'8' is not KEY=VALUE of a known key"],
    [{ ack: "every=8,every=9" }, "'every=9' is there twice"],
    [{ ack: "every=8,max-every=9" }, "'max-every=9' is not KEY=VALUE of a known key"],
    [{ ack: "every=" }, "'every=' is not KEY=VALUE"],
    [{ ack: "every=1,delay=20ms" }, "--every 1 and --delay exclude each other"],
    [{ ack: "" }, "'' is not KEY=VALUE"],
  ])("%j is refused", (args, what) => {
    expect(refusal(() => draftRun(args))).toMatchObject({ code: 2, message: expect.stringContaining(what) });
  });
});

describe("the command", () => {
  const parse = (...words: string[]) => checkArguments(words, run.args, "tcpx run");

  test("stands behind --, with all its flags", () => {
    expect(parse("--uto", "10s", "--", "curl", "-v", "--json", "--", "x")).toEqual([
      "--uto=10s",
      "--",
      ...["curl", "-v", "--json", "--", "x"],
    ]);
  });

  test.each([
    [["--uto", "10s", "curl"], "stray argument 'curl'"],
    [["curl", "--", "x"], "stray argument 'curl'"],
    [["--uto", "10s"], "CMD is missing"],
    [["--uto", "10s", "--"], "CMD is missing"],
  ])("%j is refused, and the hint says where it goes", (words, message) => {
    expect(refusal(() => parse(...words))).toMatchObject({ message, hint: "put the command behind --" });
  });

  test("every failure of tcpx is 125", () => expect(run.failure).toBe(RunExit.FAILED));

  test("what will not run is told beforehand, as by env(1)", () => {
    for (const name of ["tcpx-no-such-program", "/nonexistent/x", ""]) {
      expect(refusal(() => requireCommand(name))).toMatchObject({ exit: 127, value: name });
    }
    for (const name of ["/etc/passwd", "/etc"]) {
      expect(refusal(() => requireCommand(name))).toMatchObject({ exit: 126, value: name });
    }
    expect(() => requireCommand("sh")).not.toThrow();
    expect(() => requireCommand("/bin/sh")).not.toThrow();
  });
});
