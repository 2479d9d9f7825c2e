// SPDX-License-Identifier: MIT
// What goes to stdout and stderr, and in which form.
import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import { TcpxError, usageError } from "../../cli/base/errors.ts";
import {
  eachChangeLine,
  labelOf,
  type RuleRow,
  ruleJson,
  ruleRows,
  scopeText,
  unitNameOf,
} from "../../cli/describe/rules.ts";
import { Io, type IoFlags, useColour } from "../../cli/output/io.ts";
import { table } from "../../cli/output/table.ts";
import { setRules, unsetRules } from "../../cli/policy/change.ts";
import type { Rule } from "../../cli/policy/rule.ts";
import { parseSelectors } from "../../cli/policy/selector.ts";
import { DEFAULT_SITE } from "../../cli/wire/site.ts";

const changeLines = (...args: Parameters<typeof eachChangeLine>) => [...eachChangeLine(...args)];
const ruleTable = (rows: RuleRow[], scopes = true) =>
  [...ruleRows(rows, HERE, DEFAULT_SITE, scopes)].join("").trimEnd();

const ANSI = "\x1b";
const HERE = { cookie: 2n ** 60n, inode: 4_026_531_840 };
const ENVIRONMENT = ["NO_COLOR", "TERM", "COLUMNS"] as const;

let written: { out: string; err: string };
let restore: (() => void)[] = [];

beforeEach(() => {
  written = { out: "", err: "" };
  const keep = (into: "out" | "err") => (text: unknown) => {
    written[into] += text;
    return true;
  };
  const spies = [
    spyOn(process.stdout, "write").mockImplementation(keep("out")),
    spyOn(process.stderr, "write").mockImplementation(keep("err")),
  ];
  const before = ENVIRONMENT.map((name) => [name, process.env[name]] as const);
  const tty = [process.stdout.isTTY, process.stderr.isTTY] as const;
  restore = [
    ...spies.map((spy) => () => spy.mockRestore()),
    ...before.map(([name, value]) => () => {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }),
    () => terminal(...tty),
  ];
  delete process.env.NO_COLOR;
  delete process.env.COLUMNS;
  process.env.TERM = "xterm";
  terminal(false, false);
});

afterEach(() => {
  for (const undo of restore) undo();
});

function terminal(out: boolean, err: boolean): void {
  process.stdout.isTTY = out;
  process.stderr.isTTY = err;
}

const io = (flags: Partial<IoFlags> = {}) => new Io({ json: false, quiet: false, verbose: false, ...flags });

/** What all three of print, json and the levels of messages leave on both streams. */
function everything(flags: Partial<IoFlags>): typeof written {
  const all = io(flags);
  all.print("text");
  all.json({ a: 1 });
  all.messages.error("error");
  all.messages.warn("warn");
  all.messages.info("info");
  all.messages.debug("debug");
  return written;
}

describe("Io", () => {
  test("results to stdout, messages to stderr", () => {
    expect(everything({})).toEqual({
      out: "text\n",
      err: "tcpx: error\ntcpx: warning: warn\ntcpx: info\n",
    });
  });

  test("--json prints the document and no text; messages stay on stderr", () => {
    const { out, err } = everything({ json: true });
    expect(out).toBe('{"schema":2,"a":1}\n');
    expect(err).toBe("tcpx: error\ntcpx: warning: warn\ntcpx: info\n");
  });

  test("--quiet prints errors only, but a document that was asked for", () => {
    expect(everything({ quiet: true })).toEqual({ out: "", err: "tcpx: error\n" });
    written = { out: "", err: "" };
    expect(everything({ quiet: true, json: true }).out).toBe('{"schema":2,"a":1}\n');
  });

  test("--verbose adds what is for debugging", () => {
    expect(everything({ verbose: true }).err).toContain("tcpx: debug\n");
  });

  test("nothing is printed for no text", () => {
    io().print("");
    expect(written.out).toBe("");
  });

  test("a 64-bit number is a string in JSON: JavaScript and jq would round it", () => {
    io({ json: true }).json({ cookie: HERE.cookie, list: [1n] });
    expect(JSON.parse(written.out)).toEqual({ schema: 2, cookie: "1152921504606846976", list: ["1"] });
  });

  test("a failure is one line, and one document with --json", () => {
    io({ json: true }).fail(usageError("--to 'x' is wrong", "x", "accepted is y"));
    expect(JSON.parse(written.out)).toEqual({
      schema: 2,
      error: { code: 2, what: "--to 'x' is wrong", value: "x", hint: "accepted is y" },
    });
    expect(written.err).toBe("tcpx: --to 'x' is wrong; accepted is y\n");
  });

  test("a failure without value and hint has them as null", () => {
    io({ json: true, quiet: true }).fail(new TcpxError(1, "it broke"));
    expect(JSON.parse(written.out)).toEqual({
      schema: 2,
      error: { code: 1, what: "it broke", value: null, hint: null },
    });
    expect(written.err).toBe("tcpx: it broke\n");
  });
});

