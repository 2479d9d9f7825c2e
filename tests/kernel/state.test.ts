// SPDX-License-Identifier: MIT
// Rules as state of the kernel: they outlive commands, repeating changes nothing, taking back leaves nothing.
// In a private host, so that "nothing" can be judged.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { connectPeers } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { UtoLab } from "../support/uto-lab.ts";

describeIf(labRequirement.ok, labRequirement.reason)("the state of tcpx", () => {
  let u: UtoLab;
  let host: PrivateHost;
  let scope: string[];

  beforeAll(async () => {
    u = await UtoLab.create();
    host = await PrivateHost.create(u.lab);
    scope = ["--cgroup", u.client.cgroup];
  });
  afterEach(async () => {
    await host.ok(["uto", "unset", "--all", ...scope]);
  });
  afterAll(() => u[Symbol.asyncDispose]());

  const uto = (words: string, json = true) => host.ok(["uto", ...words.split(" "), ...scope], { json });
  const rules = async () => (await uto("show")).json.rules;
  const status = async () => (await host.ok(["status", ...scope], { json: true })).json.scopes[0];

  async function clientTimeout(): Promise<number> {
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    return u.timeout(u.client, c.client);
  }

  test("a rule outlives the command that made it, and show, status and sockets agree", async () => {
    const made = await uto("set 30s --to 10.77.1.0/24 --port 7500,7501");
    expect(made.json).toMatchObject({ schema: 2, changed: true, dry_run: false, replaced: [], removed: [] });
    const shown = await rules();
    expect(shown).toHaveLength(4);
    expect(shown).toContainEqual(
      expect.objectContaining({
        extension: "uto",
        kind: "ask",
        direction: "to",
        address: "10.77.1.0/24",
        port: 7501,
        netns: null,
        timeout_ms: 30_000,
        option: "1c04001e",
      }),
    );
    const { rules: held, alive } = await status();
    expect(alive).toBe(true);
    expect(held).toHaveLength(4);
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4, { port: 7500 });
    expect(await u.timeout(u.client, c.client)).toBe(30_000);
    expect(await clientTimeout()).toBe(0);
  });

  test("the same command again changes nothing, and says so", async () => {
    expect((await uto("set 30s", false)).stdout).toMatch(/^\+ uto local 30s .*\n\+ uto ask 30s .*\n$/);
    const before = await status();
    const pins = await host.pins();
    const again = await uto("set 30s");
    expect(again.json).toMatchObject({ changed: false, added: [], replaced: [], removed: [] });
    expect(again.json.unchanged).toBe(2);
    expect((await uto("set 30000ms", false)).stdout).toMatch(
      /^= uto local 30s .*\n= uto ask 30s .*\nno change\n$/,
    );
    expect(await status()).toEqual(before); // the same program and link ids
    expect(await host.pins()).toEqual(pins);
  });

  test("replacing prints what was there", async () => {
    await uto("set 30s");
    const text = (await uto("set 45s", false)).stdout;
    expect(text).toMatch(/\+ uto local 45s .*\(was 30s\)\n\+ uto ask 45s .*\(was 30s\)/);
    const json = (await uto("set 60s --no-advertise")).json;
    expect(json.replaced).toMatchObject([
      { kind: "local", timeout_ms: 45_000 },
      { kind: "ask", timeout_ms: 45_000, none: false },
    ]);
    expect(json.added).toMatchObject([
      { kind: "local", timeout_ms: 60_000 },
      { kind: "ask", none: true },
    ]);
    expect(await rules()).toHaveLength(2);
  });

  test("a rule is replaced as a whole: limits and flags that are not given again are gone", async () => {
    await uto("accept --min 5s --max 7s --force");
    await uto("accept --min 6s");
    expect(await rules()).toMatchObject([{ kind: "accept", min_ms: 6000, max_ms: 900_000, force: false }]);
  });

  test("unset of what is not there is no error and changes nothing", async () => {
    const json = (await uto("unset")).json;
    expect(json).toMatchObject({ changed: false, removed: [] });
    expect((await uto("unset --to 192.0.2.1", false)).stdout).toBe("no change\n");
    expect(await host.pins()).toEqual([]);
    await uto("set 30s --to 10.77.1.2");
    const other = await uto("unset", false);
    expect(other.stdout).toBe("no change\n");
    expect(other.stderr).toMatch(/there is a rule with --to 10\.77\.1\.2\n$/);
    expect(await rules()).toHaveLength(2);
  });

  test("unset by kind, by selector, and of everything", async () => {
    await uto("set 30s");
    await uto("set 40s --to 10.77.1.2");
    await uto("accept --min 1s");
    expect((await uto("unset ask")).json.removed).toMatchObject([{ kind: "ask", timeout_ms: 30_000 }]);
    expect((await rules()).map((r: { kind: string }) => r.kind).sort()).toEqual([
      "accept",
      "ask",
      "local",
      "local",
    ]);
    expect((await uto("unset local --to 10.77.1.2")).json.removed).toMatchObject([{ timeout_ms: 40_000 }]);
    expect((await uto("unset accept")).json.removed).toMatchObject([{ kind: "accept" }]);
    expect(await rules()).toHaveLength(2);
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    expect(await u.timeout(u.client, c.client)).toBe(30_000); // local without its ask
    expect((await uto("unset --all")).json.removed).toHaveLength(2);
    expect(await clientTimeout()).toBe(0);
  });

  test("--dry-run prints the change and makes none", async () => {
    const dry = await uto("set 30s --dry-run");
    expect(dry.json).toMatchObject({
      changed: true,
      dry_run: true,
      added: [{ kind: "local" }, { kind: "ask" }],
    });
    expect((await uto("set 30s --dry-run", false)).stdout).toMatch(/\+ uto ask 30s .*\nnothing was changed/);
    expect(await host.pins()).toEqual([]);
    expect(await clientTimeout()).toBe(0);
    await uto("set 30s");
    const before = [await status(), await host.pins()];
    expect((await uto("set 40s --dry-run")).json).toMatchObject({ changed: true, replaced: [{}, {}] });
    expect((await uto("unset --dry-run")).json).toMatchObject({ changed: true, removed: [{}, {}] });
    expect((await uto("set 30s --dry-run")).json).toMatchObject({ changed: false });
    expect([await status(), await host.pins()]).toEqual(before);
  });

  test("the last unset leaves nothing behind; counters live as long as the scope", async () => {
    await uto("set 30s");
    await clientTimeout();
    await uto("set 40s");
    expect((await status()).counters.uto).toMatchObject({ applied: 1 }); // they survive a change of rules
    await host.ok(["uto", "set", "30s", "--cgroup", u.server.cgroup]);
    await uto("unset");
    expect((await host.pins()).length).toBeGreaterThan(0); // the other scope's
    await host.ok(["uto", "unset", "--cgroup", u.server.cgroup]);
    expect(await host.pins()).toEqual([]);
    expect((await host.ok(["status"])).stdout).toBe("tcpx has nothing on this host\n");
    await uto("set 50s");
    expect((await status()).counters.uto).toMatchObject({ applied: 0 });
    expect(await clientTimeout()).toBe(50_000);
  });

  test("reset removes all scopes, those of removed cgroups, too", async () => {
    await uto("set 30s");
    const doomed = u.lab.cgroup("doomed");
    await host.ok(["uto", "set", "30s", "--cgroup", doomed]);
    await host.sh(`rmdir ${doomed}`);
    expect((await host.ok(["status"], { json: true })).json.scopes).toHaveLength(2);
    await host.reset();
    expect(await host.pins()).toEqual([]);
    expect(await clientTimeout()).toBe(0);
    await host.reset();
    expect(await host.bpffs()).toBe("bpf");
  });
});
