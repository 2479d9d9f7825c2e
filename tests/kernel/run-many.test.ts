// SPDX-License-Identifier: MIT
// Many runs at once and one behind the other: no watcher outlives its cgroup, whoever removes that and whoever is
// killed. What an older build has left is known to status and reset, and what only looks like it is left alone.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { Lab, processesOf, until } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { commOf, RunLab } from "../support/run-lab.ts";
import { tcpxPath } from "../support/tcpx.ts";

const RUN = ["--uto", "10s", "--"];
const BURST = 8;

/** False while somebody is in it, or when it has gone. */
function removed(cgroup: string): boolean {
  try {
    rmdirSync(cgroup);
    return true;
  } catch {
    return false;
  }
}

describeIf(labRequirement.ok, labRequirement.reason)("many runs", () => {
  let r: RunLab;
  beforeAll(async () => {
    r = await RunLab.create();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  const settled = async () => {
    expect(await until(() => r.watchers().length === 0, 20_000)).toBe(true);
    expect(await r.gone(20_000)).toBe(true);
  };
  const burst = (
    words: readonly string[],
    each: (child: ReturnType<RunLab["start"]>, n: number) => unknown,
  ) =>
    Promise.all(
      Array.from({ length: BURST }, async (_, n) => {
        const child = r.start([...RUN, ...words]);
        void child.stdin.end();
        await each(child, n);
        return child.exited;
      }),
    );
  /** Somebody who removes cgroups the moment that they are empty. */
  const remover = async (work: () => Promise<unknown>) => {
    let [count, working] = [0, true];
    const done = work().finally(() => {
      working = false;
    });
    while (working) {
      for (const path of r.runs()) {
        if (removed(path)) count++;
      }
      await Bun.sleep(0);
    }
    await done;
    return count;
  };

  test("one behind the other, and eight at a time", async () => {
    for (let n = 0; n < 30; n++) expect(await r.run([...RUN, "true"])).toMatchObject({ code: 0, stderr: "" });
    for (let n = 0; n < 5; n++) expect(await burst(["true"], () => {})).toEqual(Array(BURST).fill(0));
    await settled();
  }, 120_000);

  test("with somebody who removes their cgroups", async () => {
    const count = await remover(async () => {
      for (let n = 0; n < 4; n++) await burst(["true"], () => {});
    });
    expect(count).toBeGreaterThan(0);
    await settled();
  }, 120_000);

  test("killed at every moment: tcpx before it is the command, the command, and who started them", async () => {
    for (let n = 0; n < 4; n++) {
      await burst(["sleep", "0.05"], async (child, i) => {
        await Bun.sleep(n * 30 + i * 15);
        child.kill("SIGKILL");
      });
    }
    const script = `for n in 1 2 3 4 5 6 7 8; do ${tcpxPath()} run ${RUN.join(" ")} sleep 0.1 & done; sleep 60`;
    for (const ms of [50, 150]) {
      const shell = r.lab.spawn(["sh", "-c", script], { cgroup: r.home });
      await Bun.sleep(ms);
      shell.kill("SIGKILL");
      await shell.exited;
    }
    await settled();
  }, 120_000);

  test("a cgroup that empties for a moment, over and over, and is then removed by somebody else", async () => {
    // moves out and in again, so that the kernel holds notifications back
    const script = `here=$(sed -n 's/^0:://p' /proc/self/cgroup)
      for n in 1 2 3 4 5 6 7 8; do echo 0 >"$1/cgroup.procs"; echo 0 >"$2$here/cgroup.procs"; done
      echo 0 >"$1/cgroup.procs"; rmdir "$2$here"; sleep 60`;
    const root = r.home.slice(0, r.home.indexOf(`/${r.lab.prefix}`));
    const outside = r.lab.cgroup("outside");
    const children = Array.from({ length: 4 }, () =>
      r.start([...RUN, "sh", "-c", script, "sh", outside, root]),
    );
    expect(
      await until(() => processesOf(outside).filter((pid) => commOf(pid) === "sleep").length === 4),
    ).toBe(true);
    await settled(); // while the commands live on
    for (const child of children) child.kill("SIGKILL");
  }, 60_000);
});

describeIf(labRequirement.ok, labRequirement.reason)("watchers that are left", () => {
  let lab: Lab;
  let host: PrivateHost;
  let home: string;
  beforeAll(async () => {
    lab = await Lab.create();
    host = await PrivateHost.create(lab);
    home = lab.cgroup("home");
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  const pidsOf = async (name: string) =>
    (await host.sh(`pgrep -x ${name} || :`)).split("\n").filter(Boolean).map(Number);

  const runsIn = () =>
    readdirSync(home)
      .filter((name) => name.startsWith("tcpx-run-"))
      .map((name) => join(home, name));

  /** A watcher that does not see that its cgroup has gone, as an older build's: it is stopped. */
  const leave = async () => {
    const before = await pidsOf("tcpx-run-watch");
    const child = lab.spawn([...host.wrap, tcpxPath(), "run", ...RUN, "sleep", "60"], { cgroup: home });
    expect(
      await until(
        () =>
          runsIn()
            .flatMap(processesOf)
            .some((pid) => commOf(pid) === "sleep"),
        10_000,
      ),
    ).toBe(true);
    const watcher = (await pidsOf("tcpx-run-watch")).find((pid) => !before.includes(pid));
    await host.sh(`kill -STOP ${watcher}`);
    child.kill("SIGKILL");
    for (const pid of runsIn().flatMap(processesOf)) process.kill(pid, "SIGKILL");
    await child.exited;
    const [path] = runsIn();
    expect(await until(() => removed(path!))).toBe(true);
    return watcher!;
  };

  test("status and reset --dry-run tell them, reset ends them", async () => {
    const left = [await leave(), await leave()].sort((a, b) => a - b);
    const status = await host.ok(["status"], { json: true });
    expect(status.json.run_watchers).toEqual(left);
    expect((await host.ok(["status"])).stdout).toContain(
      `2 watcher(s) of a \`tcpx run\` whose cgroup is gone (pid ${left.join(", ")})`,
    );
    const dry = await host.ok(["reset", "--dry-run"], { json: true });
    expect(dry.json).toMatchObject({ changed: true, run_watchers: left });
    expect(await pidsOf("tcpx-run-watch")).toEqual(left);
    const reset = await host.reset([], { json: true });
    expect(reset.json).toMatchObject({ changed: true, run_watchers: left });
    expect(await until(async () => (await pidsOf("tcpx-run-watch")).length === 0)).toBe(true);
    expect((await host.ok(["status"], { json: true })).json.run_watchers).toEqual([]);
  });

  test("a watcher whose cgroup is there, and processes that only have the name, are left alone", async () => {
    const child = lab.spawn([...host.wrap, tcpxPath(), "run", ...RUN, "sleep", "60"], { cgroup: home });
    expect(await until(async () => (await pidsOf("tcpx-run-watch")).length === 1, 10_000)).toBe(true);
    const watchers = await pidsOf("tcpx-run-watch");
    // root's, with the name and a removed cgroup of that name open; another user's
    const gone = `${home}/tcpx-run-1`;
    const named = `${lab.dir}/tcpx-run-watch`;
    await host.sh(`cp /bin/sleep ${named}; chmod 755 ${lab.dir} ${named}`);
    const fakes = [
      lab.spawn([...host.wrap, "sh", "-c", `mkdir ${gone}; exec ${named} 60 <${gone}`]),
      lab.spawn([...host.wrap, "setpriv", "--reuid", "65534", "--clear-groups", named, "60"]),
    ];
    expect(await until(async () => (await pidsOf("tcpx-run-watch")).length === 3)).toBe(true);
    expect(await until(() => removed(gone))).toBe(true);
    expect((await host.ok(["status"], { json: true })).json.run_watchers).toEqual([]);
    expect((await host.reset([], { json: true })).json.run_watchers).toEqual([]);
    const all = await pidsOf("tcpx-run-watch");
    expect(all.length).toBe(3);
    await host.sh(`kill -KILL ${all.filter((pid) => !watchers.includes(pid)).join(" ")}`);
    await Promise.all(fakes.map((fake) => fake.exited));
    child.kill("SIGKILL");
    for (const pid of runsIn().flatMap(processesOf)) process.kill(pid, "SIGKILL");
    expect(await until(async () => (await pidsOf("tcpx-run-watch")).length === 0)).toBe(true);
  });
});
