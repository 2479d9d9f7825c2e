// SPDX-License-Identifier: MIT
// What takes longer than a second says on a terminal how far it is, and nowhere else.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { Lab } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, every, labRequirement, ptyRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";

const RULES = 3000;
const CLEAR = "\r\x1b[K";
const requirement = every("progress", labRequirement, ptyRequirement);

describeIf(requirement.ok, requirement.reason)("progress", () => {
  let lab: Lab;
  let host: PrivateHost;
  let policy: string;

  beforeAll(async () => {
    lab = await Lab.create();
    host = await PrivateHost.create(lab);
    const rule = (i: number) => `[[scope.iw]]\nset = 20\nto = "10.0.${i >> 8}.${i & 255}"\n`;
    const rules = Array.from({ length: RULES }, (_, i) => rule(i));
    policy = lab.file("policy.toml", `[[scope]]\ncgroup = "${lab.cgroup("a")}"\n${rules.join("")}`);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  /**
   * What `apply` says, but for the rules, of a policy that comes a second after it has begun to wait for it: a FIFO
   * is opened by both at once, so it is no matter how long the start takes.
   */
  async function said(around: (command: string) => string, flags = ""): Promise<string> {
    const fifo = join(lab.dir, "fifo");
    const command = around(`${tcpxPath()} apply --dry-run ${flags} ${fifo}`);
    const text = await host.sh(`
      mkfifo ${fifo}
      { exec 3>${fifo}; sleep 1.1; cat ${policy} >&3; } &
      ${command} </dev/null
      rm ${fifo}`);
    return text.replace(/\+ iw ask .*\s+/g, "").trimEnd();
  }

  const terminal = (command: string) => `TERM=xterm script -qec "${command}" /dev/null`;
  const dumb = (command: string) => terminal(command).replace("xterm", "dumb");
  const pipe = (command: string) => `${command} 2>&1`;
  const RESULT = "nothing was changed (--dry-run)";

  test("on a terminal there is a line after the first second, and it is taken away", async () => {
    const steps = (await said(terminal)).split(CLEAR);
    expect([steps.shift(), steps.pop()]).toEqual(["", RESULT]);
    expect(steps[0]).toMatch(/^reading \/.*\/fifo: rule 1,024$/);
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
