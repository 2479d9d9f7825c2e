// SPDX-License-Identifier: MIT
// What the copy of the main table does not do: stay behind, harm other routing, or lose count in a flood.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Lab, type PeerError, peerErrorOf, until } from "../support/lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { BIT, RoutesLab, TABLE } from "../support/routes-lab.ts";

const EOPNOTSUPP = 95;
const RTN_THROW = "9";
const MANY = 10_000;
const NOTHING = { rules: 0, routes: 0 };
const many = (verb: string) =>
  Array.from({ length: MANY }, (_, i) => `route ${verb} 11.${i >> 8}.${i & 255}.0/24 via 10.1.0.2`);
const many6 = (verb: string) =>
  Array.from({ length: MANY }, (_, i) => `route ${verb} 2001:db8:${i.toString(16)}::/48 via fd01::2`);

describeIf(labRequirement.ok, labRequirement.reason)("the copy of the main table", () => {
  let lab: Lab;
  let r: RoutesLab;
  let n = 0;

  beforeAll(async () => {
    lab = await Lab.create();
  });
  afterAll(() => lab[Symbol.asyncDispose]());
  beforeEach(async () => {
    r = await RoutesLab.create(lab, `n${++n}`);
  });

  const gone = async () =>
    expect(await until(async () => Bun.deepEquals(await r.traces(), NOTHING))).toBe(true);
  const equal = async () => {
    for (const version of [4, 6] as const) {
      const { main, copy } = await r.tables(version);
      expect(copy).toEqual(main);
    }
  };
  const refusal = async (command = `open ${BIT}`): Promise<PeerError> => {
    const error = await peerErrorOf(r.driver.ask(command));
    expect(error.errno).toBe(EOPNOTSUPP);
    return error;
  };

  describe("leaves nothing behind", () => {
    test("when it is closed", async () => {
      await r.driver.open();
      await r.guard();
      expect(r.guards()).toHaveLength(1);
      await r.driver.ask("close");
      expect(await r.traces()).toEqual(NOTHING);
      expect(await until(() => r.guards().length === 0)).toBe(true);
    });

    test("when its process is killed, thanks to the guard", async () => {
      await r.driver.open();
      await r.batch(many("add"));
      await equal();
      const start = performance.now();
      r.driver.child.kill("SIGKILL");
      expect(await until(async () => (await r.rules(4)).every((rule) => rule.table !== `${TABLE}`))).toBe(
        true,
      );
      console.log(`no rule ${(performance.now() - start).toFixed(0)} ms after SIGKILL (as seen through ip)`);
      await gone();
      console.log(`and none of ${MANY} routes after ${(performance.now() - start).toFixed(0)} ms`);
    });

    test("and the guard of the one before does not take what the next agent has made", async () => {
      await r.batch(many("add"));
      await r.driver.open();
      const first = await r.guard();
      process.kill(first, "SIGSTOP"); // or it would have swept by the time that the next agent is there
      r.driver.child.kill("SIGKILL");
      await r.driver.child.exited;
      await r.restart();
      await r.driver.open();
      process.kill(first, "SIGCONT");
      expect(await until(() => r.guards().length === 1 && r.guards()[0] !== first)).toBe(true);
      expect(
        await until(async () => {
          const [v4, v6] = [await r.tables(4), await r.tables(6)];
          return Bun.deepEquals(v4.copy, v4.main) && Bun.deepEquals(v6.copy, v6.main);
        }),
      ).toBe(true);
      expect((await r.traces()).rules).toBe(2);
      await r.driver.ask("close");
      expect(await r.traces()).toEqual(NOTHING);
    });

    test("when the guard was killed before: there is another one", async () => {
      await r.driver.open();
      const first = await r.guard();
      process.kill(first, "SIGKILL");
      expect(await until(() => r.guards().length === 1 && r.guards()[0] !== first)).toBe(true);
      await r.ip("route add 10.30.0.0/16 via 10.1.0.7");
      await equal();
      r.driver.child.kill("SIGKILL");
      await gone();
    });

    test("of an agent that was killed together with its guard, when the next one opens or sweeps", async () => {
      for (const next of ["open", "refused", "sweep"]) {
        await r.driver.open();
        const pids = [await r.guard(), r.driver.pid];
        process.kill(r.driver.pid, "SIGSTOP"); // or it would start another guard
        for (const pid of pids) process.kill(pid, "SIGKILL");
        await r.driver.child.exited;
        await r.ip("route add 10.30.0.0/16 via 10.1.0.7", "route add 10.31.0.0/16 via 10.1.0.7");
        expect((await r.traces()).rules).toBe(2);
        await r.restart();
        if (next === "open") {
          await r.driver.open();
          await equal();
          expect((await r.traces()).rules).toBe(2);
          await r.driver.ask("close");
        } else if (next === "refused") {
          await r.ip("rule add fwmark 0x2000 lookup 100");
          await refusal();
          await r.ip("rule del fwmark 0x2000 lookup 100");
        } else {
          expect((await r.driver.ask("sweep")).result).toBeGreaterThan(2);
        }
        expect(await r.traces()).toEqual(NOTHING);
        await r.ip("route del 10.30.0.0/16", "route del 10.31.0.0/16");
      }
    });
  });

  test("the guard holds three sockets, has no terminal and no directory, and is nobody's child", async () => {
    await r.driver.open();
    const guard = await r.guard();
    const look = (path: string) =>
      Bun.spawnSync(["readlink", `/proc/${guard}/${path}`])
        .stdout.toString()
        .trim();
    const fds = Bun.spawnSync(["ls", `/proc/${guard}/fd`])
      .stdout.toString()
      .trim()
      .split("\n");
    expect(fds.map((fd) => look(`fd/${fd}`).split(":")[0])).toEqual(["socket", "socket", "socket"]);
    expect(look("cwd")).toBe("/");
    const stat = (await Bun.file(`/proc/${guard}/stat`).text()).split(") ")[1]!.split(" ");
    expect(Number(stat[3])).toBe(guard); // its own session
    expect(Number(stat[1])).not.toBe(r.driver.pid);
    await r.driver.ask("close");
  });

  describe("refuses, and says why", () => {
    const cases: [rule: string, reason: RegExp][] = [
      ["rule add fwmark 0x3000/0x3000 lookup 100", /^IPv4 rule \d+ looks at the same bit of the mark$/],
      ["rule add fwmark 7 lookup 100", /^IPv4 rule \d+ looks at the same bit/],
      ["-6 rule add not fwmark 0xca6c lookup 100", /^IPv6 rule \d+ looks at the same bit/],
      ["rule add lookup main suppress_prefixlength 0", /^IPv4 rule \d+ takes most routes/],
      ["rule add from 10.0.0.0/8 lookup 31904", /^IPv4 rule \d+ of somebody else uses table 31904$/],
      ["rule del lookup main", /^no IPv4 rule sends every packet to table main$/],
      ["route add 10.70.0.0/16 via 10.1.0.5 table 31904", /^table 31904 holds routes of somebody else$/],
    ];
    for (const [command, reason] of cases) {
      test(command, async () => {
        await r.ip(command);
        expect((await refusal()).code).toMatch(reason);
        const own = [...(await r.rules(4)), ...(await r.rules(6))].filter((rule) => rule.protocol === "202");
        expect(own).toEqual([]);
        expect((await r.copy(4)).filter((route) => route.protocol === "202")).toEqual([]);
        expect(await until(() => r.guards().length === 0)).toBe(true);
      });
    }

    test("later as well, and comes back when the way is free", async () => {
      await r.driver.open();
      await r.ip("rule add fwmark 0x2000/0x2000 lookup 100");
      expect((await r.driver.stats()).last).toBe(-EOPNOTSUPP);
      expect((await r.traces()).rules).toBe(0);
      await r.ip("rule del fwmark 0x2000/0x2000 lookup 100");
      expect((await r.driver.stats()).last).toBe(1);
      expect((await r.traces()).rules).toBe(2);
      await r.ip("rule add fwmark 0x4/0x4 lookup 100");
      await refusal("bits 4");
      expect((await r.rules(4)).find((rule) => rule.table === `${TABLE}`)?.fwmark).toBe("0x2000");
      await r.driver.ask("close");
    });
  });

  test("is repaired when somebody removes its rules or routes", async () => {
    await r.driver.open();
    await r.ip("rule del table 31904", "route flush table 31904", "-6 route flush table 31904");
    await equal();
    expect((await r.traces()).rules).toBe(2);
    await r.driver.ask("close");
  });

  test("a route that cannot be copied is left to main", async () => {
    // Its gateway was a neighbour once: nobody could add it again as it is.
    await r.ip(
      "addr add 10.3.0.1/24 dev d1",
      "route add 10.60.0.0/16 via 10.3.0.9",
      "addr add 10.3.9.1/32 dev d1",
    );
    await r.ip("addr del 10.3.0.1/24 dev d1", "route add default via 10.2.0.2");
    await r.driver.open();
    const copied = async () => (await r.copy(4)).find((route) => route.dst === "10.60.0.0/16");
    expect(await copied()).toMatchObject({ type: RTN_THROW });
    const way = (mark: number) => r.lab.exec(r.netns, ["ip", "route", "get", "10.60.0.1", "mark", `${mark}`]);
    expect(await way(BIT)).toMatch(/via 10\.3\.0\.9 dev d1/);
    // Changes elsewhere leave it there; when it can be copied, it is.
    await r.ip("addr del 10.3.9.1/32 dev d1");
    await r.driver.stats();
    expect(await copied()).toMatchObject({ type: RTN_THROW });
    await r.ip("route replace 10.60.0.0/16 via 10.1.0.9");
    await equal();
    expect((await r.driver.stats()).errors).toBe(0);
    await r.driver.ask("close");
  });

  test(`${MANY} routes of each family: copied, flooded, removed`, async () => {
    await r.batch(many("add"));
    await r.batch(many6("add"), 6);
    const opened = await r.driver.open();
    await equal();
    const before = await r.driver.stats();
    await r.batch(many("del"));
    await r.batch(many6("del"), 6);
    await equal();
    const followed = await r.driver.stats();
    process.kill(r.driver.pid, "SIGSTOP"); // so that notifications are lost
    await r.batch(many("add"));
    await r.batch(many6("add"), 6);
    process.kill(r.driver.pid, "SIGCONT");
    await equal();
    const after = await r.driver.stats();
    expect(after.changes! - followed.changes!).toBeLessThan(2 * MANY);
    expect(after.errors).toBe(0);
    const closed = await r.driver.ask("close");
    expect(await r.traces()).toEqual(NOTHING);
    const ms = (us: number | undefined) => ((us ?? 0) / 1000).toFixed(1);
    console.log(
      `2 x ${MANY} routes: open ${ms(opened.wall)} ms (CPU ${ms(opened.cpu)}), ` +
        `followed ${followed.changes! - before.changes!} removals with ${ms(followed.total! - before.total!)} ms of CPU, ` +
        `lost in a flood and compared: ${ms(after.total! - followed.total!)} ms, ` +
        `longest call ${ms(after.longest)} ms, close ${ms(closed.wall)} ms`,
    );
  }, 60_000);
});
