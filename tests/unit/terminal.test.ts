// SPDX-License-Identifier: MIT
// All that tcpx prints goes through cli/output, which makes it safe for a terminal.
import { afterEach, beforeEach, expect, spyOn, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { TcpxError, usageError } from "../../cli/base/errors.ts";
import { Io } from "../../cli/output/io.ts";
import { Progress } from "../../cli/output/progress.ts";
import { table } from "../../cli/output/table.ts";

const ROOT = join(import.meta.dir, "..", "..");
const EVIL = "a\x1b[31mb\x9b2J\u202ec\x7f\u2066";
const SHOWN = "a\\x1b[31mb\\u009b2J\\u202ec\\x7f\\u2066";
const UNSAFE = /[^\n\P{Cc}]|\p{Cf}/u;

let out: string[];
let err: string[];
let restore: (() => void)[];

beforeEach(() => {
  [out, err] = [[], []];
  const keep = (into: string[]) => (text: unknown, done?: unknown) => {
    into.push(String(text));
    if (typeof done === "function") done();
    return true;
  };
  const spies = [
    spyOn(process.stdout, "write").mockImplementation(keep(out)),
    spyOn(process.stderr, "write").mockImplementation(keep(err)),
  ];
  restore = spies.map((spy) => () => spy.mockRestore());
});

afterEach(() => {
  for (const undo of restore) undo();
});

const io = (flags = {}) => new Io({ json: false, quiet: false, verbose: true, ...flags });

test("text, tables, pages, parts and messages of every level", async () => {
  const own = io();
  own.print(`x ${EVIL}\ny`);
  own.print(table(["NAME", EVIL], [[EVIL, 1]]));
  own.page(EVIL);
  await own.parts([EVIL, "\n", EVIL]);
  for (const level of ["error", "warn", "info", "debug"] as const) own.messages[level](EVIL);
  own.trace(new Error(EVIL));
  const all = [...out, ...err].join("");
  expect(all).not.toMatch(UNSAFE);
  expect(all.split(SHOWN)).toHaveLength(12);
});

test("the line of what takes long", () => {
  const before = process.stderr.isTTY;
  const now = spyOn(performance, "now").mockReturnValueOnce(0);
  try {
    process.stderr.isTTY = true;
    const progress = new Progress(io());
    now.mockReturnValue(5000);
    progress.step(() => EVIL);
    expect(err).toEqual([`\r\x1b[K${SHOWN}`]);
  } finally {
    process.stderr.isTTY = before;
    now.mockRestore();
  }
});

test("documents are the same, without such characters", async () => {
  const own = io({ json: true });
  own.json({ name: EVIL });
  await own.parts([`${JSON.stringify({ name: EVIL })}\n`]);
  expect(out.join("")).not.toMatch(UNSAFE);
  expect(out.map((text) => JSON.parse(text).name)).toEqual([EVIL, EVIL]);
});

test("columns stand under each other by what is shown", () => {
  const names = [EVIL, "日本語", "\u{1f469}\u{1f3fd}\u200d\u{1f680}", "plain"];
  const lines = table(
    ["NAME", "N"],
    names.map((name) => [name, "7"]),
  ).split("\n");
  const places = lines.slice(1).map((line) => Bun.stringWidth(line.slice(0, line.lastIndexOf("7"))));
  expect(places).toEqual(names.map(() => SHOWN.length + 2));
});

test("a message has at most 1000 characters; its end stays, and the document has all of it", () => {
  const value = `v${"x".repeat(100_000)}v`;
  io({ json: true, verbose: false }).fail(usageError(`--to '${value}' is wrong`, value, "accepted is y"));
  expect(err.join("")).toMatch(/^tcpx: --to 'vx+ \.\.\. x+v' is wrong; accepted is y\n$/);
  expect(err.join("")).toHaveLength(1001);
  expect(JSON.parse(out.join("")).error.value).toBe(value);
  // after escaping, which makes it longer
  io({ verbose: false }).fail(new TcpxError(1, "\x1b".repeat(900)));
  expect(err.at(-1)).toHaveLength(1001);
});

test("with --verbose a message cannot look like the lines that follow it", () => {
  io().trace(new Error("a\n    at home\ntcpx: done"));
  const [first, second] = err.join("").split("\n");
  expect(first).toBe("tcpx: Error: a\\x0a    at home\\x0atcpx: done");
  expect(second).toMatch(/^ {4}at /);
});

test("nothing else in cli/ writes to stdout or stderr", async () => {
  const direct =
    /(?<!this\.)\bprocess\s*(?:\.\s*|\[\W)(?:stdout|stderr)\b|\{[^}]*\bstd(?:out|err)\b[^}]*\}\s*=\s*process\b|\bconsole\s*[.[]|\bBun\.(?:stdout|stderr)\b|\bwrite(?:File)?(?:Sync)?\(\s*[12]\b|\/dev\/(?:stdout|stderr|tty|fd)\b|\/proc\/self\/fd\/[12]\b|\btcpx_write_now\b|\bfrom "consola/;
  const allowed = /^cli\/(?:output\/|bridge\/ffi\.ts$)/;
  const writers: string[] = [];
  for await (const file of new Bun.Glob("cli/**/*.ts").scan(ROOT)) {
    if (direct.test(readFileSync(join(ROOT, file), "utf8"))) writers.push(file);
  }
  expect(writers.filter((file) => !allowed.test(file))).toEqual([]);
  expect(writers.sort()).toContain("cli/output/io.ts"); // it finds what there is
});

test("whatever a callback throws is one line, without the runtime's page", async () => {
  for (const stray of ["setTimeout(() => { throw error })", "Promise.reject(error)"]) {
    // the executable's own entry, with a callback beside it
    const script = `process.argv = ["", "", "completion", "bash", "--quiet"];
      await import(${JSON.stringify(join(ROOT, "cli/main.ts"))});
      const error = new Error(${JSON.stringify(`${EVIL}\n2`)}); ${stray}; setInterval(() => {}, 1000);`;
    const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "pipe" });
    const [said, text, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    expect([said, text, code]).toEqual(["", `tcpx: ${SHOWN}\\x0a2\n`, 1]);
  }
});
