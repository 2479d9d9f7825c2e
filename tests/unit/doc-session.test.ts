// SPDX-License-Identifier: MIT
// Pages whose commands are run: what is a command, and when is its output what the page says.
import { expect, test } from "bun:test";
import { DocSession, says, stepsOf } from "../support/doc-session.ts";

test("steps are the commands of console blocks, with what stands below them", () => {
  const page = "# t\n```sh\n$ no\n```\n```console\n$ a\nx\ny\n$ b \\\n  c\nz\n```\n$ no\n";
  expect(stepsOf(page)).toEqual([
    { line: 6, command: "a", wanted: ["x", "y"] },
    { line: 9, command: "b \\\n  c", wanted: ["z"] },
  ]);
});

test("those of one section", () => {
  const block = (command: string) => `\`\`\`console\n$ ${command}\n# ${command}\n## x\n\`\`\`\n`;
  const page = `## a\n${block("one")}### b\n${block("two")}${block("three")}## c\n${block("four")}`;
  expect(stepsOf(page, "### b").map(({ command, wanted }) => [command, wanted.length])).toEqual([
    ["two", 2],
    ["three", 2],
  ]);
});

test.each([
  ["a\nb\n", ["a", "b"], true],
  ["a\nb", ["a", "b"], true],
  ["", [], true],
  ["a\n", [], false],
  ["a\nx\nb\n", ["a", "...", "b"], true],
  ["a\nb\n", ["a", "...", "b"], true],
  ["took 12 ms (ok)\n", ["took ... ms (ok)"], true],
  ["took 12 ms (OK)\n", ["took ... ms (ok)"], false],
  ["axb\n", ["a.b"], false],
  ["a\nb\n", ["a"], false],
])("%j and %j: %p", (said, wanted, is) => expect(says(said, wanted)).toBe(is));

test("one shell: what a command changes is there for the next one", async () => {
  await using session = new DocSession([], "/tmp", process.env.PATH!);
  expect(await session.run("x=5; cd /; echo out; echo err >&2; false")).toEqual({
    said: "out\nerr\n",
    code: 1,
  });
  expect(await session.run("cat; echo $x; pwd; echo \\\n  two")).toEqual({
    said: "5\n/\ntwo\n",
    code: 0,
  });
});
