// SPDX-License-Identifier: MIT
// --live once more with the same rule: nothing changes, for people, for scripts and on the sockets.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { capOf, delackRequirement } from "../support/ack-lab.ts";
import { LiveLab } from "../support/live-lab.ts";
import { algorithmRequirement, type RequestLab } from "../support/request-lab.ts";
import { describeIf, every, labRequirement } from "../support/requires.ts";
import { tcpx } from "../support/tcpx.ts";

const cubic = algorithmRequirement("cubic");
const needs = every("all", labRequirement, delackRequirement, cubic);

describeIf(needs.ok, needs.reason)("--live of the same rule", () => {
  let l: LiveLab;
  let r: RequestLab;

  beforeAll(async () => {
    l = await LiveLab.create();
    r = l.r;
  });
  afterEach(() => l.clear());
  afterAll(() => l[Symbol.asyncDispose]());

  /** The command once more. */
  async function again(words: string) {
    const args = [...words.split(" "), "--live", "--cgroup", r.client.cgroup, "--wait"];
    const { code, json } = await tcpx(args, { json: true });
    const text = await tcpx(args);
    return { codes: [code, text.code], json, last: text.stdout.trimEnd().split("\n").at(-1) };
  }

  const expectNoChange = ({ codes, json, last }: Awaited<ReturnType<typeof again>>) => {
    expect([codes, json.changed, json.live.changed_connections, json.live.announced, last]).toEqual([
      [0, 0],
      false,
      0,
      0,
      "no change",
    ]);
  };

  test.each([
    "uto set 30s",
    "uto set 30s --no-advertise",
    "cc-request set cubic --local",
    "ack set --delay 40ms",
    "ack set --delay rtt/4",
    "ack request --every 4",
  ])("%s", async (words) => {
    await l.opened();
    expect((await r.rule(r.client, `${words} --live`)).json).toMatchObject({
      changed: true,
      live: { changed_connections: 1 },
    });
    const said = await again(words);
    expectNoChange(said);
    expect(said.json.live.same).toBe(1);
  });

  test("a request with TARR that is still to be made, on a connection that is idle", async () => {
    await r.rule(r.client, "ack request --every 2 --tarr");
    await r.rule(r.server, "ack accept");
    await l.opened();
    const words = "ack request --every 4 --tarr";
    expect(await l.live(r.client, words)).toMatchObject({ changed_connections: 1, announced: 1 });
    expectNoChange(await again(words));
  });

  test("a fraction of a round-trip time that has become another one since", async () => {
    const near = await r.lab.wire(r.client.netns);
    const c = await r.toWire(near);
    const exchange = async (ms: number) => {
      await r.client.peer.send(c.fd, 100);
      await near.expect(c.flow);
      await Bun.sleep(ms);
      await near.ack(c.flow);
    };
    await exchange(0);
    await l.live(r.client, "ack set --delay rtt/2");
    const cap = await capOf(r.client, c.fd);
    for (let n = 0; n < 4; n++) await exchange(150); // within the 200 ms of the least RTO
    expectNoChange(await again("ack set --delay rtt/2"));
    expect(await capOf(r.client, c.fd)).toBe(cap);
    await r.client.peer.reset(c.fd);
  });

  test("a rule that stood there: what it does to connections is a change, and no rule is one", async () => {
    await l.opened(); // before the rule
    await r.rule(r.client, "uto set 30s");
    const args = ["uto", "set", "30s", "--live", "--cgroup", r.client.cgroup, "--wait"];
    const { stdout } = await tcpx(args);
    expect(stdout).toContain("changed 1 connection(s)");
    expect(stdout).not.toContain("no change");
  });
});
