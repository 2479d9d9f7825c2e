// SPDX-License-Identifier: MIT
// A site's own experiment identifiers and numbers of congestion controls: on the wire, in every command, and
// what becomes of them when rules, commands and tables come and go.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { TARR_CAPABLE } from "../support/ack-lab.ts";
import { CONTROL, TestControl } from "../support/congestion.ts";
import { killed, shortest, sweep } from "../support/kills.ts";
import { cgroupMount } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { until } from "../support/process.ts";
import { ccAnswer, ccAsk, DEFAULT, REFUSED, RequestLab, requestsOf } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { type TcpxResult, tcpxPath } from "../support/tcpx.ts";
import type { Side } from "../support/uto-lab.ts";
import { Watch } from "../support/watch-lab.ts";

const needs = every("all", labRequirement, captureRequirement);

const EXIDS = `[exid]
cc-ask = 0x7d00
cc-answer = 0x7d01
iw-ask = 0x7d10
iw-answer = 0x7d11
ack-ask = 0x7da0
ack-answer = 0x7da1
tarr = 0x00ad
`;
const NUMBER = 0x8001;
const ALGORITHMS = `[algorithms]\nunknown_here = 0x8000\n${CONTROL} = ${NUMBER}\n`;
const LONGEST = "[algorithms]\nabcdefghijklmno = 0x8000\n";

const site = (option: string) => option.replace(/^fe067c/, "fe067d");
const below = (path: string) => path.slice(cgroupMount().length);
const scope = (path: string, ...rules: string[]) => `[[scope]]\ncgroup = "${path}"\n${rules.join("")}`;
const rule = (extension: string, ...lines: string[]) => `[[scope.${extension}]]\n${lines.join("\n")}\n`;

