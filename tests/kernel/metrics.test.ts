// SPDX-License-Identifier: MIT
// `tcpx metrics`: pulled by curl, written to a file, read by Prometheus's own parsers.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { attempts, type Child, run } from "../support/lab.ts";
import { CAP, confinedTo, privileges, statusOf } from "../support/privileges.ts";
import { RequestLab } from "../support/request-lab.ts";
import {
  describeIf,
  every,
  labRequirement,
  PROMETHEUS_PYTHON,
  prometheusRequirement,
  requirement,
} from "../support/requires.ts";
import { tcpx, tcpxPath } from "../support/tcpx.ts";
import { tcpxOk } from "../support/uto-lab.ts";

const curl = requirement("curl", Bun.which("curl") !== null, "the program curl");
const needs = every("all", labRequirement, curl);
const URL = "http://127.0.0.1:9101/metrics";

/** Families and samples as a parser of Prometheus reads them; it throws for what is not right. */
async function parsed(text: string, parser: "openmetrics.parser" | "parser"): Promise<string[]> {
  const script = `
import sys
from prometheus_client.${parser} import text_string_to_metric_families as parse
for family in parse(sys.stdin.read()):
    for sample in family.samples:
        print(family.type, sample.name, sample.labels.get("extension", ""), float(sample.value))`;
  return (await run([PROMETHEUS_PYTHON!, "-c", script], {}, text)).trim().split("\n");
}

