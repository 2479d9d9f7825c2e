// SPDX-License-Identifier: MIT
// The reader of test reports, on reports as Bun 1.4.5 writes them.
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { count, parseJunit } from "../../scripts/lib/junit.ts";

function report(numbers: string, body: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="bun test" ${numbers}>${body}</testsuites>\n`;
}

const ONE = '<testsuite name="a" file="a"><testcase name="t" classname="" file="a" /></testsuite>';

test("groups, outcomes and files are read", () => {
  const xml = report(
    'tests="4" failures="1" skipped="2"',
    `<testsuite name="tests/unit/a.test.ts" file="tests/unit/a.test.ts" tests="3">
      <testsuite name="outer" file="tests/unit/a.test.ts">
        <testsuite name="inner" file="tests/unit/a.test.ts">
          <testcase name="bad" classname="inner &gt; outer" file="tests/unit/a.test.ts">
            <failure type="AssertionError" message="expect(received)&#10;">AssertionError&#10;</failure>
          </testcase>
        </testsuite>
        <testcase name="later" classname="outer" file="tests/unit/a.test.ts"><skipped message="TODO" /></testcase>
      </testsuite>
      <testcase name="good" classname="" time="0." file="tests/unit/a.test.ts" assertions="1" />
    </testsuite>
    <testsuite name="tests/unit/b.test.ts" file="tests/unit/b.test.ts" tests="1">
      <testcase name="no [needs: root]" classname="" file="tests/unit/b.test.ts">
        <skipped />
      </testcase>
    </testsuite>`,
  );
  const cases = parseJunit(xml);
  expect(cases).toContainEqual({
    file: "tests/unit/a.test.ts",
    name: "outer > inner > bad",
    outcome: "failed",
    why: "AssertionError",
  });
  expect(cases).toContainEqual({ file: "tests/unit/a.test.ts", name: "outer > later", outcome: "skipped" });
  expect(cases).toContainEqual({ file: "tests/unit/a.test.ts", name: "good", outcome: "passed" });
  expect(cases).toContainEqual({
    file: "tests/unit/b.test.ts",
    name: "no [needs: root]",
    outcome: "skipped",
  });
  expect(count(cases)).toEqual({ passed: 1, failed: 1, skipped: 2 });
});

test("an <error> is a failure", () => {
  const body = '<testsuite name="a"><testcase name="t" file="a"><error message="x" /></testcase></testsuite>';
  expect(parseJunit(report('tests="1" failures="1" skipped="0"', body))[0]).toMatchObject({
    outcome: "failed",
    why: "x",
  });
});

test("names are unescaped once, and stay text", () => {
  for (const [written, name] of [
    ["a &lt;b&gt; &amp; &quot;c&quot; &apos;d&apos;", "a <b> & \"c\" 'd'"],
    ["&amp;gt;", "&gt;"],
    ["1&#10;2", "1\n2"],
    ["0010", "0010"],
    ["true", "true"],
    ["__proto__", "__proto__"],
    [" spaces ", " spaces "],
    ["", ""],
  ] as const) {
    const body = `<testsuite name="f"><testcase name="${written}" file="f" /></testsuite>`;
    expect(parseJunit(report('tests="1" failures="0" skipped="0"', body))[0]?.name).toBe(name);
  }
});

test("a report of no tests is read as that", () => {
  expect(parseJunit(report('tests="0" failures="0" skipped="0"', ""))).toEqual([]);
});

test("a report that says more than it holds is refused", () => {
  expect(() => parseJunit(report('tests="2" failures="0" skipped="0"', ONE))).toThrow("holds 1 tests");
  expect(() => parseJunit(report('tests="1" failures="1" skipped="0"', ONE))).toThrow(
    "says 1 tests, 1 failures",
  );
  expect(() => parseJunit(report('tests="1" failures="0" skipped="1"', ONE))).toThrow();
  expect(() => parseJunit(report("", ONE))).toThrow();
});

test("what is no whole report is refused", () => {
  const whole = report('tests="1" failures="0" skipped="0"', ONE);
  expect(parseJunit(whole)).toHaveLength(1);
  for (const text of ["", "bun: killed", "<html></html>", whole.slice(0, -20), whole.slice(0, 60)]) {
    expect(() => parseJunit(text)).toThrow();
  }
});

test("thousands of tests with escaped names are no problem", () => {
  const test = '<testcase name="&gt;&gt;&gt;&amp;&amp;&#10;" file="f"><skipped /></testcase>';
  const body = `<testsuite name="f">${test.repeat(20_000)}</testsuite>`;
  expect(count(parseJunit(report('tests="20000" failures="0" skipped="20000"', body))).skipped).toBe(20_000);
});

test("this Bun writes what the reader expects", async () => {
  const dir = mkdtempSync(join(tmpdir(), "tcpx-junit-"));
  try {
    const source = `import { beforeAll, describe, expect, test } from "bun:test";
      describe("a & <b>", () => { describe("in", () => { test("x > \\"y\\"", () => {}); }); });
      describe.skip("not [needs: root]", () => { test("one", () => {}); test("two", () => {}); });
      test("bad", () => { expect(1).toBe(2); });
      test("slow", () => Bun.sleep(2_000), 1);
      describe("hooks", () => { beforeAll(() => { throw new Error("no"); }); test("z", () => {}); });`;
    writeFileSync(join(dir, "x.test.ts"), source);
    const flags = ["--reporter=junit", `--reporter-outfile=${dir}/report.xml`];
    const child = Bun.spawn([process.execPath, "test", ...flags, "./x.test.ts"], {
      cwd: dir,
      stdout: "ignore",
      stderr: "ignore",
    });
    expect(await child.exited).toBe(1);
    const cases = parseJunit(readFileSync(join(dir, "report.xml"), "utf8"));
    expect(cases.every((test) => test.file === "x.test.ts")).toBe(true);
    expect(cases.map((test) => test.name)).toContain('a & <b> > in > x > "y"');
    expect(cases.map((test) => test.name)).toContain("not [needs: root] > two");
    expect(count(cases)).toEqual({ passed: 1, failed: 3, skipped: 2 });
    const why = (name: string) => cases.find((test) => test.name === name)?.why;
    expect(why("bad")).toMatch(/Expected: 2\nReceived: 1\n.*x\.test\.ts:4/s);
    expect(why("slow")).toBe("test timed out");
  } finally {
    rmSync(dir, { recursive: true });
  }
});
