// SPDX-License-Identifier: MIT
// `tcpx ack set --every 8` and its agent with many connections, and with every way of opening one.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { SOL_SOCKET } from "../support/constants.ts";
import { attempts, until } from "../support/lab.ts";
import {
  describeIf,
  every,
  labRequirement,
  mptcpRequirement,
  requirement,
  testIf,
} from "../support/requires.ts";
import { type Download, type Flow, ThinnedHost } from "../support/thinned-host.ts";
import { SO_MAX_PACING_RATE } from "../support/thinner-lab.ts";

const tool = requirement("bpftool", Bun.which("bpftool") !== null, "the program bpftool");
const needs = every("all", labRequirement, tool);
const RULE = "set --every 8 --min-acks-per-rtt 0";

describeIf(needs.ok, needs.reason)("thinned downloads", () => {
  let h: ThinnedHost;

  beforeAll(async () => {
    h = await ThinnedHost.create(3);
  });
  afterEach(async () => {
    for (const { cgroup } of h.receivers) await h.a.ack("unset --all", cgroup);
  });
  afterAll(() => h?.[Symbol.asyncDispose]());

  test("300 at once: all bytes arrive, nobody waits for a timeout, and nothing is left of them", async () => {
    const r = h.first;
    const open = async () => {
      const flows: Flow[] = [];
      for (let i = 0; i < 300; i++) {
        const flow = await h.open(r, { v6: i % 2 === 1 });
        // Faster, and together they would overrun the device: losses mean timeouts without us as well.
        // Slower, and an ACK is 12 ms after the one before: a pause, and the next ones are not held back.
        await h.sender.setopt(flow.from, SOL_SOCKET, SO_MAX_PACING_RATE, 300_000);
        flows.push(flow);
      }
      return flows;
    };
    const stock = await open(); // before there is a rule
    await h.a.ack("set --every 8 --delay 40ms --min-acks-per-rtt 0", r.cgroup);
    const flows = await open();
    const download = async (flows: Flow[]) => {
      const before = { timeouts: await h.counter("TcpExtTCPTimeouts"), ...(await h.counts(r)) };
      let held = 0;
      let running = true;
      const watching = (async () => {
        for (; running; await Bun.sleep(50)) held = Math.max(held, await h.holds());
      })();
      await Promise.all(flows.map((flow) => h.transfer(r, flow, 600_000, 60_000)));
      running = false;
      await watching;
      const timeouts = (await h.counter("TcpExtTCPTimeouts")) - before.timeouts;
      return { timeouts, held, dropped: (await h.counts(r)).dropped - before.dropped };
    };
    // Of a machine that stands still for 200 ms every sender times out, and a slow one loses segments:
    // then once more, and no more of them than without the rule.
    let [least, usual, dropped, held] = [Number.POSITIVE_INFINITY, 0, 0, 0];
    const attempt = async (n: number) => {
      if (n > 1) {
        const control = await download(stock);
        expect(control.dropped).toBe(0);
        usual = Math.max(usual, control.timeouts);
      }
      const thinned = await download(flows);
      least = Math.min(least, thinned.timeouts);
      dropped = Math.max(dropped, thinned.dropped);
      held = Math.max(held, thinned.held);
    };
    await attempts(4, attempt, () => least <= usual && dropped > 300 && held > 20);
    // where senders have timed out their windows grow anew, and ACKs pass
    expect(dropped).toBeGreaterThan(300);
    expect(held).toBeGreaterThan(20);
    expect(least).toBeLessThanOrEqual(usual);
    await Promise.all([...flows, ...stock].map((flow) => h.close(r, flow)));
    expect(await until(async () => (await h.holds()) === 0, 5_000)).toBe(true);
    expect(await h.a.agent()).toMatchObject({ running: true, problems: [] });
  }, 300_000);

  const ways: Record<string, Download> = {
    "opened by the receiver": {},
    "opened by the receiver, IPv6": { v6: true },
    "opened by the sender": { passive: true },
    "opened by the sender, IPv6": { passive: true, v6: true },
    "IPv4 at an IPv6 socket, opened by the receiver": { mapped: true },
    "IPv4 at an IPv6 socket, opened by the sender": { mapped: true, passive: true },
  };
  for (const [name, how] of Object.entries(ways)) {
    test(`${name}: thinned, and the last ACK comes`, async () => {
      const r = h.first;
      await h.a.ack(RULE, r.cgroup);
      const flow = await h.open(r, how);
      // the sender asks by itself when 200 ms are over; a busy machine may be late with the ACK
      const lastComes = async () => {
        expect(await h.holdBack(r, flow, 20)).toBe(true);
        return await until(async () => (await h.sender.tcpInfo(flow.from)).unacked === 0, 150);
      };
      expect(await attempts(4, lastComes, Boolean)).toBe(true);
    });
  }

  test("one agent, three namespaces, a scope in each", async () => {
    for (const { cgroup } of h.receivers) await h.a.ack(RULE, cgroup);
    const flows = await Promise.all(h.receivers.map((r, i) => h.open(r, { v6: i === 1, passive: i === 2 })));
    const held = await Promise.all(h.receivers.map((r, i) => h.holdBack(r, flows[i]!, 10)));
    expect(held).toEqual([true, true, true]);
    const agent = await h.a.agent();
    expect(agent).toMatchObject({ running: true, namespaces: 3, problems: [] });
    expect(agent.cgroups).toHaveLength(3);
    expect(await h.a.agents()).toHaveLength(1);
  });

  testIf(mptcpRequirement.ok, mptcpRequirement.reason)("MPTCP: nothing of it is held back", async () => {
    const r = h.first;
    await h.a.ack(RULE, r.cgroup);
    for (const passive of [false, true]) {
      const flow = await h.open(r, { mptcp: true, passive });
      await h.transfer(r, flow, 4_000_000);
      const [sent, got] = await Promise.all([
        r.peer.send(flow.to, 100_000),
        h.sender.recv(flow.from, 100_000),
      ]);
      expect(got).toBe(sent);
    }
    const { passed, dropped, flushed, reasons } = await h.counts(r);
    expect([dropped, flushed]).toEqual([0, 0]);
    expect(reasons.options).toBeGreaterThan(passed * 0.95);
  });
});
