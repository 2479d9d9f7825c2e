// SPDX-License-Identifier: MIT
// How long it is remembered that a path refuses our option: longer than the rule, and not longer than the last
// one. In a private host, where the last rule is.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { pathsRequirement } from "../support/paths.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, every, labRequirement, nftRequirement } from "../support/requires.ts";
import { UtoLab } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, nftRequirement, pathsRequirement);
const RESET = "tcp flags syn / fin,syn,rst,ack tcp option 28 exists reject with tcp reset";
const PORT = 7600;

describeIf(needs.ok, needs.reason)("what is remembered of a path that refuses", () => {
  let u: UtoLab;
  let host: PrivateHost;

  beforeAll(async () => {
    u = await UtoLab.create();
    host = await PrivateHost.create(u.lab);
    await u.filter(u.server, RESET);
  });
  afterEach(() => host.ok(["uto", "unset", "--all", "--cgroup", u.client.cgroup]));
  afterAll(() => u[Symbol.asyncDispose]());

  const on = (words: string, cgroup = u.client.cgroup) => host.ok([...words.split(" "), "--cgroup", cgroup]);
  const pinned = async () => (await host.pins()).some((path) => path.endsWith("/paths"));

  /** A new connection to one and the same place: does it come about? */
  async function connects(): Promise<boolean> {
    const { fd: listener, port } = await u.server.peer.listen(u.server.v4, PORT);
    const client = await u.client.peer.socket(4);
    const done = await u.client.peer.connectFd(client, u.server.v4, port, 700).then(
      () => true,
      () => false,
    );
    await u.client.peer.close(client);
    await u.server.peer.close(listener);
    return done;
  }

  test("changed rules, and those of other scopes, leave it alone", async () => {
    await on("uto set 30s");
    expect([await connects(), await connects()]).toEqual([false, true]);
    await on("uto set 40s");
    expect(await connects()).toBe(true);
    const other = u.lab.cgroup("other");
    await on("uto set 50s", other);
    await on("uto unset --all");
    await on("uto set 30s");
    expect(await connects()).toBe(true);
    await on("uto unset --all", other);
    expect(await connects()).toBe(true);
  });

  test("with the last rule it goes", async () => {
    await on("uto set 30s");
    expect([await connects(), await connects()]).toEqual([false, true]);
    await on("uto unset --all");
    expect(await pinned()).toBe(false);
    await on("uto set 30s");
    expect([await connects(), await connects()]).toEqual([false, true]);
  });

  test("`reset` forgets it", async () => {
    await on("uto set 30s");
    expect([await connects(), await connects()]).toEqual([false, true]);
    expect(await pinned()).toBe(true);
    await host.reset();
    expect(await pinned()).toBe(false);
    await on("uto set 30s");
    expect([await connects(), await connects()]).toEqual([false, true]);
  });

  test("another build's map of another shape is named", async () => {
    await on("uto set 30s");
    const [pin] = (await host.pins()).filter((path) => path.endsWith("/paths"));
    const type = "type lru_hash key 32 value 8 entries 16 name paths";
    await host.sh(`rm ${pin} && bpftool map create ${pin} ${type}`);
    const { code, stderr } = await host.tcpx(["uto", "set", "40s", "--cgroup", u.client.cgroup]);
    expect(code).toBe(1);
    expect(stderr).toContain(`${pin} was pinned by another build of tcpx`);
    await host.sh(`rm ${pin}`);
  });
});
