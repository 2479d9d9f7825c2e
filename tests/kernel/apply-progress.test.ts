// SPDX-License-Identifier: MIT
// What takes longer than a second says on a terminal how far it is, and nowhere else.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Lab } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, every, labRequirement, ptyRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";

const RULES = 3000;
/** Bytes; a pipe takes 64 KiB. */
const BEFORE = 100_000;
const CLEAR = "\r\x1b[K";
const requirement = every("progress", labRequirement, ptyRequirement);

describeIf(requirement.ok, requirement.reason)("progress", () => {
  let lab: Lab;
  let host: PrivateHost;
  let policy: string;

  beforeAll(async () => {
    lab = await Lab.create();
    host = await PrivateHost.create(lab);
    const rule = (i: number) => `[[scope.iw]]\nset = 20\nto = "10.0.${i >> 7}.${1 + (i & 127)}"\n`;
    const rules = Array.from({ length: RULES }, (_, i) => rule(i));
    policy = lab.file("policy.toml", `[[scope]]\ncgroup = "${lab.cgroup("a")}"\n${rules.join("")}`);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  /**
   * What `apply` says, but for the rules, of a policy whose end comes a second after it has begun to read: what is
   * before does not fit into a pipe, so it is no matter how long the start takes.
   */
  async function said(around: (command: string) => string, flags = ""): Promise<string> {
    const slowly = `{ head -c ${BEFORE} ${policy}; sleep 1.1; tail -c +${BEFORE + 1} ${policy}; }`;
    const text = await host.sh(
      `${around(`${slowly} | ${tcpxPath()} apply --dry-run ${flags} -`)} </dev/null`,
    );
    return text.replace(/\+ iw ask .*\s+/g, "").trimEnd();
  }

  const terminal = (command: string) => `TERM=xterm script -qec "${command}" /dev/null`;
  const dumb = (command: string) => terminal(command).replace("xterm", "dumb");
  const pipe = (command: string) => `{ ${command}; } 2>&1`;
  const RESULT = "nothing was changed (--dry-run)";

  test("on a terminal there is a line after the first second, and it is taken away", async () => {
    const steps = (await said(terminal)).split(CLEAR);
    expect([steps.shift(), steps.pop()]).toEqual(["", RESULT]);
    expect(steps[0]).toMatch(/^reading stdin: rule 1,024$/);
    for (const step of steps) expect(step).toMatch(/^reading .*: rule \d,\d{3}$/);
  });

  test.each([
    ["on a pipe", pipe, "", RESULT],
    ["on a terminal that cannot take a line away", dumb, "", RESULT],
    ["with --quiet", terminal, "--quiet", ""],
  ])("%s there is none", async (_, around, flags, result) => {
    expect(await said(around, flags)).toBe(result);
  });
});
