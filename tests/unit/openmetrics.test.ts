// SPDX-License-Identifier: MIT
// Counters as OpenMetrics text, and where it goes.
import { describe, expect, test } from "bun:test";
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { NO_STATS } from "../../cli/agent/engine.ts";
import { type AgentAnswer, identity } from "../../cli/agent/health.ts";
import { ack } from "../../cli/extensions/ack.ts";
import { Counter, ThinCounter } from "../../cli/layout/layout.generated.ts";
import { COUNTER_NAMES } from "../../cli/loader/counters.ts";
import { familiesOf } from "../../cli/observe/families.ts";
import { formatListen, parseListen } from "../../cli/observe/listen.ts";
import { type Family, openMetrics } from "../../cli/observe/openmetrics.ts";
import { writeTextfile } from "../../cli/observe/textfile.ts";
import { visible } from "../../cli/output/safe.ts";
import { type Rule, ruleId } from "../../cli/policy/rule.ts";
import { parseSelectors } from "../../cli/policy/selector.ts";

const family = (name: string, samples: Family["samples"], type: Family["type"] = "counter"): Family => ({
  name,
  type,
  help: "Help.",
  samples,
});

/** What a reader gets back from a line: undone escapes. */
function parseLine(line: string): { name: string; labels: Record<string, string>; value: number } {
  const [, name = "", body = "", value] = /^(\w+)(?:\{(.*)\})? (\S+)$/s.exec(line) ?? [];
  const labels: Record<string, string> = {};
  const pair = /(\w+)="((?:[^"\\]|\\.)*)",?/gsy;
  for (let found = pair.exec(body); found; found = pair.exec(body)) {
    labels[found[1]!] = found[2]!.replace(/\\(.)/g, (_, c: string) => (c === "n" ? "\n" : c));
  }
  return { name, labels, value: Number(value) };
}

