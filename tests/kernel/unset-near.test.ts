// SPDX-License-Identifier: MIT
// unset where there is no such rule: said, with what stands near; and scopes that cannot be seen.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { rmdirSync } from "node:fs";
import { cgroupMount, Lab } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { container, covered } from "../support/views.ts";

describeIf(labRequirement.ok, labRequirement.reason)("unset where there is no such rule", () => {
  let lab: Lab;
  let host: PrivateHost;
  let one: string;
  let two: string;

  beforeAll(async () => {
    lab = await Lab.create();
    host = await PrivateHost.create(lab);
    [one, two] = [lab.cgroup("one"), lab.cgroup("two")];
  });
  afterEach(async () => {
    await host.ok(["reset"]);
    expect(await host.pins()).toEqual([]);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  const below = (cgroup: string) => cgroup.slice(cgroupMount().length);
  const words = (line: string, cgroup = one) => [...line.split(" "), "--cgroup", cgroup];
  const rules = async () => (await host.ok(["export"])).stdout;

  const near: [set: string, unset: string, said: string][] = [
    ["uto set 30s --port 5432", "uto unset --port 5433", "there is a rule with --port 5432"],
    ["uto set 30s --port 5432", "uto unset", "there is a rule with --port 5432"],
    ["uto set 30s", "uto unset --port 5432", "there is a rule without a selector"],
    ["uto set 30s --to 10.0.0.0/8", "uto unset --to 10.0.0.0/16", "there is a rule with --to 10.0.0.0/8"],
    ["uto set 30s --to 10.0.0.0/8", "uto unset --from 10.0.0.0/8", "there is a rule with --to 10.0.0.0/8"],
    ["uto set 30s --to fd00::/8", "uto unset --to fd00::/9", "there is a rule with --to fd00::/8"],
    [
      "uto set 30s --to 10.0.0.0/8 --port 80",
      "uto unset --to 10.0.0.0/8",
      "there is a rule with --to 10.0.0.0/8 --port 80",
    ],
    [
      "uto accept --port 5432",
      "uto unset ask --port 5432",
      "there is a rule with --port 5432 of kind accept",
    ],
    ["iw set 20 --to 10.0.0.0/8", "iw unset --to 10.1.0.0/16", "there is a rule with --to 10.0.0.0/8"],
    [
      "uto set 30s --port 1,2,3,4,9",
      "uto unset --port 5",
      "there are rules with --port 4, with --port 3, with --port 2 and at 2 more place(s)",
    ],
  ];
  test.each(near.map(([set, unset, said]) => ({ set, unset, said })))(
    "$set, then $unset",
    async ({ set, unset, said }) => {
      await host.ok(words(set));
      const before = await rules();
      const plain = await host.tcpx(words(unset));
      expect(plain).toMatchObject({ code: 0, stdout: "no change\n" });
      expect(plain.stderr).toMatch(/^tcpx: there is no [^\n]+\n$/);
      expect(plain.stderr).toEndWith(`; ${said}\n`);
      const strict = await host.tcpx(words(`${unset} --strict`));
      expect(strict).toMatchObject({ code: 2, stdout: "" });
      expect(strict.stderr).toEndWith(`; ${said}; nothing was changed (--strict)\n`);
      expect((await host.tcpx([...words(unset), "--quiet"])).stderr).toBe("");
      expect(await rules()).toBe(before);
    },
  );

  test("for scripts", async () => {
    await host.ok(words("uto set 30s --port 5432"));
    const { json } = await host.ok(words("uto unset --port 5433"), { json: true });
    expect(json).toMatchObject({
      changed: false,
      missing_count: 1,
      missing: [
        {
          extension: "uto",
          kind: null,
          address: null,
          port: 5433,
          near: [{ kinds: ["local", "ask"], address: null, port: 5432 }],
          cgroups: [],
        },
      ],
    });
    const strict = await host.tcpx(words("uto unset --port 5433 --strict"), { json: true });
    expect(strict.json.error).toMatchObject({ code: 2, value: "--port 5433" });
    expect((await host.ok(words("uto unset --port 5432"), { json: true })).json).toMatchObject({
      changed: true,
      missing: [],
      missing_count: 0,
    });
  });

  test("of several places one has a rule: it goes, unless --strict", async () => {
    await host.ok(words("uto set 30s --port 1"));
    const before = await rules();
    const strict = await host.tcpx(words("uto unset --port 1,2,3 --strict"));
    expect([strict.code, await rules()]).toEqual([2, before]);
    expect(strict.stderr).toMatch(/with --port 2 in cgroup \S+, and none at 1 more place\(s\)/);
    const done = await host.ok(words("uto unset --port 1,2,3"));
    expect(done.stdout.match(/^- uto/gm)).toHaveLength(2);
    expect(done.stderr.match(/^tcpx: there is no uto rule with --port [23]/gm)).toHaveLength(2);
    expect((await host.tcpx(words("uto unset --port 1,2,3 --strict"))).code).toBe(2);
  });

  test("an address that looks like a network's is read as it stands, with a word about it", async () => {
    const said =
      /^tcpx: warning: --to 10\.0\.0\.0 is read as 10\.0\.0\.0\/32, [^\n]+, such as 10\.0\.0\.0\/8\n/;
    const done = await host.ok(words("uto set 30s --to 10.0.0.0"), { json: true });
    expect(done.stderr).toMatch(said);
    expect(done.json).toMatchObject({
      warnings: [expect.stringContaining("10.0.0.0/8")],
      added: [{ address: "10.0.0.0/32" }, { address: "10.0.0.0/32" }],
    });
    expect((await host.ok(words("uto set 30s --to 10.0.0.0 --quiet"))).stderr).toBe("");
    expect((await host.ok(words("connections --to 10.0.0.0"))).stderr).toMatch(said);
    expect((await host.ok(words("uto unset --to 10.0.0.0/32"))).stderr).toBe("");
    await host.ok(words("uto set 30s --to 10.0.0.0/8"));
    expect((await host.ok(words("uto unset --to 10.0.0.0"))).stderr).toMatch(
      /there is a rule with --to 10\.0\.0\.0\/8\n$/,
    );
  });

  test("--strict where there is one", async () => {
    await host.ok(words("uto set 30s --port 1"));
    await host.ok(words("uto unset --port 1 --strict"));
    await host.ok(words("uto set 30s --port 1"));
    await host.ok(words("uto unset --all --strict"));
  });

  test("--all, and a rule in another scope", async () => {
    expect((await host.ok(words("uto unset --all"))).stderr).toBe(
      `tcpx: there is no uto rule in cgroup ${below(one)}\n`,
    );
    await host.ok(words("uto set 30s --port 1", two));
    for (const line of ["uto unset --all", "uto unset --port 1"]) {
      expect((await host.ok(words(line))).stderr).toEndWith(`; such a rule stands in cgroup ${below(two)}\n`);
      expect((await host.tcpx(words(`${line} --strict`))).code).toBe(2);
    }
    const { json } = await host.ok(words("uto unset --all"), { json: true });
    expect(json.missing).toMatchObject([{ extension: "uto", near: [], cgroups: [below(two)] }]);
    expect((await host.ok(words("iw unset --all"))).stderr).not.toContain("such a rule");
  });

  test("100,000 rules: what is near is found in a moment, and few are named", async () => {
    const ports = Array.from({ length: 20_000 }, (_, i) => i + 1).join(",");
    const flags = `[[scope]]\ncgroup = "${one}"\n[[scope.uto]]\nset = "30s"\nport = "${ports}"\n`;
    await host.ok(["apply", "-"], { stdin: flags, timeoutMs: 60_000 });
    const many = Array.from({ length: 100 }, (_, i) => 30_000 + i).join(",");
    const { stderr, json } = await host.ok(words(`uto unset --port ${many}`), { json: true });
    expect(stderr.split("\n")).toHaveLength(5); // three places, the others, and the end
    expect(json.missing_count).toBe(100);
    expect(json.missing).toHaveLength(20);
    expect(json.missing[0].near).toHaveLength(3);
  });

  describe("a scope with rules that", () => {
    test.each([
      { what: "another view has", view: () => container(one) },
      { what: "something is mounted over", view: () => covered(two) },
    ])("$what is told as such, and not as missing", async ({ view }) => {
      await host.ok(words("uto set 30s", two));
      for (const line of ["uto unset", "uto set 20s", "uto show", "status"]) {
        const { code, stderr } = await host.tcpx(words(line, below(two)), { wrap: view() });
        expect(stderr).toMatch(
          /^tcpx: cgroup \S+ \(id \d+\) has 2 rule\(s\), and is not visible from here; [^\n]+\n$/,
        );
        expect(code).toBe(3);
      }
    });

    test("is gone is told as such", async () => {
      const late = lab.cgroup("late");
      await host.ok(words("uto set 30s", late));
      rmdirSync(late);
      const { code, stderr } = await host.tcpx(words("uto unset", late));
      expect([code, stderr]).toEqual([
        2,
        `tcpx: cgroup ${below(late)} is gone: its 2 rule(s) have no effect; the next change of any rules removes them\n`,
      ]);
    });
  });

  test("without permission a scope that there is not is told as before", async () => {
    const wrap = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    const { code, stderr } = await host.tcpx(words("uto unset", `${one}/none`), { wrap });
    expect([code, stderr]).toEqual([2, expect.stringContaining("does not exist")]);
  });
});