describeIf(needs.ok, needs.reason)("tcpx metrics", () => {
  let r: RequestLab;
  const children: Child[] = [];

  beforeAll(async () => {
    r = await RequestLab.create();
  });
  afterEach(async () => {
    for (const child of children.splice(0)) {
      child.kill("SIGKILL");
      await child.exited;
    }
    await r.clear();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  const scope = () => ["--cgroup", r.client.cgroup];

  /** A server in the client's namespace, once it listens; and what it has printed. */
  async function listening(where = "9101", ...more: string[]): Promise<{ child: Child; said: string }> {
    const argv = [tcpxPath(), "metrics", "--listen", where, ...scope(), ...more];
    const child = r.lab.spawn(argv, { netns: r.client.netns });
    children.push(child);
    const { value } = await child.stdout.getReader().read();
    return { child, said: new TextDecoder().decode(value).trim() };
  }

  const pull = (...args: string[]) => run(["curl", "-sS", ...args], { netns: r.client.netns });

  async function negotiate(): Promise<void> {
    await r.usual();
    await r.exchange(await r.open());
  }

  test("pulled by curl: what status counts, and each time anew", async () => {
    await negotiate();
    const { said } = await listening();
    expect(said).toBe(`listening on ${URL}`);
    const labels = `${await scopeLabel()},extension="iw"`;
    const value = async (name: string) =>
      Number(
        (await pull(URL))
          .split("\n")
          .find((line) => line.startsWith(`${name}{${labels}}`))
          ?.split(" ")
          .at(-1),
      );
    const before = await r.counters(r.client, "iw");
    expect(await value("tcpx_granted_requests_total")).toBe(before.granted!);
    expect(await value("tcpx_sent_segments_total")).toBe(before.sent!);
    await r.exchange(await r.open());
    expect(await value("tcpx_granted_requests_total")).toBe(before.granted! + 1);
  });

  /** It goes with the lab. */
  function tempDir(): string {
    mkdirSync(r.lab.dir, { recursive: true });
    return mkdtempSync(join(r.lab.dir, "metrics-"));
  }

  async function scopeLabel(): Promise<string> {
    const { json } = await tcpxOk(["status", ...scope()], { json: true });
    return `cgroup="${json.scopes[0].cgroup}"`;
  }

  test("only GET /metrics, with the type that says what it is", async () => {
    await listening();
    const status = (...args: string[]) =>
      pull("-o", "/dev/null", "-w", "%{http_code} %{content_type}", ...args);
    expect(await status(URL)).toBe("200 application/openmetrics-text; version=1.0.0; charset=utf-8");
    expect(await status("http://127.0.0.1:9101/")).toStartWith("404 ");
    expect(await status("http://127.0.0.1:9101/metrics/../x")).toStartWith("404 ");
    expect(await status("-X", "POST", URL)).toStartWith("405 ");
    expect(await pull("-I", URL)).toStartWith("HTTP/1.1 200");
  });

  test("a port alone is on loopback only; another address when it is written out", async () => {
    const sockets = () => run(["ss", "-tlnHO"], { netns: r.client.netns });
    await listening();
    expect(await sockets()).toContain("127.0.0.1:9101");
    expect(await sockets()).not.toContain("0.0.0.0:9101");
    await listening(`${r.client.v4}:9102`);
    expect(await sockets()).toContain(`${r.client.v4}:9102`);
    await listening("[::1]:9103");
    expect(await pull("-g", "http://[::1]:9103/metrics")).toEndWith("# EOF\n");
  });

  test("a server has only the capabilities that reading takes, in every thread", async () => {
    const { child } = await listening();
    const threads = privileges(await run(["sh", "-c", statusOf(child.pid)]));
    expect(threads.length).toBeGreaterThan(1);
    const wanted = confinedTo([CAP.NET_BIND_SERVICE, CAP.NET_ADMIN, CAP.SYS_PTRACE, CAP.PERFMON, CAP.BPF]);
    for (const thread of threads) expect(thread).toEqual(wanted);
  });

  test("SIGTERM and SIGINT end it, without a word and with 0", async () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const { child } = await listening();
      await pull(URL);
      child.kill(signal);
      expect(await child.exited).toBe(0);
      expect(child.signalCode).toBeNull();
    }
  });

  test("idle it takes no CPU", async () => {
    const { child } = await listening();
    await pull(URL);
    const ticks = () => {
      const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1]!.split(" ");
      return Number(fields[11]) + Number(fields[12]);
    };
    // what a start leaves to do may come late; what polls does so in every window
    const used = async () => {
      const before = ticks();
      await Bun.sleep(3000);
      return ticks() - before;
    };
    expect(await attempts(5, used, (count) => count <= 1)).toBeLessThanOrEqual(1);
  });

  test("rules that come and go under it, and none at all", async () => {
    await listening();
    expect(await pull(URL)).not.toContain("tcpx_sent_segments");
    await r.rule(r.client, "uto set 30s");
    expect(await pull(URL)).toContain('extension="uto",kind="ask"} 1');
    await r.clear();
    expect(await pull(URL)).toContain("tcpx_scopes 0\n");
  });

  test("as a file: replaced in one step, readable for the exporter", async () => {
    await negotiate();
    const dir = tempDir();
    const file = join(dir, "tcpx.prom");
    const wrap = ["sh", "-c", 'umask 077 && exec "$@"', "sh"];
    const first = await tcpxOk(["metrics", "--output", file, ...scope()], { wrap });
    expect([first.stdout, first.stderr]).toEqual(["", ""]);
    const { ino, mode } = statSync(file);
    expect(mode & 0o444).toBe(0o444);
    expect(readFileSync(file, "utf8")).toBe((await tcpxOk(["metrics", ...scope()])).stdout);
    await tcpxOk(["metrics", "--output", file, ...scope()]);
    expect(statSync(file).ino).not.toBe(ino);
    expect(readdirSync(dir)).toEqual(["tcpx.prom"]);
  });

  test("as JSON", async () => {
    await r.rule(r.client, "uto set 30s");
    const { json } = await tcpxOk(["metrics", ...scope()], { json: true });
    const rules = json.families.find(({ name }: { name: string }) => name === "tcpx_rules");
    expect(rules).toMatchObject({
      type: "gauge",
      samples: [{ labels: { extension: "uto" }, reading: 1 }, {}, {}],
    });
    const { said } = await listening("9101", "--json");
    expect(JSON.parse(said)).toMatchObject({ schema: 2, listening: "127.0.0.1:9101", url: URL });
  });

  test("what is wrong is named in one line", async () => {
    const dir = tempDir();
    await listening();
    const cases: [string, number, string][] = [
      ["--listen 9101", 1, "another program listens there"],
      ["--listen 192.0.2.1:9101", 1, "not one of this host"],
      ["--listen :9101", 2, "':9101'"],
      ["--listen localhost:9101", 2, "'localhost:9101'"],
      ["--listen 70000", 2, "'70000'"],
      ["--listen 9101 --output x", 2, "exclude each other"],
      ["--output DIR", 2, "a directory"],
      ["--output /dev/null", 2, "'/dev/null'"],
      ["--output DIR/no/x", 1, "does not exist"],
      ["--cgroup /nowhere", 2, "/nowhere"],
      ["now", 2, "'now'"],
    ];
    for (const [words, exit, named] of cases) {
      const { code, stdout, stderr } = await tcpx(
        ["metrics", ...words.split(" ").map((word) => word.replace("DIR", dir))],
        {
          netns: r.client.netns,
        },
      );
      expect([words, code, stdout]).toEqual([words, exit, ""]);
      expect(stderr).toContain(named);
      expect(stderr.trim().split("\n").length).toBe(1);
    }
  });

  const judge = every("judge", prometheusRequirement);
  (judge.ok ? test : test.skip)(
    `the parsers of Prometheus take it${judge.ok ? "" : ` [needs: ${judge.reason}]`}`,
    async () => {
      await negotiate();
      await r.rule(r.client, "ack set --every 4 --port 443");
      const { stdout } = await tcpxOk(["metrics", ...scope()], { netns: r.client.netns });
      const families = await parsed(stdout, "openmetrics.parser");
      expect(families).toContain("counter tcpx_granted_requests_total iw 1.0");
      expect(families.some((line) => line.startsWith("info tcpx_build_info"))).toBe(true);
      expect(families.some((line) => line.startsWith("counter tcpx_dropped_acks_total ack"))).toBe(true);
      // a node exporter reads the older text format
      const older = await parsed(stdout, "parser");
      expect(older.some((line) => line.endsWith("tcpx_granted_requests_total iw 1.0"))).toBe(true);
    },
  );
});