describe("colour", () => {
  test("only on a terminal, and each stream for itself", () => {
    terminal(true, false);
    expect([useColour(process.stdout), useColour(process.stderr)]).toEqual([true, false]);
    expect(table(["A"], [["x"]])).toContain(ANSI);
    io().messages.error("e");
    expect(written.err).not.toContain(ANSI);
    terminal(false, true);
    expect(table(["A"], [["x"]])).not.toContain(ANSI);
    io().messages.error("e");
    expect(written.err).toContain(`${ANSI}[31mtcpx:${ANSI}[0m e\n`);
  });

  test("not with NO_COLOR, and not on a dumb terminal", () => {
    terminal(true, true);
    process.env.NO_COLOR = "1";
    expect(table(["A"], [["x"]])).not.toContain(ANSI);
    delete process.env.NO_COLOR;
    process.env.TERM = "dumb";
    everything({});
    expect(written.err).not.toContain(ANSI);
  });

  test("an empty NO_COLOR counts as unset (no-color.org)", () => {
    terminal(true, true);
    process.env.NO_COLOR = "";
    expect(useColour(process.stdout)).toBe(true);
  });
});

describe("table", () => {
  test("columns are aligned, two spaces apart, without blanks at the ends of lines", () => {
    const text = table(
      ["NAME", "N", "TEXT"],
      [
        ["a", 5, "x"],
        ["longer", 100, ""],
      ],
      [1],
    );
    expect(text).toBe("NAME      N  TEXT\na         5  x\nlonger  100");
  });

  test("no rows: the headings", () => {
    expect(table(["A", "B"], [])).toBe("A  B");
  });
});

