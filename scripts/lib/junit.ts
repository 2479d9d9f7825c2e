// SPDX-License-Identifier: MIT
// The JUnit report of `bun test`, read back: what really ran, whatever the runner's exit code says.

import { XMLParser } from "fast-xml-parser";

export type Outcome = "passed" | "failed" | "skipped";

export interface TestCase {
  /** Relative to where the tests were started. */
  file: string;
  /** With the names of the groups around it: "group > test". */
  name: string;
  outcome: Outcome;
  /** Of a failed one: what was expected and where, or the message alone, as the runner says it. */
  why?: string;
}

export type Counts = Record<Outcome, number>;

/** An element without attributes and children is its text. */
type XmlFailure = string | { message?: string; "#text"?: string };

interface XmlCase {
  name: string;
  file: string;
  failure?: XmlFailure;
  error?: XmlFailure;
  skipped?: unknown;
}

interface XmlSuite {
  name: string;
  testsuite?: XmlSuite[];
  testcase?: XmlCase[];
}

interface XmlReport {
  testsuites?: { tests?: string; failures?: string; skipped?: string; testsuite?: XmlSuite[] };
}

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: "",
  parseAttributeValue: false,
  parseTagValue: false,
  trimValues: false,
  htmlEntities: true, // or &#10; stays as it is
  isArray: (tag) => tag === "testsuite" || tag === "testcase",
});

function outcome(test: XmlCase): Pick<TestCase, "outcome" | "why"> {
  const failure = test.failure ?? test.error;
  if (failure === undefined) return { outcome: test.skipped === undefined ? "passed" : "skipped" };
  const text = typeof failure === "string" ? failure : failure["#text"]?.trim() || failure.message;
  return { outcome: "failed", why: (text ?? "").trim() };
}

/** The suite of a file holds those of its groups; a test's own `classname` has them in the wrong order. */
function casesOf(suite: XmlSuite, groups: readonly string[]): TestCase[] {
  const own = (suite.testcase ?? []).map((test) => ({
    file: test.file,
    name: [...groups, test.name].join(" > "),
    ...outcome(test),
  }));
  const inner = (suite.testsuite ?? []).flatMap((group) => casesOf(group, [...groups, group.name]));
  return [...own, ...inner];
}

export function count(cases: readonly TestCase[]): Counts {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { outcome } of cases) counts[outcome]++;
  return counts;
}

/** All tests of a report; throws when it is no report, or does not hold what it says it holds. */
export function parseJunit(xml: string): TestCase[] {
  const root = (parser.parse(xml, true) as XmlReport).testsuites;
  if (root === undefined) throw new Error("not a JUnit report");
  const cases = (root.testsuite ?? []).flatMap((file) => casesOf(file, []));
  const { failed, skipped } = count(cases);
  const found = `${cases.length} tests, ${failed} failures, ${skipped} skipped`;
  const said = `${root.tests} tests, ${root.failures} failures, ${root.skipped} skipped`;
  if (found !== said) throw new Error(`the report holds ${found}, and says ${said}`);
  return cases;
}
