// SPDX-License-Identifier: MIT
// A program of a service outlives its cgroup: the next one gets it, with what it has counted.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { cgroupMount } from "../support/lab.ts";
import { ProgramLab, programRequirement } from "../support/program-lab.ts";
import { describeIf, every, hasTool } from "../support/requires.ts";

const needs = every("all", programRequirement, hasTool("systemctl"));

describeIf(needs.ok, needs.reason)("programs of a service", () => {
  let p: ProgramLab;
  let count: string;
  let slice: string;
  let service: string;

  beforeAll(async () => {
    p = await ProgramLab.create();
    count = await p.object("count", "count");
    // where services stand: below slices at the root
    slice = join(cgroupMount(), `${p.u.lab.prefix}.slice`);
    service = join(slice, `${p.u.lab.prefix}.service`);
    mkdirSync(service, { recursive: true });
    await p.host.sh("mkdir -p /run/systemd/system");
  });
  afterEach(() => p.clear());
  afterAll(async () => {
    for (const path of [service, slice]) rmdirSync(path);
    await p[Symbol.asyncDispose]();
  });

  const dropIns = async () => (await p.host.sh("find /run/systemd/system -name '50-tcpx.conf'")).trim();
  const restarted = async () => {
    rmdirSync(service);
    const waiting = await p.loaded();
    mkdirSync(service);
    return waiting;
  };
  const start = () => p.host.tcpx(["internal-unit-start", `${p.u.lab.prefix}.service`]);
  const ids = async () => (await p.attached(service)).map(({ id }) => id);

  test("waits while it does not run, and is the same one afterwards", async () => {
    const at = ["--cgroup", service];
    await p.host.ok(["ext", "load", count, "--set", "step=3", ...at]);
    const before = await ids();
    expect(before).toHaveLength(1);
    expect(await dropIns()).not.toBe("");
    expect(await restarted()).toMatchObject([
      { name: "count", waiting: true, in_force: false, set: { step: "3" } },
    ]);
    await p.okAt(`ext load ${count}`); // another change leaves it waiting
    expect((await p.host.ok(["export"])).stdout).toContain(`unit = "${p.u.lab.prefix}.service"`);
    expect(await start()).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("1 program(s) of others"),
    });
    expect(await ids()).toEqual(before);
    expect((await p.loaded()).filter(({ waiting }) => waiting)).toEqual([]);
    expect(
      (await p.host.ok(["ext", "load", count, "--set", "step=3", ...at], { json: true })).json.changed,
    ).toBe(false);
    await p.host.ok(["ext", "unload", "count", ...at]);
    expect([await ids(), await dropIns()]).toEqual([[], ""]);
  });

  test("apply takes one that waits away", async () => {
    await p.host.ok(["ext", "load", count, "--cgroup", service]);
    rmdirSync(service);
    const { json } = await p.host.ok(["apply", "-"], { stdin: "scope = []", json: true });
    expect(json.unloaded_programs).toMatchObject([{ name: "count" }]);
    mkdirSync(service);
    await start();
    expect([await ids(), await dropIns(), await p.host.pins()]).toEqual([[], "", []]);
  });
});
