// SPDX-License-Identifier: MIT
// `tcpx watch` in a time namespace, whose clocks are not those of the programs.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { connectPeers } from "../support/lab.ts";
import { describeIf, every, labRequirement, requirement } from "../support/requires.ts";
import { tcpx } from "../support/tcpx.ts";
import { tcpxOk, UtoLab } from "../support/uto-lab.ts";
import { Watch } from "../support/watch-lab.ts";

const namespaces = requirement(
  "time namespaces",
  existsSync("/proc/self/timens_offsets"),
  "a kernel with time namespaces",
);
const needs = every("all", labRequirement, namespaces);

describeIf(needs.ok, needs.reason)("tcpx watch in a time namespace", () => {
  let u: UtoLab;
  let open: Watch | undefined;

  beforeAll(async () => {
    u = await UtoLab.create();
    await tcpxOk(["uto", "set", "30s", "--cgroup", u.client.cgroup, "--wait"]);
  });
  afterEach(async () => {
    await open?.end("SIGTERM");
    open = undefined;
  });
  afterAll(async () => {
    await tcpxOk(["uto", "unset", "--all", "--cgroup", u.client.cgroup, "--wait"]);
    await u[Symbol.asyncDispose]();
  });

  const shifted = (seconds: number) => [
    ...["unshare", "--time", "--monotonic", `${seconds}`, "--boottime", `${2 * seconds}`],
  ];

  test.each([
    ["a day ahead", shifted(86_400)],
    ["behind", shifted(-60)],
    ["one in another", [...shifted(86_400), ...shifted(1000)]],
  ])("%s: events come, and at the time of day", async (_, wrap) => {
    open = await Watch.start(u.lab, [], { netns: u.client.netns, wrap });
    const before = Date.now();
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    await u.exchange(c, 2);
    expect(await open.has(1)).toBe(true);
    const at = Date.parse(open.events[0].time);
    expect(at).toBeWithin(before - 1000, Date.now() + 1000);
    // from there and from outside
    for (const around of [[], wrap]) {
      expect((await tcpx(["status"], { wrap: around })).stdout).toContain("`tcpx watch` is open");
    }
  });
});
