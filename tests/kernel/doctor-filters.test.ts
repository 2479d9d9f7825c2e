// SPDX-License-Identifier: MIT
// What `tcpx doctor` tells of packet filters that take TCP options away: with real nft and iptables, in network
// namespaces of their own.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Lab } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, every, labRequirement, requirement, testIf } from "../support/requires.ts";

const NFT = Bun.which("nft");
const hasNft = every(
  "nft",
  labRequirement,
  requirement("nft", NFT !== null, "the program nft (package nftables)"),
);
const testLegacy = testIf(
  Bun.which("iptables-legacy") !== null,
  "the program iptables-legacy (package iptables)",
);
const testIptables = testIf(
  Bun.which("iptables-nft") !== null,
  "the program iptables-nft (package iptables)",
);

const CHAIN =
  "add table inet strips; add chain inet strips out { type filter hook output priority 0; }; add chain inet strips more";
const IS_IN_THE_WAY: [string, string][] = [
  ["reset tcp option 28", "removes option 28"],
  ["reset tcp option 254", "removes option 254"],
  ["tcp flags syn tcp option 28 exists drop", "drops segments with option 28"],
  ["tcp option 254 exists counter reject with tcp reset", "rejects segments with option 254"],
  ["tcp option @253,8,8 4 drop", "drops segments with option 253"],
  ["tcp option 253 exists jump more", "decides in chain more about segments with option 253"],
];
const IS_NOT = [
  "reset tcp option sack-perm",
  "tcp option 28 missing drop",
  "tcp option 28 != exists drop",
  "tcp option 28 exists counter",
  "tcp option maxseg size set 1300",
  "tcp dport 22 drop",
];

describeIf(hasNft.ok, hasNft.reason)("doctor and packet filters", () => {
  let lab: Lab;
  let host: PrivateHost;

  beforeAll(async () => {
    lab = await Lab.create();
    host = await PrivateHost.create(lab);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  /** After a shell script in a network namespace (and a view of the files) that is made for it. */
  async function after(script: string, { json = true } = {}) {
    const wrap = ["unshare", "--net", "--mount", "sh", "-c", `set -e; ${script}\nexec "$@"`, "sh"];
    const result = await host.tcpx(["doctor"], {
      wrap,
      json,
    });
    const found = result.json?.checks.find(({ name }: { name: string }) => name === "packet filter");
    return { ...result, check: found };
  }
  const nft = (...rules: string[]) =>
    [CHAIN, ...rules.map((rule) => `add rule inet strips out ${rule}`)]
      .map((line) => `nft '${line}'`)
      .join("\n");
  /** A program in nft's place. */
  function instead(body: string): string {
    const path = join(lab.dir, "nft");
    writeFileSync(path, `#!/bin/sh\n${body}\n`);
    chmodSync(path, 0o755);
    return `mount --bind ${path} ${NFT}`;
  }

  test("no rules are no trouble", async () => {
    const { check, code } = await after("nft list ruleset");
    expect(code).toBe(0);
    expect(check).toMatchObject({ verdict: "ok", core: false, filters: [] });
  });

  test.each(IS_IN_THE_WAY)("%s", async (rule, effect) => {
    const { check, code } = await after(nft(rule));
    expect(code).toBe(0);
    const place = { by: "nft", table_family: "inet", table: "strips", chain: "out" };
    expect(check).toMatchObject({ verdict: "warn", filters: [{ ...place, effect }] });
    expect(check.detail).toContain(
      `nft table inet strips, chain out, handle ${check.filters[0].handle} ${effect}`,
    );
  });

  test("rules about other options, or about none, are not named", async () => {
    expect((await after(nft(...IS_NOT))).check).toMatchObject({ verdict: "ok", filters: [] });
  });

  test("the handle is the one that takes the rule away", async () => {
    const { check } = await after(nft(IS_NOT[0]!, "reset tcp option 28", IS_NOT[3]!));
    const { handle } = check.filters[0];
    const undone = await after(
      `${nft(IS_NOT[0]!, "reset tcp option 28", IS_NOT[3]!)}\nnft delete rule inet strips out handle ${handle}`,
    );
    expect(undone.check).toMatchObject({ verdict: "ok", filters: [] });
  });

  test("of many, some are named and all are in JSON", async () => {
    const rules = Array.from({ length: 9 }, () => "reset tcp option 28");
    const { check } = await after(nft(...rules));
    expect(check.filters).toHaveLength(9);
    expect(check.detail).toContain("and 6 more");
  });

  test("without nft it is not checked", async () => {
    const { check, code } = await after(`mount --bind /dev/null ${NFT}`);
    expect(code).toBe(0);
    expect(check).toMatchObject({ verdict: "skip", detail: "not checked: the program nft is missing" });
  });

  test.each([
    ["that says no", "echo 'no such thing' >&2; exit 1", /^not checked: nft: no such thing$/],
    ["that crashes", "kill -SEGV $$", /^not checked: nft was ended by SIGSEGV$/],
    ["that does not end", "exec sleep 60", /^not checked: nft was not done after 5 s$/],
    ["that waits for what does not end", "sleep 60; :", /^not checked: nft was not done after 5 s$/],
    ["whose own child is out of reach", "setsid sleep 8; :", /^not checked: nft was not done after 5 s$/],
    ["whose child says too much", "yes; :", /^not checked: nft lists more than 16 MiB$/],
    ["that says too much", "exec yes", /^not checked: nft lists more than 16 MiB$/],
    ["that says something else", "echo '[1,2]'", /^not checked: nft: /],
  ])("an nft %s", async (_, body, why) => {
    const { check, code } = await after(instead(body));
    expect(code).toBe(0);
    expect(check).toMatchObject({ verdict: "skip", detail: expect.stringMatching(why) });
  });

  test("names that a terminal would obey", async () => {
    const rule = { family: "inet", table: "a\u001b[2J", chain: "b\n\u202ec", handle: 1 };
    const expr = [{ reset: { "tcp option": { base: 28, offset: 0, len: 0 } } }];
    const document = JSON.stringify({ nftables: [{ rule: { ...rule, expr } }] });
    const { stdout, check } = await after(instead(`cat <<'END'\n${document}\nEND`), { json: false });
    expect(check).toBeUndefined();
    expect(stdout).toContain("table inet a\\x1b[2J, chain b\\x0a\\u202ec, handle 1 removes option 28");
    expect(stdout).not.toContain("\u001b[2J");
  });

  testLegacy("iptables' older tables", async () => {
    const strip = "-p tcp -j TCPOPTSTRIP --strip-options";
    const { check } = await after(
      `iptables-legacy -t mangle -A OUTPUT ${strip} 5\niptables-legacy -t mangle -A OUTPUT ${strip} 28,254`,
    );
    const place = { by: "iptables", table_family: "ip", table: "mangle", chain: "OUTPUT", handle: 2 };
    expect(check).toMatchObject({
      verdict: "warn",
      filters: [{ ...place, effect: "removes option 28, 254" }],
    });
    // a look makes no tables
    const { check: none, stdout } = await after('test -z "$(cat /proc/net/ip_tables_names)"');
    expect(none).toMatchObject({ verdict: "ok" });
    expect(stdout).not.toContain("iptables (");
  });

  testIptables("iptables on nftables", async () => {
    const { check } = await after(
      "iptables-nft -t mangle -A OUTPUT -p tcp -j TCPOPTSTRIP --strip-options 28",
    );
    expect(check).toMatchObject({
      verdict: "warn",
      filters: [{ by: "nft", table: "mangle", chain: "OUTPUT" }],
    });
  });
});
