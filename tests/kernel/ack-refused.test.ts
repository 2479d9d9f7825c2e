// SPDX-License-Identifier: MIT
// ACKs at once where routing cannot carry them: refused before anything is changed.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Lab } from "../support/lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";

describeIf(labRequirement.ok, labRequirement.reason)("ack set --every 1, in a namespace", () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await Lab.create();
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  test.each([
    [
      "whose rules look at the same bit",
      "fwmark 0x2000/0x2000 lookup 100",
      "IPv4 rule 32765 looks at the same bit",
    ],
    [
      "that looks main up only in part",
      "lookup main suppress_prefixlength 0",
      "takes most routes from table main",
    ],
  ])("%s: exit 3, the reason, and no rule", async (_, rule, reason) => {
    const netns = await lab.netns(`refused${rule.length}`);
    const cgroup = lab.cgroup(`refused${rule.length}`);
    await lab.exec(netns, ["ip", "rule", "add", ...rule.split(" ")]);
    const run = (words: string) =>
      lab.exec(
        netns,
        ["sh", "-c", `${tcpxPath()} ${words} --cgroup ${cgroup} 2>&1; echo "exit $?"`],
        "",
        cgroup,
      );
    const said = await run("ack set --every 1 --wait");
    expect(said).toContain("tcpx: routing here cannot carry ACKs at once: ");
    expect(said).toContain(reason);
    expect(said).toEndWith("exit 3\n");
    expect(await run("ack show")).toBe("no ack rules\nexit 0\n");
    expect(await lab.exec(netns, ["ip", "rule", "show"])).not.toContain("31904");
  });
});
