// SPDX-License-Identifier: MIT
// Connections and listeners that exist, changed by root without CAP_SYS_ADMIN. On a kernel without TCP-AO the programs
// name a struct that it does not have, which must not be looked for in the BTF of modules: that needs the capability.
import { expect, test } from "bun:test";
import { connectPeers } from "../support/lab.ts";
import { describeIf, every, hasTool, labRequirement } from "../support/requires.ts";
import { tcpx } from "../support/tcpx.ts";
import { tcpxOk, UtoLab } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, hasTool("setpriv"));
const wrap = ["setpriv", "--bounding-set=-all,+bpf,+perfmon,+net_admin"];

describeIf(needs.ok, needs.reason)("without CAP_SYS_ADMIN", () => {
  test("set --live changes, a listener is armed, unset --live gives back", async () => {
    await using u = await UtoLab.create();
    const { cgroup, netns, peer } = u.client;
    await tcpxOk(["iw", "accept", "--max", "20", "--cgroup", u.server.cgroup, "--wait"]); // mounting bpffs takes it, too
    const c = await connectPeers(peer, u.server.peer, u.server.v4);
    await peer.listen(u.client.v4);
    const timeout = () => u.timeout(u.client, c.client);
    const run = (...words: string[]) =>
      tcpx([...words, "--cgroup", cgroup, "--wait"], { netns, wrap, json: true });
    try {
      const { code, json } = await run("uto", "set", "7s", "--live");
      expect([code, json.live.changed_connections, json.listeners]).toMatchObject([
        0,
        1,
        { supported: true },
      ]);
      expect(json.listeners.armed).toBeGreaterThan(0);
      expect(await timeout()).toBe(7000);
      expect((await run("uto", "unset", "--live")).code).toBe(0);
      expect(await timeout()).toBe(0);
    } finally {
      await tcpxOk(["uto", "unset", "--all", "--cgroup", cgroup, "--wait"]);
      await tcpxOk(["iw", "unset", "--all", "--cgroup", u.server.cgroup, "--wait"]);
    }
  });
});