describe("text", () => {
  test("counters, gauges and info, and its end", () => {
    const text = openMetrics([
      { ...family("a_bytes", [{ labels: { x: "1" }, value: 3 }]), unit: "bytes" },
      family("b", [{ labels: {}, value: 1.5 }], "gauge"),
      family("c", [{ labels: { version: "0.1" }, value: 1 }], "info"),
      family("nothing", []),
    ]);
    expect(text).toBe(
      [
        "# TYPE a_bytes counter",
        "# UNIT a_bytes bytes",
        "# HELP a_bytes Help.",
        'a_bytes_total{x="1"} 3',
        "# TYPE b gauge",
        "# HELP b Help.",
        "b 1.5",
        "# TYPE c info",
        "# HELP c Help.",
        'c_info{version="0.1"} 1',
        "# EOF",
        "",
      ].join("\n"),
    );
  });

  test("any label comes back as it was, one line each", () => {
    const value = fc.oneof(fc.string({ unit: "grapheme" }), fc.stringMatching(/^[\\"\nn{},= #]*$/));
    fc.assert(
      fc.property(fc.uniqueArray(value, { maxLength: 5 }), fc.nat(), (values, n) => {
        const samples = values.map((cgroup) => ({ labels: { cgroup, extension: "uto" }, value: n }));
        const lines = openMetrics([family("x", samples)]).split("\n");
        const back = lines.filter((line) => line.startsWith("x_total")).map(parseLine);
        const shown = (name: string) => name.split("\n").map(visible).join("\n");
        const labels = values.map((cgroup) => ({ cgroup: shown(cgroup), extension: "uto" }));
        expect(back).toEqual(labels.map((labels) => ({ name: "x_total", labels, value: n })));
        expect(lines.length).toBe(values.length === 0 ? 2 : values.length + 4);
      }),
    );
  });

  test("a label is shown as a terminal may show it", () => {
    const samples = [{ labels: { cgroup: "/a\x1b[31m\u202e" }, value: 1 }];
    expect(openMetrics([family("x", samples)])).toContain('x_total{cgroup="/a\\\\x1b[31m\\\\u202e"} 1\n');
  });

  test("the same labels twice are added up: readers refuse the whole text else", () => {
    const twice = [1, 2].map((value) => ({ labels: { a: "b" }, value }));
    expect(openMetrics([family("x", twice)])).toContain('x_total{a="b"} 3\n');
  });
});

const rule: Rule = {
  ext: "ack",
  ...ack.verbs.set!.draft({ every: "8" }).drafts[0]!,
  selector: parseSelectors({ port: "443" })[0]!,
  netns: { cookie: 5n, inode: 77 },
};
const state = { id: 9n, name: "/a b", alive: true, visible: true, rules: [rule] };
const counters = {
  count: [0, 1, 2, 3].map((ext) => COUNTER_NAMES.map((_, i) => (ext === 3 ? i + 1 : 0))),
  error: null,
};
const answer: AgentAnswer = {
  ...identity(),
  pid: 42,
  since: 1_700_000_000_500,
  ending: false,
  thinning: true,
  scopes: ["/a b"],
  covers: ["9"],
  unseen: [],
  mark_bits: 0,
  unserved: false,
  cpu_ms: 1250,
  thread: {
    ...NO_STATS,
    flushed: 7,
    failed: 1,
    notices: 3,
    namespaces: 2,
    cpuNs: 5e6,
    routeChanges: 4,
    routeErrors: 1,
  },
  counters: [[ruleId(9n, rule), Array.from({ length: ThinCounter.COUNT }, (_, i) => i * 10)]],
  problems: [],
  capabilities_missing: [],
  can_send: true,
  refused: null,
  denied: [],
};

describe("families", () => {
  const lines = (...args: Parameters<typeof familiesOf>) => openMetrics(familiesOf(...args)).split("\n");

  test("counters of the extensions that are used", () => {
    const text = lines([{ state, counters }], undefined);
    expect(text).toContain('tcpx_sent_segments_total{cgroup="/a b",extension="ack"} 1');
    expect(text).toContain(
      `tcpx_refused_helper_calls_total{cgroup="/a b",extension="ack"} ${Counter.ERRORS + 1}`,
    );
    expect(text).toContain('tcpx_rules{cgroup="/a b",extension="ack",kind="local"} 1');
    expect(text.some((line) => line.includes('extension="uto"'))).toBe(false);
    expect(text).toContain("tcpx_agent_running 0");
    expect(text).toContain("tcpx_agent_needed 1");
  });

  test("the agent's, per rule, by its place", () => {
    const text = lines([{ state, counters }], answer);
    const labels = 'cgroup="/a b",extension="ack",rule="local --port 443, netns 77"';
    expect(text).toContain(`tcpx_dropped_acks_total{${labels}} ${ThinCounter.DROPPED * 10}`);
    expect(text).toContain(`tcpx_passed_acks_total{${labels},reason="every"} ${ThinCounter.EVERY * 10}`);
    expect(text).toContain("tcpx_agent_cpu_seconds_total 1.25");
    expect(text).toContain("tcpx_agent_start_time_seconds 1700000000.5");
    expect(text).toContain("tcpx_agent_sent_acks_total 7");
  });

  test("two scopes that somebody calls the same are two series", () => {
    const twin = { ...state, id: 10n, visible: false };
    const made = lines(
      [state, twin].map((one) => ({ state: one, counters })),
      answer,
    ).filter((l) => !l.startsWith("#"));
    const series = made.map((line) => line.replace(/ [^ ]+$/, ""));
    expect(new Set(series).size).toBe(series.length);
    expect(made.join()).toContain("/a b (id 10, not visible)");
  });

  test("a scope that is gone counts no more, and without its counters it has none", () => {
    expect(lines([{ state: { ...state, alive: false }, counters }], answer).join()).not.toContain("/a b");
    expect(lines([{ state, counters: undefined }], undefined).join()).not.toContain("tcpx_sent");
  });

  test("names end with their unit, and appear once", () => {
    const families = familiesOf([{ state, counters }], answer);
    for (const { name, unit } of families) if (unit) expect(name).toEndWith(`_${unit}`);
    expect(new Set(families.map(({ name }) => name)).size).toBe(families.length);
  });
});

describe("--listen", () => {
  test("a port alone is on loopback", () => {
    expect(parseListen("9101")).toEqual({ address: "127.0.0.1", port: 9101 });
    expect(parseListen("0.0.0.0:1")).toEqual({ address: "0.0.0.0", port: 1 });
    expect(formatListen(parseListen("[::1]:65535"))).toBe("[::1]:65535");
  });

  test("everything else is refused", () => {
    const bad = ["", ":9101", "9101:", "0", "65536", "99999999999", "localhost:9101", "[]:1", "[1.2.3.4]:1"];
    for (const text of [...bad, "::1:9101", "1.2.3:80", "[fe80::1%lo]:1", "-1", "9101 ", "1.2.3.4:0", "a"]) {
      expect(() => parseListen(text)).toThrow(expect.objectContaining({ code: 2, value: text }));
    }
  });
});

describe("--output", () => {
  test("replaces a file in one step, readable for all; leaves nothing else", () => {
    const dir = mkdtempSync(join(tmpdir(), "tcpx-unit-"));
    try {
      const file = join(dir, "tcpx.prom");
      writeTextfile(file, "one\n");
      const first = lstatSync(file).ino;
      writeTextfile(file, "two\n");
      expect(readFileSync(file, "utf8")).toBe("two\n");
      expect(lstatSync(file).ino).not.toBe(first);
      expect(lstatSync(file).mode & 0o777).toBe(0o644);
      expect(readdirSync(dir)).toEqual(["tcpx.prom"]);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test("never a link, a device or a directory", () => {
    const dir = mkdtempSync(join(tmpdir(), "tcpx-unit-"));
    try {
      writeFileSync(join(dir, "real"), "kept\n");
      symlinkSync("real", join(dir, "link"));
      for (const path of [join(dir, "link"), "/dev/null", dir]) {
        expect(() => writeTextfile(path, "x")).toThrow(expect.objectContaining({ code: 2, value: path }));
      }
      expect(() => writeTextfile(join(dir, "no/x"), "x")).toThrow("its directory does not exist");
      expect(() => writeTextfile(join(dir, "real/x"), "x")).toThrow("its directory is none");
      expect(readFileSync(join(dir, "real"), "utf8")).toBe("kept\n");
      expect(readdirSync(dir).sort()).toEqual(["link", "real"]);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
