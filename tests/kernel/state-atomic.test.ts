// SPDX-License-Identifier: MIT
// Changes are atomic: killed commands, commands at the same time, connections during a change.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { killed, shortest, sweep } from "../support/kills.ts";
import { connectPeers } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";
import { UtoLab, utoOf } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement);
const TOP = "/sys/fs/bpf/tcpx";

interface ShownRule {
  kind: string;
  address: string | null;
  timeout_ms: number;
}

describeIf(needs.ok, needs.reason)("changes of the state", () => {
  let u: UtoLab;
  let host: PrivateHost;
  let scope: string[];

  beforeAll(async () => {
    u = await UtoLab.create();
    host = await PrivateHost.create(u.lab);
    scope = ["--cgroup", u.client.cgroup];
  });
  afterEach(async () => {
    await host.ok(["uto", "unset", "--all", "--wait", ...scope]);
  });
  afterAll(() => u[Symbol.asyncDispose]());

  const uto = (words: string) =>
    host.ok(["uto", ...words.split(" "), ...scope], { json: true, timeoutMs: 60_000 });
  const rules = async (): Promise<ShownRule[]> => (await uto("show")).json.rules;
  const generations = async () => (await host.pins()).filter((path) => /\/gen-\d+$/.test(path));

  /** Values of both kinds, "" when there is no rule: "30000" means ask and local agree. */
  async function values(): Promise<string> {
    const shown = await rules();
    if (shown.length > 0) expect(shown.map((rule) => rule.kind).sort()).toEqual(["ask", "local"]);
    return [...new Set(shown.map((rule) => rule.timeout_ms))].join(" ");
  }

  /** Kills spread evenly over the whole command and a little more, with so many at the least that met it alive. */
  async function massacre(
    rounds: number,
    wanted: number,
    wordsOf: (n: number) => string,
    check: (n: number) => Promise<void>,
    begin = () => {},
  ) {
    let hits = 0;
    await sweep({
      rounds,
      sweeps: 3,
      duration: async () => {
        await uto("set 1h --wait"); // what was killed may still be about to end
        const changes = ["2h", "1h", "2h", "1h"].map((value) => () => uto(`set ${value}`));
        const whole = await shortest(changes);
        begin();
        return whole;
      },
      round: async (n, part, whole) => {
        const command = `${tcpxPath()} uto ${wordsOf(n)} ${scope.join(" ")}`;
        if (await killed(host, command, 1 + whole * 1.1 * part)) hits++;
        await check(n);
      },
      enough: () => hits >= wanted,
    });
    expect(hits).toBeGreaterThanOrEqual(wanted); // else the kills did not test anything
  }

  test("SIGKILL at any moment leaves the old rules or the new ones, and the next command cleans up", async () => {
    let previous = "";
    await massacre(
      40,
      10,
      (n) => `set ${n % 2 ? "30s" : "40s"}`,
      async (n) => {
        const now = await values();
        expect([previous, n % 2 ? "30000" : "40000"]).toContain(now);
        previous = now;
        const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
        expect(`${await u.timeout(u.client, c.client)}`).toBe(now);
        await u.client.peer.close(c.client);
      },
      () => {
        previous = "3600000";
      },
    );
    await uto("set 50s --wait");
    expect(await values()).toBe("50000");
    expect(await generations()).toHaveLength(1);
    await uto("unset");
    expect(await host.pins()).toEqual([]);
  }, 180_000);

  test("SIGKILL of the first set and of the last unset: all or nothing", async () => {
    await massacre(
      30,
      6,
      (n) => (n % 2 ? "unset" : "set 30s"),
      async () => {
        expect(["", "30000", "3600000"]).toContain(await values());
      },
    );
    await uto("set 50s --wait");
    expect(await values()).toBe("50000");
    expect(await generations()).toHaveLength(1);
    await uto("unset");
    expect(await host.pins()).toEqual([]);
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    expect(await u.timeout(u.client, c.client)).toBe(0);
  }, 180_000);

  test("stale generations of a killed command are gone after the next change of any scope", async () => {
    await uto("set 30s");
    const [current = ""] = await generations();
    await host.sh(`mkdir ${current.replace(/\d+$/, "999999")}`);
    expect(await generations()).toHaveLength(2);
    expect(await values()).toBe("30000");
    await host.ok(["uto", "set", "30s", "--cgroup", u.server.cgroup]);
    expect(await generations()).toHaveLength(2); // one for each scope
    await host.ok(["uto", "unset", "--cgroup", u.server.cgroup]);
    expect(await generations()).toEqual([current]);
  });

  test("while another command holds the lock a change exits 5 with --no-wait, and nothing is changed", async () => {
    await uto("set 30s");
    const before = await host.pins();
    // flock runs cat, which ends with its stdin: that releases the lock
    const holder = u.lab.spawn([...host.wrap, "flock", TOP, "sh", "-c", "echo held; exec cat"]);
    const said = await holder.stdout.getReader().read();
    expect(new TextDecoder().decode(said.value)).toBe("held\n");
    const busy = await host.tcpx(["uto", "set", "40s", "--no-wait", ...scope]);
    expect(busy).toMatchObject({ code: 5, stdout: "" });
    expect(busy.stderr).toMatch(/^tcpx: another tcpx .*--wait\n$/);
    const json = (await host.tcpx(["uto", "unset", "--no-wait", ...scope], { json: true })).json;
    expect(json).toMatchObject({ schema: 2, error: { code: 5 } });
    // what changes nothing needs no lock
    expect((await uto("set 30s")).json.changed).toBe(false);
    expect((await uto("set 40s --dry-run")).json.changed).toBe(true);
    expect(await values()).toBe("30000");
    expect(await host.pins()).toEqual(before);
    holder.stdin.end();
    await holder.exited;
    expect((await uto("set 40s --no-wait")).json.changed).toBe(true);
  });

  test("fifty commands at the same time with --wait: every rule is there afterwards", async () => {
    const hosts = Array.from({ length: 50 }, (_, n) => `192.0.2.${n + 1}`);
    await Promise.all(hosts.map((addr, n) => uto(`set ${n + 1}s --to ${addr} --wait`)));
    const shown = await rules();
    expect(shown).toHaveLength(100);
    for (const [n, addr] of hosts.entries()) {
      const mine = shown.filter((rule) => rule.address === addr);
      expect(mine.map((rule) => rule.timeout_ms)).toEqual([(n + 1) * 1000, (n + 1) * 1000]);
    }
    await Promise.all(hosts.map((addr) => uto(`unset --to ${addr} --wait`)));
    expect(await host.pins()).toEqual([]);
  }, 60_000);

  test("ten firsts and lasts at the same time: the directory comes and goes, the lock holds", async () => {
    const pair = async (n: number) => {
      for (let round = 0; round < 3; round++) {
        await uto(`set 30s --to 192.0.2.${n} --wait`);
        await uto(`unset --to 192.0.2.${n} --wait`);
      }
    };
    await Promise.all([1, 2, 3, 4].map(pair));
    expect(await host.pins()).toEqual([]);
  }, 60_000);

  test("connections set up while rules change have one of the two values, on the socket and on the wire", async () => {
    await uto("set 30s");
    const capture = await u.lab.capture(u.client.netns, u.client.device, "tcp[tcpflags] & tcp-syn != 0");
    const { fd: listener, port } = await u.server.peer.listen(u.server.v4);
    let busy = true;
    const seen: number[] = [];
    const connect = async () => {
      while (busy) {
        const fd = await u.client.peer.connect(u.server.v4, port);
        const { fd: accepted } = await u.server.peer.accept(listener);
        seen.push(await u.timeout(u.client, fd));
        await Promise.all([u.client.peer.reset(fd), u.server.peer.close(accepted)]);
      }
    };
    const connecting = connect();
    // the two share the machine, not always evenly
    for (let n = 0; n < 12 || (n < 200 && seen.length <= 50); n++) await uto(`set ${n % 2 ? "30s" : "40s"}`);
    busy = false;
    await connecting;
    await capture.stop();
    expect(seen.length).toBeGreaterThan(50);
    expect(new Set(seen)).toEqual(new Set([30_000, 40_000]));
    const syns = (await capture.packets()).filter((p) => p.flags === "S" && p.dport === port);
    expect(syns.map((p) => (p.uto?.value ?? 0) * 1000)).toEqual(seen);
    expect(new Set(syns.map(utoOf))).toEqual(new Set(["1c04001e", "1c040028"]));
  }, 180_000);
});