describe("rules", () => {
  const rule = (to: string | undefined, more: Partial<Rule> = {}): Rule => {
    const plain = { ext: "uto", kind: "local", netns: null, none: false, force: false } as const;
    return { ...plain, selector: parseSelectors({ to })[0]!, value: [30_000, 0], ...more };
  };

  test("one line per change, with what was there", () => {
    const present = [rule("10.0.0.0/8", { netns: HERE }), rule("::1")];
    const wanted = [
      rule("10.0.0.0/8", { netns: HERE, value: [60_000, 0] }),
      rule("::1"),
      rule(undefined, { none: true }),
    ];
    expect(changeLines(setRules(present, wanted), { scope: "/", current: HERE, site: DEFAULT_SITE })).toEqual(
      [
        "+ uto local 1min --to 10.0.0.0/8, netns this (was 30s)",
        "+ uto local none all connections, netns all",
        "= uto local 30s --to ::1, netns all",
      ],
    );
    expect(
      changeLines(unsetRules(present, { ext: "uto", netns: null }), {
        scope: "/",
        current: null,
        site: DEFAULT_SITE,
      }),
    ).toEqual(["- uto local 30s --to 10.0.0.0/8, netns 4026531840", "- uto local 30s --to ::1, netns all"]);
    expect(
      changeLines(setRules([], [rule("::1")]), { scope: "/a.slice", current: null, site: DEFAULT_SITE }),
    ).toEqual(["+ uto local 30s --to ::1, cgroup /a.slice"]);
  });

  test("as JSON", () => {
    expect(ruleJson(rule("10.0.0.0/8", { netns: HERE, force: true }), DEFAULT_SITE)).toEqual({
      extension: "uto",
      kind: "local",
      direction: "to",
      address: "10.0.0.0/8",
      port: null,
      netns: 4_026_531_840,
      netns_cookie: 2n ** 60n,
      none: false,
      force: true,
      timeout_ms: 30_000,
    });
    expect(ruleJson(rule(undefined), DEFAULT_SITE)).toMatchObject({
      direction: "both",
      address: null,
      port: null,
      netns: null,
      netns_cookie: null,
    });
  });

  test("as a table, within 80 columns as long as the addresses are short", () => {
    const rows = [
      rule("10.0.0.0/8", { netns: HERE }),
      rule("192.0.2.7", { kind: "accept", value: [1, 2] }),
      rule("192.0.2.7"),
      rule("192.0.2.7"),
    ].map((rule, i) => ({
      scope: {
        name: ["/a", "/a/b", "/system.slice/nginx.service", "/system.slice/web.service"][i]!,
        alive: i % 2 === 0,
        visible: true,
        waiting: i === 3,
      },
      rule,
    }));
    const text = ruleTable(rows);
    expect(text).toBe(
      [
        "EXT  KIND    VALUE     SELECTOR         NETNS  SCOPE",
        "uto  local   30s       --to 10.0.0.0/8  this   /a",
        "uto  accept  1ms..2ms  --to 192.0.2.7   all    /a/b (gone)",
        "uto  local   30s       --to 192.0.2.7   all    nginx.service",
        "uto  local   30s       --to 192.0.2.7   all    web.service (waiting)",
      ].join("\n"),
    );
    expect(ruleTable(rows, false).split("\n")[0]).toBe("EXT  KIND    VALUE     SELECTOR         NETNS");
  });

  test("scopes that are not visible are marked, and no unit of ours is seen in their paths", () => {
    const scope = { name: "/system.slice/nginx.service", alive: true, visible: true, waiting: false };
    expect(scopeText(scope)).toBe("nginx.service");
    expect(scopeText({ ...scope, visible: false })).toBe("/system.slice/nginx.service (not visible)");
    const waits = { ...scope, alive: false, visible: false, waiting: true };
    expect(scopeText(waits)).toBe("/system.slice/nginx.service (not visible, waiting)");
    expect(scopeText({ ...waits, waiting: false })).toBe("/system.slice/nginx.service (gone)");
    expect(unitNameOf(scope)).toBe("nginx.service");
    expect(unitNameOf({ ...scope, visible: false })).toBeNull();
    const label = { ...scope, id: 7n };
    expect(labelOf(label)).toBe(scope.name);
    expect(labelOf({ ...label, visible: false })).toBe(`${scope.name} (id 7, not visible)`);
  });

  test("as a table whose selectors are long: a row is a line, and on a narrow terminal they stand below", () => {
    const long = "2001:db8:1111:2222:3333:4444:5555:6666";
    const rows = [rule(long, { netns: HERE }), rule("10.0.0.0/8")].map((rule) => ({
      scope: { name: "/system.slice/nginx.service", alive: true, visible: true, waiting: false },
      rule,
    }));
    expect(ruleTable(rows)).toBe(
      [
        "EXT  KIND   VALUE  SELECTOR                                     NETNS  SCOPE",
        `uto  local  30s    --to ${long}  this   nginx.service`,
        "uto  local  30s    --to 10.0.0.0/8                              all    nginx.service",
      ].join("\n"),
    );
    terminal(true, false);
    process.env.NO_COLOR = "1";
    expect(ruleTable(rows)).toBe(
      [
        "EXT  KIND   VALUE  NETNS  SCOPE",
        "    SELECTOR",
        "uto  local  30s    this   nginx.service",
        `    --to ${long}`,
        "uto  local  30s    all    nginx.service",
        "    --to 10.0.0.0/8",
      ].join("\n"),
    );
  });
});
