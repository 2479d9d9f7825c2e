// SPDX-License-Identifier: MIT
// ACKs at once where routing cannot carry them: refused before anything is changed.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readlinkSync } from "node:fs";
import { Lab, run, until } from "../support/lab.ts";
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
    const inside = (words: string) =>
      lab.exec(
        netns,
        ["sh", "-c", `${tcpxPath()} ${words} --cgroup ${cgroup} 2>&1; echo "exit $?"`],
        "",
        cgroup,
      );
    const said = await inside("ack set --every 1 --wait");
    expect(said).toContain("tcpx: routing here cannot carry ACKs at once: ");
    expect(said).toContain(reason);
    expect(said).toEndWith("exit 3\n");
    expect(await inside("ack show")).toBe("no ack rules\nexit 0\n");
    expect(await lab.exec(netns, ["ip", "rule", "show"])).not.toContain("31904");
  });

  test("of another user namespace: exit 3, the reason, no rule, and nothing of ours in there", async () => {
    const box = lab.spawn(["unshare", "--user", "--map-root-user", "--net", "sleep", "600"]);
    const net = `/proc/${box.pid}/ns/net`;
    expect(
      await until(() => existsSync(net) && readlinkSync(net) !== readlinkSync("/proc/self/ns/net")),
    ).toBe(true);
    const cgroup = lab.cgroup("foreign");
    const script = `echo $$ >${cgroup}/cgroup.procs
      for c in "set --every 1 --wait" show; do ${tcpxPath()} ack $c --cgroup ${cgroup} 2>&1; echo "exit $?"; done`;
    const said = await run(["nsenter", `--net=${net}`, "sh", "-c", script]);
    expect(said).toContain("another user namespace; --delay needs no routes\nexit 3\n");
    expect(said).toEndWith("no ack rules\nexit 0\n");
    expect(await run(["nsenter", `--net=${net}`, "ip", "rule"])).not.toContain("31904");
  });
});