describeIf(needs.ok, needs.reason)("a site's own", () => {
  let r: RequestLab;
  /** Each with pins, and so with a table of its own. */
  let client: PrivateHost;
  let server: PrivateHost;

  beforeAll(async () => {
    r = await RequestLab.create();
    [client, server] = [await PrivateHost.create(r.lab), await PrivateHost.create(r.lab)];
  });
  afterEach(async () => {
    for (const host of [client, server]) {
      await host.ok(["apply", "-", "--wait"], { stdin: "scope = []" });
      expect(await host.pins()).toEqual([]);
    }
  });
  afterAll(() => r[Symbol.asyncDispose]());

  const apply = (host: PrivateHost, text: string, ...flags: string[]) =>
    host.ok(["apply", "-", "--wait", ...flags], { stdin: text, json: true });
  const atClient = (tables: string, ...rules: string[]) =>
    apply(client, tables + scope(r.client.cgroup, ...rules));
  const atServer = (tables: string, ...rules: string[]) =>
    apply(server, tables + scope(r.server.cgroup, ...rules));
  const asks = (algorithm: string) => rule("cc-request", `set = "${algorithm}"`);
  const accepts = (...algorithms: string[]) => rule("cc-request", `accept = ${JSON.stringify(algorithms)}`);

  async function scopeAt(host: PrivateHost, side: Side) {
    const found = (await host.ok(["status", "--cgroup", side.cgroup], { json: true })).json.scopes[0];
    expect(found.last_error).toBeNull();
    return found;
  }
  const counters = async (host: PrivateHost, side: Side) =>
    (await scopeAt(host, side)).counters["cc-request"];
  const cc = async (side: Side, fd: number) => (await r.sending(side, fd)).cc;

  /** What `tcpx connections` says about our own wish at a side. */
  async function said(host: PrivateHost, side: Side, port: number) {
    const args = ["connections", "--cgroup", side.cgroup, "--port", `${port}`];
    const { connections } = (await host.ok(args, { netns: side.netns, json: true })).json;
    return connections[0].extensions["cc-request"];
  }

  describe("identifiers", () => {
    const wishes = [asks("cubic"), rule("iw", "set = 40"), rule("ack", "request = true", "every = 10")];
    const grants = [
      accepts("cubic"),
      rule("iw", "accept = true", "max = 32"),
      rule("ack", "accept = true", "max-every = 1"),
    ];

    test("travel in both directions, over IPv4 and IPv6; everything is understood", async () => {
      await atClient(EXIDS, ...wishes);
      await atServer(EXIDS, ...grants);
      for (const family of ["v4", "v6"] as const) {
        const { c, t } = await r.recorded(3, () => r.open(family));
        expect(await r.sending(r.server, c.server)).toMatchObject({ cc: "cubic" });
        expect(t.client[0]!.exids).toEqual([0x7d00, 0x7d10, 0x7da0]);
        expect(t.server[0]!.exids).toEqual([0x7d01, 0x7d11, 0x7da1]);
        const all = new Set(t.all.flatMap(({ exids }) => exids));
        expect([...all].sort()).toEqual([0x7d00, 0x7d01, 0x7d10, 0x7d11, 0x7da0, 0x7da1]);
      }
      const { counters } = await scopeAt(client, r.client);
      for (const extension of ["cc-request", "iw", "ack"]) expect(counters[extension].granted).toBe(2);
    });

    test("TARR's, too", async () => {
      await atClient(EXIDS, rule("ack", "request = true", "every = 8", "tarr = true"));
      await atServer(EXIDS, rule("ack", "accept = true", "max-every = 1"));
      const { t } = await r.recorded(4);
      const capable = TARR_CAPABLE.replace("00ac", "00ad");
      expect([requestsOf(t.client[0]!), requestsOf(t.server[0]!)]).toEqual([capable, capable]);
      expect(t.client.map(requestsOf)).toContain("fe0500ad10");
    });

    test.each([
      ["the server's", "", EXIDS],
      ["the client's", EXIDS, ""],
      ["exchanged", "", "exid = { cc-ask = 0x7cc1, cc-answer = 0x7cc0 }\n"],
    ])("that differ are not understood: %s", async (_, ours, theirs) => {
      await atClient(ours, asks("cubic"));
      await atServer(theirs, accepts("cubic"));
      const { c, t } = await r.recorded(3);
      expect(await cc(r.server, c.server)).toBe(DEFAULT.cc);
      expect(requestsOf(t.client[0]!)).toBe(ours === "" ? ccAsk(3) : site(ccAsk(3)).replace("7dc0", "7d00"));
      expect(t.server.map(requestsOf).join("")).toBe("");
      const nothing = { granted: 0, refused: 0 };
      expect(await counters(client, r.client)).toMatchObject({ ...nothing, unanswered: 1 });
      expect(await counters(server, r.server)).toMatchObject({ ...nothing, received: 0 });
    });

    test("change under a rule, without a moment without it; counters go on", async () => {
      await atClient("", asks("cubic"));
      await r.recorded(1);
      const before = await scopeAt(client, r.client);
      const { json } = await apply(client, `scope = []\n${EXIDS}`, "--keep");
      expect(json).toMatchObject({
        changed: true,
        site_before: null,
        site_after: { exid: { "cc-ask": 0x7d00 } },
      });
      expect(json.scopes).toMatchObject([
        { reloaded: true, changed: true, added: [], removed: [], unchanged: 1 },
      ]);
      const after = await scopeAt(client, r.client);
      expect(after.program_id).not.toBe(before.program_id);
      expect([after.link_id, after.rules[0].kind]).toEqual([before.link_id, "ask"]);
      expect(after.counters["cc-request"].sent).toBeGreaterThan(0);
      const { t } = await r.recorded(1);
      expect(requestsOf(t.client[0]!)).toBe("fe067d000003");
    });

    test("are shown, in the option of a rule, too", async () => {
      await atClient(EXIDS, asks("cubic"), rule("iw", "set = 40"));
      const options = async (extension: string) =>
        (await client.ok([extension, "show"], { json: true })).json.rules.map(
          (shown: { option: string }) => shown.option,
        );
      expect([await options("cc-request"), await options("iw")]).toEqual([
        ["fe067d000003"],
        ["fe067d100028"],
      ]);
      expect((await client.ok(["status"])).stdout).toContain("\nthe site's own:\n  exid cc-ask 0x7d00\n");
    });
  });

  describe("algorithm", () => {
    let control: TestControl;

    beforeAll(async () => {
      control = await TestControl.load();
    });
    afterAll(() => control[Symbol.asyncDispose]());

    test("is asked for by its number, granted, and named by every command", async () => {
      await atClient(ALGORITHMS, asks(CONTROL));
      await atServer(ALGORITHMS, accepts(CONTROL, "cubic"));
      const watch = await Watch.start(r.lab, ["--count", "1", "--cgroup", r.client.cgroup], {
        wrap: client.wrap,
      });
      const { c, t } = await r.recorded(3);
      expect(await cc(r.server, c.server)).toBe(CONTROL);
      expect(requestsOf(t.client[0]!)).toBe(ccAsk(NUMBER));
      expect(requestsOf(t.server[0]!)).toBe(ccAnswer(NUMBER));
      expect(await counters(client, r.client)).toMatchObject({ granted: 1, malformed: 0 });
      expect(await counters(server, r.server)).toMatchObject({ received: 1, applied: 1, refused: 0 });
      const granted = { status: "granted", asked: { algorithm: CONTROL }, granted: { algorithm: CONTROL } };
      expect((await said(client, r.client, c.port)).ours).toEqual(granted);
      expect((await said(server, r.server, c.port)).peers).toEqual(granted);
      const event = `cc-request granted ${CONTROL} ${CONTROL}`;
      expect(await watch.sees(c.port, [event])).toEqual([event]);
      expect(await watch.ended()).toBe(0);
      const shown = await server.ok(["cc-request", "show"]);
      expect(shown.stdout).toContain(`cubic,${CONTROL}`);
    });

    test("is granted late, too: after a SYN cookie", async () => {
      await atClient(ALGORITHMS, asks(CONTROL));
      await atServer(ALGORITHMS, accepts(CONTROL));
      await r.lab.sysctl(r.server.netns, "net.ipv4.tcp_syncookies", "2");
      try {
        const { c } = await r.recorded(3);
        expect(await cc(r.server, c.server)).toBe(CONTROL);
        expect(await counters(client, r.client)).toMatchObject({ granted: 1 });
      } finally {
        await r.lab.sysctl(r.server.netns, "net.ipv4.tcp_syncookies", "1");
      }
    });

    test.each([
      ["not accepted", ALGORITHMS, ["cubic"], CONTROL],
      ["under another number", `[algorithms]\n${CONTROL} = 0x8002\n`, [CONTROL], `number ${NUMBER}`],
      ["in no table", "", ["cubic"], `number ${NUMBER}`],
    ] as const)("is refused when it is %s", async (_, tables, accepted, name) => {
      await atClient(ALGORITHMS, asks(CONTROL));
      await atServer(tables, accepts(...accepted));
      const { c, t } = await r.recorded(3);
      expect(await cc(r.server, c.server)).toBe(DEFAULT.cc);
      expect(requestsOf(t.server[0]!)).toBe(ccAnswer(REFUSED));
      expect((await said(server, r.server, c.port)).peers).toEqual({
        status: "refused",
        asked: { algorithm: name },
        granted: null,
      });
      expect((await said(client, r.client, c.port)).ours).toMatchObject({
        status: "refused",
        asked: { algorithm: CONTROL },
      });
    });

    test("--local, on connections that exist, too, and given back", async () => {
      await atClient(ALGORITHMS, rule("uto", 'set = "30s"'));
      const old = await r.open();
      const set = ["cc-request", "set", CONTROL, "--local", "--cgroup", r.client.cgroup];
      const { json } = await client.ok([...set, "--live"], { json: true, netns: r.client.netns });
      expect(json.added).toMatchObject([{ algorithm: CONTROL }]);
      expect(json.live.changed_connections).toBeGreaterThan(0);
      expect(await cc(r.client, old.client)).toBe(CONTROL);
      expect(await cc(r.client, (await r.open()).client)).toBe(CONTROL);
      const unset = ["cc-request", "unset", "--live", "--cgroup", r.client.cgroup];
      await client.ok(unset, { netns: r.client.netns });
      expect(await cc(r.client, old.client)).toBe(DEFAULT.cc);
    });

    test("of a client need not be in its kernel; who grants it or uses it needs it", async () => {
      await atClient(LONGEST, asks("abcdefghijklmno"));
      const { t } = await r.recorded(1);
      expect(requestsOf(t.client[0]!)).toBe(ccAsk(0x8000));
      for (const words of ["accept abcdefghijklmno", "set abcdefghijklmno --local"]) {
        const { code, stderr } = await client.tcpx([
          "cc-request",
          ...words.split(" "),
          "--cgroup",
          r.client.cgroup,
        ]);
        expect([code, stderr]).toEqual([
          3,
          expect.stringContaining("no congestion control 'abcdefghijklmno'"),
        ]);
      }
    });

    test("is no word of a host without it, and goes with the table", async () => {
      await atClient(ALGORITHMS);
      const set = (...more: string[]) =>
        client.tcpx(["cc-request", "set", CONTROL, "--cgroup", r.client.cgroup, ...more]);
      expect((await set()).code).toBe(0);
      await apply(client, "scope = []");
      expect(await set("--dry-run")).toMatchObject({
        code: 2,
        stderr: expect.stringContaining("is not known"),
      });
    });

    test("tcpx run asks for it", async () => {
      await atServer(ALGORITHMS, accepts(CONTROL));
      await apply(server, `scope = []\n${ALGORITHMS}`, "--keep");
      const before = await server.pins();
      const shown = await server.ok(
        ["run", "--cc-request", CONTROL, "--", tcpxPath(), "cc-request", "show", "--json"],
        { cgroup: r.client.cgroup },
      );
      expect(shown.stdout).toContain(`"algorithm":"${CONTROL}"`);
      // its scope goes a moment after it
      const gone = async () => Bun.deepEquals(await server.pins(), before);
      expect(await until(gone, 10_000)).toBe(true);
    });
  });
});

