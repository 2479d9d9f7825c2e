// SPDX-License-Identifier: MIT
// `tcpx ext add` and `remove`, killed at any moment: what was there, or what is to be; and the same command finishes it.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { manifestOf, paceObject, writePackage } from "../support/ext-packages.ts";
import { killed, shortest, sweep } from "../support/kills.ts";
import { Lab } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, every, hasTool, labRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";

const needs = every("all", labRequirement, hasTool("clang"));
const FILE = "/etc/tcpx/extensions/8-pace.tcpx";
const [ROUNDS, HITS] = [8, 3];

describeIf(needs.ok, needs.reason)("changes of extensions", () => {
  let lab: Lab;
  let host: PrivateHost;
  let scope: string;
  /** Versions, by number. */
  let versions: string[];

  beforeAll(async () => {
    lab = await Lab.create();
    chmodSync(lab.dir, 0o755);
    scope = lab.cgroup("paced");
    host = await PrivateHost.create(lab, {
      setup: "mkdir -p /etc/tcpx; mount -t tmpfs -o mode=755 tmpfs /etc/tcpx",
    });
    const object = await paceObject(lab.dir);
    const write = (n: number) =>
      writePackage(lab.dir, "pace", object, manifestOf("pace", { version: `1.${n}.0` }), `${n}.tcpx`);
    versions = await Promise.all([0, 1].map(write));
  }, 60_000);
  afterEach(async () => {
    await host.reset();
    await host.sh("rm -rf /etc/tcpx/*");
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  const add = (n: number) => host.ok(["ext", "add", versions[n]!, "--allow-older", "--wait"]);
  const set = () => host.ok(["pace", "set", "12M", "--cgroup", scope, "--wait"]);
  const rules = async () =>
    JSON.parse((await host.ok(["status", "--json"])).stdout).scopes[0]?.rules.length ?? 0;
  const versionHere = async () => (await host.ok(["ext", "list"], { json: true })).json.installed[0]?.version;
  const files = async () => (await host.sh("find /etc/tcpx -type f")).split("\n").filter(Boolean);
  const generations = async () => (await host.pins()).filter((path) => /\/gen-\d+$/.test(path)).length;

  /** Kills a command so often, and looks each time. */
  async function massacre(
    command: (n: number) => string,
    begin: () => Promise<unknown>,
    check: (n: number) => Promise<void>,
  ) {
    let hits = 0;
    await sweep({
      rounds: ROUNDS,
      sweeps: 4,
      duration: async () => {
        await begin();
        const whole = await shortest([1, 0].map((n) => () => add(n)));
        return whole;
      },
      round: async (n, part, whole) => {
        if (await killed(host, `${tcpxPath()} ${command(n)}`, 1 + whole * 1.1 * part)) hits++;
        await check(n);
      },
      enough: () => hits >= HITS,
    });
    expect(hits).toBeGreaterThanOrEqual(HITS); // else the kills did not test anything
  }

  test("a version that replaces another: one or the other, with the rules", async () => {
    const begin = async () => {
      await add(0);
      await set();
    };
    await massacre(
      (n) => `ext add ${versions[(n + 1) % 2]} --allow-older`,
      begin,
      async (n) => {
        expect(["1.0.0", "1.1.0"]).toContain(await versionHere());
        expect(await rules()).toBe(1);
        await add((n + 1) % 2);
        expect([await versionHere(), await files(), await generations()]).toEqual([
          `1.${(n + 1) % 2}.0`,
          [FILE],
          1,
        ]);
      },
    );
  }, 120_000);

  test("one that is removed: it is there or gone, and then nothing is left of it", async () => {
    const begin = async () => {
      await add(0);
      await set();
    };
    await massacre(
      () => "ext remove pace",
      begin,
      async () => {
        const { code } = await host.tcpx(["ext", "remove", "pace", "--wait"]);
        expect([0, 2]).toContain(code); // 2: it was gone
        expect([await files(), await host.pins()]).toEqual([[], []]);
        await begin();
      },
    );
  }, 120_000);
});
