// SPDX-License-Identifier: MIT
// Every command's --json, where there is something to say: each document is what docs/json.md has (tcpx.ts compares
// them), and all that the page has turns up.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { rmdirSync } from "node:fs";
import { extensions } from "../../cli/extensions/index.ts";
import { page } from "../support/json-page.ts";
import { PrivateHost } from "../support/private-host.ts";
import { RequestLab } from "../support/request-lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { type TcpxResult, tcpx, tcpxPath } from "../support/tcpx.ts";
import { tcpxOk } from "../support/uto-lab.ts";
import { Watch } from "../support/watch-lab.ts";

/** What other tests have, and whose: it takes a guest, another tcpx or a moment that is hard to meet. */
const ELSEWHERE: [field: RegExp, where: string][] = [
  [/^tcpx persist (on|off|status)\./, "tests/vm/systemd-persist.ts"],
  [/^Errors\.error\.holder|^Holder\./, "tests/kernel/lock.test.ts"],
  [/^tcpx reset\.proof\.programs_of_others\.|^Owner\./, "tests/kernel/reset-others.test.ts"],
  [/^ScopeStatus\.last_error\./, "tests/kernel/requests-foreign.test.ts"],
  [/^Agent\.in_the_way\./, "tests/kernel/ack-effect-live.test.ts"],
  [/^Agent\.denied\./, "tests/kernel/ack-denied.test.ts"],
  [/^Rule\.words$/, "tests/unit/slots.test.ts"],
  [/^ScopeStatus\.programs\./, "tests/kernel/sample-programs.test.ts"],
  [/^Agent\.reason$/, "tests/kernel/ack-agent-trouble.test.ts"],
  [/^tcpx metrics\.(listening|url)$/, "tests/kernel/metrics.test.ts"],
  [/^tcpx watch\.(lost|lost_total|ms)$/, "tests/kernel/watch-ring.test.ts"],
  [/^tcpx EXT set\.reloaded$/, "tests/kernel/site.test.ts"],
  [/^Connection\.keepalive\./, "tests/kernel/uto-keepalive.test.ts"],
  [/^tcpx doctor\.checks\.filters\./, "tests/kernel/doctor-filters.test.ts"],
  [/^tcpx ext (un)?load\.|^(Loaded)?Program\./, "tests/kernel/ext-load.test.ts"],
  [/^tcpx ext (new|build|test)\.|^Socket\./, "tests/kernel/ext-sdk.test.ts"],
  [/^tcpx ext (add|list|show|remove|verify)\.|^Package\./, "tests/kernel/ext-packages.test.ts"],
  [/^Value\.words$/, "tests/kernel/slots-seen.test.ts"],
  [/^Value\.bits$/, "a newer tcpx"],
];

const POLICY = (cgroup: string, more = "") => `${more}
[[scope]]
cgroup = "${cgroup}"
[[scope.uto]]
set = "30s"
to = ["192.0.2.0/24", "2001:db8::/32"]
[[scope.uto]]
set = "none"
port = 22
[[scope.uto]]
accept = true
min = "5s"
port = 443
[[scope.cc-request]]
accept = ["cubic", "reno"]
from = "10.0.0.0/8"
[[scope.cc-request]]
set = "reno"
[[scope.iw]]
set = 8
[[scope.iw]]
accept = true
max = 20
[[scope.ack]]
request = true
every = 10
delay = "rtt/4"
[[scope.ack]]
request = true
every = 4
tarr = true
to = "192.0.2.1"
[[scope.ack]]
set = true
every = 8
[[scope.ack]]
accept = true
`;
const SITE = "[exid]\ncc-ask = 0x7d00\n[algorithms]\nmycc = 0x8001\n";