describeIf(labRequirement.ok, labRequirement.reason)("the table of a host", () => {
  let r: RequestLab;
  let host: PrivateHost;
  let a: string;
  let b: string;
  let c: string;

  beforeAll(async () => {
    r = await RequestLab.create();
    host = await PrivateHost.create(r.lab);
    [a, b, c] = [r.lab.cgroup("a"), r.lab.cgroup("b"), r.lab.cgroup("c")];
  });
  afterEach(async () => {
    await host.reset(["--wait"]);
    expect(await host.pins()).toEqual([]);
  });
  afterAll(() => r[Symbol.asyncDispose]());

  const NUMBERS = '[algorithms]\none = 0x8001\n"t.wo" = 0x8002\n';
  const apply = (text: string, ...flags: string[]) =>
    host.ok(["apply", "-", "--wait", ...flags], { stdin: text, json: true });
  const uto = (value: string) => rule("uto", `set = "${value}"`);
  const asks = (name: string) => rule("cc-request", `set = "${name}"`);
  // biome-ignore lint/suspicious/noExplicitAny: a document of the program under test
  const status = async (): Promise<any> => (await host.ok(["status"], { json: true })).json;
  const links = async () => (await status()).scopes.map((s: { link_id: number }) => s.link_id);
  const outdated = async (): Promise<boolean[]> =>
    (await status()).scopes.map((s: { outdated: boolean }) => s.outdated);
  const exported = async () => (await host.ok(["export"])).stdout;
  const refused = (text: string, ...flags: string[]) =>
    host.tcpx(["apply", "-", "--wait", ...flags], { stdin: text });
  const oneLine = ({ code, stderr }: TcpxResult) => [code, stderr.trimEnd().split("\n").length];

  test("is applied, told, exported, and applied again without an effect", async () => {
    const text = EXIDS + NUMBERS + scope(a, asks("t.wo"), uto("30s")) + scope(b, uto("20s"));
    const dry = await refused(text, "--dry-run");
    expect(dry.stdout).toStartWith("+ exid cc-ask 0x7d00 (was 0x7cc0)\n");
    expect(dry.stdout).toContain("+ algorithm t.wo 0x8002\n");
    expect(await host.pins()).toEqual([]);
    expect((await apply(text)).json).toMatchObject({ changed: true, site_before: null });
    const pins = await host.pins();
    const again = await apply(text);
    expect([again.json.changed, again.json.site]).toEqual([false, undefined]);
    const policy = await exported();
    expect((await apply(policy)).json.changed).toBe(false);
    expect(await host.pins()).toEqual(pins);
    expect((await status()).site).toMatchObject({
      exid: { tarr: 0xad },
      algorithm_numbers: { one: 0x8001, "t.wo": 0x8002 },
    });
    await host.reset();
    expect((await status()).site).toBeNull();
    await apply(policy);
    expect(await exported()).toBe(policy);
  });

  test("stays when the last rule goes, and goes when it is what is documented", async () => {
    await apply(`scope = []\n${EXIDS}${NUMBERS}`);
    const alone = await host.pins();
    expect(alone.map((path) => path.split("/").at(-1))).toEqual([
      "tcpx",
      expect.stringMatching(/^v\d+$/),
      "site",
    ]);
    await host.ok(["iw", "set", "20", "--cgroup", a]);
    await host.ok(["iw", "unset", "--cgroup", a]);
    expect(await host.pins()).toEqual(alone);
    const [shown] = (await host.ok(["iw", "set", "20", "--cgroup", a], { json: true })).json.added;
    expect(shown.option).toBe("fe067d100014");
    expect(await outdated()).toEqual([false]);
    await apply(scope(a, rule("iw", "set = 20")));
    expect((await host.pins()).some((path) => path.endsWith("/site"))).toBe(false);
    expect([(await status()).site, await outdated()]).toEqual([null, [false]]);
    await apply("scope = []");
    expect(await host.pins()).toEqual([]);
  });

  test("with --keep: what a file does not say stays, also in scopes that it does not name", async () => {
    await apply(EXIDS + NUMBERS + scope(a, asks("one")) + scope(b, uto("30s")));
    const before = await links();
    const { json } = await apply(
      `[exid]\ncc-ask = 0x7e00\n[algorithms]\nthree = 0x8003\n${scope(b, uto("40s"))}`,
      "--keep",
    );
    expect(json.scopes).toHaveLength(2);
    expect(await links()).toEqual(before);
    expect((await status()).site).toMatchObject({
      exid: { "cc-ask": 0x7e00, "iw-ask": 0x7d10 },
      algorithm_numbers: { one: 0x8001, "t.wo": 0x8002, three: 0x8003 },
    });
    const [shown] = (await host.ok(["cc-request", "show", "--cgroup", a], { json: true })).json.rules;
    expect([shown.algorithm, shown.option]).toEqual(["one", "fe067e008001"]);
  });

  test("a number that a rule still needs does not go: one line names the rule, and nothing changes", async () => {
    await apply(NUMBERS + scope(a, asks("t.wo"), uto("30s")) + scope(b, uto("30s")));
    const before = [await exported(), await host.pins()];
    const gone = await refused('[algorithms]\n"t.wo" = 0x8003\n[[scope]]\n', "--keep");
    expect(oneLine(gone)).toEqual([2, 1]);
    expect(gone.stderr).toContain(
      `algorithm t.wo = 0x8002 is still needed: cc-request ask t.wo all connections, cgroup ${below(a)}; `,
    );
    expect((await refused('[algorithms]\n"t.wo" = 0x8003\n[[scope]]\n', "--keep", "--dry-run")).code).toBe(2);
    expect([await exported(), await host.pins()]).toEqual(before);
    // a file that is about the rule may do it
    await apply(`[algorithms]\n"t.wo" = 0x8003\n${scope(a, asks("t.wo"))}`);
    const [shown] = (await host.ok(["cc-request", "show"], { json: true })).json.rules;
    expect([shown.algorithm, shown.option]).toEqual(["t.wo", "fe067cc08003"]);
    await apply(scope(a, uto("30s")));
    expect((await status()).site).toBeNull();
  });

  test("bad tables are refused with their line, before anything is touched", async () => {
    const bad = await refused(`[exid]\ncc-ask = 0x7c10\n${scope(a, uto("30s"))}`);
    expect(oneLine(bad)).toEqual([2, 1]);
    expect(bad.stderr).toStartWith("tcpx: stdin:2: exid.cc-ask: 0x7c10 is that of iw-ask");
    expect(await host.pins()).toEqual([]);
  });

  test("a scope with another copy is told, and loaded anew by its next change, or the next apply", async () => {
    const text = EXIDS + scope(a, uto("30s")) + scope(b, uto("30s"));
    await apply(text);
    await host.sh("rm /sys/fs/bpf/tcpx/v*/site"); // as if an apply had been killed
    expect(await outdated()).toEqual([true, true]);
    expect((await host.ok(["status"])).stdout).toContain("with another table of the site");
    const again = await host.ok(["uto", "set", "30s", "--cgroup", a], { json: true });
    expect(again.json).toMatchObject({ changed: true, reloaded: true, added: [] });
    expect(await outdated()).toEqual([false, true]);
    expect((await host.ok(["uto", "set", "30s", "--cgroup", a], { json: true })).json.changed).toBe(false);
    await apply(text);
    expect(await outdated()).toEqual([false, false]);
    expect((await status()).site.exid["cc-ask"]).toBe(0x7d00);
  });

  test("SIGKILL at any moment: every scope has its rules with one of the tables, and the next apply goes on", async () => {
    const tables = [EXIDS, EXIDS.replaceAll("0x7d", "0x7e")];
    const scopes = [a, b, c].map((path) => scope(path, uto("30s"), rule("iw", "set = 20"))).join("");
    const files = tables.map((table, i) => r.lab.file(`site-${i}.toml`, table + scopes));
    await host.ok(["apply", files[0]!]);
    const before = await links();
    let [hits, halves] = [0, 0];
    const duration = async () => {
      await host.ok(["apply", files[0]!]); // so that each of those has something to change
      return await shortest([1, 0, 1].map((i) => () => host.ok(["apply", files[i]!])));
    };
    const round = async (n: number, part: number, whole: number) => {
      const command = `${tcpxPath()} apply ${files[n % 2]}`;
      if (await killed(host, command, whole * (0.3 + 0.8 * part))) hits++;
      const now = await status();
      expect(now.scopes.map((s: { rules: unknown[] }) => s.rules.length)).toEqual([3, 3, 3]);
      expect(["0x7d00", "0x7e00"]).toContain(`0x${now.site.exid["cc-ask"].toString(16)}`);
      const old = now.scopes.filter((s: { outdated: boolean }) => s.outdated).length;
      if (old > 0 && old < 3) halves++;
      await host.ok(["apply", files[n % 2]!, "--wait"]); // what was killed may still be about to end
      expect(await outdated()).toEqual([false, false, false]);
      expect(await links()).toEqual(before);
      expect((await host.pins()).filter((path) => /\/gen-\d+$|site-new$/.test(path))).toHaveLength(3);
    };
    // how long it takes differs: until one was killed between two scopes
    await sweep({ rounds: 16, sweeps: 5, duration, round, enough: () => hits > 3 && halves > 0 });
    expect(hits).toBeGreaterThan(3); // else the kills did not test anything
    expect(halves).toBeGreaterThan(0);
  }, 180_000);

  test("several at the same time: one table wins, and every scope has it", async () => {
    const tables = ["one", "two", "three"].map((name, i) => `[algorithms]\n${name} = ${0x8001 + i}\n`);
    const rules = [a, b].map((path) => scope(path, uto("30s"))).join("");
    await Promise.all(tables.map((table) => apply(table + rules)));
    const { site, scopes } = await status();
    expect(Object.keys(site.algorithm_numbers)).toHaveLength(1);
    expect(scopes.map((s: { outdated: boolean }) => s.outdated)).toEqual([false, false]);
    const merged = await Promise.all(tables.map((table) => refused(`${table}[[scope]]\n`, "--keep")));
    expect(merged.some(({ code }) => code === 0)).toBe(true);
    for (const { code, stderr } of merged) {
      // what a table was merged with is another one by now
      if (code !== 0)
        expect([code, stderr]).toEqual([5, expect.stringContaining("changed the site's table meanwhile")]);
    }
    expect(await outdated()).toEqual([false, false]);
  });

  test("reset says what it has removed", async () => {
    await apply(`scope = []\n${NUMBERS}`);
    expect((await host.ok(["reset", "--dry-run"])).stdout).toContain("algorithm one 0x8001");
    const { json } = await host.reset([], { json: true });
    expect(json).toMatchObject({
      changed: true,
      rule_count: 0,
      site: { algorithm_numbers: { one: 0x8001 } },
    });
    expect((await host.reset([], { json: true })).json.site).toBeNull();
  });
});
