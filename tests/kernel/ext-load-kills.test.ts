// SPDX-License-Identifier: MIT
// A command that loads or unloads a program of others, killed at each of its calls of bpf(2) that leave something
// behind: the old one or the new one is in force, and the next command goes on from there.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { killedAt, lastingCalls } from "../support/bpf-calls.ts";
import { available, ProgramLab, programRequirement } from "../support/program-lab.ts";
import { describeIf, every, straceRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";

const needs = every("all", programRequirement, straceRequirement);
const TIMEOUT = 120_000;

describeIf(needs.ok, needs.reason)("programs of others, killed on the way", () => {
  let p: ProgramLab;
  let count: string;
  let control: string;

  beforeAll(async () => {
    p = await ProgramLab.create();
    [count, control] = [await p.object("count", "count"), await p.object("control")];
  });
  afterEach(() => p.clear());
  afterAll(() => p[Symbol.asyncDispose]());

  /** What status says is in force is what the kernel has. */
  async function inForce(): Promise<string> {
    const loaded = (await p.loaded()).filter((one) => one.in_force);
    const ids = (await p.attached()).filter(({ name }) => name === "count").map(({ id }) => id);
    const attached = loaded
      .filter(({ kind }) => kind === "sock_ops")
      .map(({ programs }) => programs[0].program_id);
    expect(attached).toEqual(ids);
    expect(available().includes(p.control)).toBe(loaded.some(({ name }) => name === p.control));
    return loaded.map(({ set }) => set.step ?? set.every).join(" ");
  }

  /** Kills `words` at each call; before each, the host is as `from` makes it. */
  async function everywhere(from: () => Promise<unknown>, words: string, old: string, next: string) {
    const command = `${tcpxPath()} ${words}`;
    await from();
    const calls = await lastingCalls(p.u.lab, p.host, command);
    expect(await inForce()).toBe(next);
    expect(calls.length).toBeGreaterThan(0);
    const seen = new Set<string>();
    for (const call of calls) {
      await from();
      await killedAt(p.host, call, command);
      const now = await inForce();
      expect([old, next]).toContain(now);
      seen.add(now);
      await p.ok(words);
      expect(await inForce()).toBe(next);
      expect((await p.host.pins()).filter((path) => /\/gen-\d+$/.test(path))).toHaveLength(
        next === "" ? 0 : 1,
      );
    }
    expect(seen).toContain(old);
  }

  const at = () => `--cgroup ${p.scope}`;
  const kinds = [
    ["a sock_ops program", () => `ext load ${count} ${at()} --set step=`, () => `ext unload count ${at()}`],
    ["a congestion control", () => `ext load ${control} --set every=`, () => `ext unload ${p.control}`],
  ] as const;
  for (const [what, load, unload] of kinds) {
    test(`${what}: loaded first`, () => everywhere(() => p.clear(), `${load()}1`, "", "1"), TIMEOUT);
    test(`${what}: replaced`, () => everywhere(() => p.ok(`${load()}1`), `${load()}2`, "1", "2"), TIMEOUT);
    test(`${what}: unloaded`, () => everywhere(() => p.ok(`${load()}1`), unload(), "1", ""), TIMEOUT);
  }

  test(
    "a policy file with both: each is the old or the new one",
    async () => {
      const policy = (n: number) => `
[algorithms]
${p.control} = 0x8000
[[congestion]]
file = "${control}"
set = { every = ${n} }
[[scope]]
cgroup = "${p.scope}"
[[scope.program]]
file = "${count}"
set = { step = ${n} }
`;
      const [old, next] = [1, 2].map((n) => p.u.lab.file(`policy${n}.toml`, policy(n))) as [string, string];
      const command = `${tcpxPath()} apply ${next}`;
      await p.ok(`apply ${old}`);
      const calls = await lastingCalls(p.u.lab, p.host, command);
      expect(await inForce()).toBe("2 2");
      const seen = new Set<string>();
      for (const call of calls) {
        await p.ok(`apply ${old}`);
        await killedAt(p.host, call, command);
        seen.add(await inForce());
        await p.ok(`apply ${next}`);
        expect(await inForce()).toBe("2 2");
      }
      expect(["1 1", "2 1", "2 2"]).toEqual(expect.arrayContaining([...seen]));
      expect(seen.size).toBeGreaterThan(1);
    },
    TIMEOUT,
  );
});