describeIf(labRequirement.ok, labRequirement.reason)("--json", () => {
  let r: RequestLab;
  let host: PrivateHost;
  let cgroup: string;

  beforeAll(async () => {
    r = await RequestLab.create();
    host = await PrivateHost.create(r.lab);
    cgroup = r.lab.cgroup("json");
  });
  afterAll(() => r[Symbol.asyncDispose]());

  /** In the private host; the helper compares it with the page. */
  const said = (words: string, stdin = "") =>
    host.ok(words.split(" "), { json: true, timeoutMs: 60_000, ...(stdin ? { stdin } : {}) });
  const refused = async (words: string, stdin = ""): Promise<TcpxResult> => {
    const done = await host.tcpx(words.split(" "), { json: true, ...(stdin ? { stdin } : {}) });
    expect([words, done.code > 0, Object.keys(done.json)]).toEqual([words, true, ["schema", "error"]]);
    return done;
  };

  test("rules of every extension are set, shown, changed, exported and removed", async () => {
    const scope = `--cgroup ${cgroup}`;
    await said("apply --dry-run -", POLICY(cgroup, SITE));
    await said("apply -", POLICY(cgroup, SITE));
    await said("apply -", POLICY(cgroup));
    expect((await said(`uto set 40s ${scope}`)).json.scope.cgroup).toBe(
      (await said("status")).json.scopes[0].cgroup,
    );
    expect((await said(`uto set 40s ${scope}`)).json.unchanged).toBe(2);
    expect((await said(`uto set 50s --port 22 ${scope}`)).json.replaced).toHaveLength(2);
    await said(`uto unset --port 23 ${scope}`); // where there is none, and one stands near
    for (const { name } of extensions) await said(`${name} show`);
    await said("status");
    await said("export");
    await said("export --schema");
    await said("metrics");
    await said(`metrics --output ${r.lab.dir}/tcpx.prom`);
    await said(`uto unset --all ${scope}`);
    await said(`ack set --every 1 ${scope}`);
    await said(`ack set --delay 20ms --to 192.0.2.9 ${scope}`);
    await said("apply --keep -", `${SITE}[[scope]]\ncgroup = "${cgroup}"\n`);
    await said("reset --dry-run");
    await host.reset([], { json: true });
    for (const words of ["status", "uto show", "ack show", "export", "metrics", "reset --dry-run"])
      await said(words);
  }, 120_000);

  test("rules for one network namespace, and of a cgroup that has gone", async () => {
    const gone = r.lab.cgroup("gone");
    await said(`uto set 10s --cgroup ${gone}`);
    rmdirSync(gone);
    await said("status");
    await said("uto show");
    await host.reset([], { json: true });
    // as in tests/kernel/scopes-root.test.ts: a host whose root is a child cgroup
    const box = await PrivateHost.create(r.lab, { cgroup: r.lab.cgroup("box") });
    const inside = { wrap: [...box.wrap, "unshare", "--cgroup"] };
    const { json } = await tcpxOk(["uto", "set", "10s", "--dry-run"], { ...inside, json: true });
    expect(json.dry_run).toBe(true);
  });

  test("connections, what they negotiate, and --live", async () => {
    await r.usual();
    await r.rule(r.client, "uto set 30s");
    await r.rule(r.server, "uto accept --min 40s");
    await r.rule(r.client, "ack request --every 16");
    await r.rule(r.server, "ack accept --max-every 8 --max-delay 40ms");
    await r.rule(r.server, "ack set --every 4");
    const watch = await Watch.start(r.lab, ["--all-netns"]); // before the first rule it looks around now and then
    const c = await r.open();
    await r.exchange(c);
    for (const side of [r.client, r.server]) {
      const { json } = await tcpxOk(["connections", "--cgroup", side.cgroup], {
        json: true,
        netns: side.netns,
      });
      expect(json.connections.length).toBeGreaterThan(0);
      await tcpxOk(["status", "--cgroup", side.cgroup], { json: true });
    }
    expect(await watch.has(6)).toBe(true);
    expect(watch.events.length).toBeGreaterThan(5); // compared with the page, too
    await watch.end("SIGTERM");
    const { json } = await r.rule(r.client, "uto set 50s --live");
    expect(json.live.changed_connections).toBe(1);
    const again = `[[scope]]\ncgroup = "${r.client.cgroup}"\n[[scope.ack]]\nrequest = true\nevery = 8\n`;
    const applied = await tcpxOk(["apply", "--keep", "--wait", "-"], { json: true, stdin: again });
    expect(applied.json.scopes[0].live.announced).toBeLessThanOrEqual(1); // from Linux 6.12 on
    await r.rule(r.client, "uto unset --live");
    await r.rule(r.client, "cc-request set cubic --local --live");
    await r.clear();
  }, 60_000);

  test("the agent", async () => {
    for (const words of ["agent --stop", "agent --start", "agent"]) await said(words);
    await said(`ack set --every 8 --cgroup ${cgroup}`);
    for (const words of [
      "agent",
      "agent --start",
      "status",
      "metrics",
      "ack show",
      "agent --stop",
      "agent --stop",
    ]) {
      await said(words);
    }
    await host.reset([], { json: true });
  }, 60_000);

  test("what is no rule", async () => {
    for (const words of ["version", "version --licences", "completion bash", "doctor"]) await said(words);
    await said("demo");
  }, 120_000);

  test("errors of every kind and command are documents", async () => {
    const missing = "/no/such/cgroup";
    for (const { name, verbs } of extensions) {
      for (const verb of [...Object.keys(verbs), "show", "unset", "nothing"]) {
        await refused(`${name} ${verb} --cgroup ${missing}`);
      }
    }
    await refused("nothing");
    await refused("uto");
    for (const command of ["status", "connections", "watch", "metrics"])
      await refused(`${command} --cgroup ${missing}`);
    for (const command of [
      "export",
      "doctor",
      "demo",
      "agent",
      "reset",
      "version",
      "persist on",
      "persist status",
    ]) {
      await refused(`${command} --nothing`);
    }
    await refused("agent --start --stop");
    await refused("completion tcsh");
    await refused("metrics --listen nothing");
    await refused(`metrics --output ${missing}/file`);
    const place = (await refused("apply -", "[[scope]]\ncgroup = 5\n")).json.error;
    expect(place).toMatchObject({ code: 2, file: "stdin", line: 2, key: "scope[0].cgroup" });
    const mistakes = `[[scope]]\ncgroup = "${cgroup}"\n${"[[scope.uto]]\nset = 'x'\n".repeat(30)}`;
    expect((await refused("apply -", mistakes)).json.error.more).toBeGreaterThan(0);
    await refused(`apply ${missing}`);
    await refused("persist on"); // without systemd
    const { json } = await host.tcpx(["run", "--uto", "x", "--", "true"], { json: true });
    expect(json.error.code).toBe(2);
    const nobody = ["setpriv", "--reuid", "65534", "--clear-groups", "--"];
    const { json: denied } = await tcpx(["status"], { json: true, wrap: [...host.wrap, ...nobody] });
    expect(denied.error.code).toBe(4);
  }, 120_000);

  test("one document, on one line, and nothing else on stdout", async () => {
    for (const words of [["status"], ["uto", "show"], ["version"], ["nothing"]]) {
      const { stdout } = await host.tcpx([...words, "--json", "--verbose"]);
      expect(stdout.trimEnd().split("\n")).toHaveLength(1);
      expect(Object.keys(JSON.parse(stdout))[0]).toBe("schema");
    }
    expect(await host.sh(`${tcpxPath()} status --json | head -c 10`)).toBe('{"schema":');
  });

  test("the page has nothing that none of them had", () => {
    const missing = page.fields
      .map(({ section, path }) => `${section}.${path.replaceAll("[]", "")}`)
      .filter((field) => !page.seen.has(field) && !ELSEWHERE.some(([pattern]) => pattern.test(field)));
    expect(missing).toEqual([]);
  });
});
