// SPDX-License-Identifier: MIT
// docs/json.md itself: whole, and of one mind. Whether it is true is told wherever a test looks at a document.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { commands, extensionCommands, findCommand } from "../../cli/commands/index.ts";
import { SCHEMA } from "../../cli/output/io.ts";
import { JsonPage, page, plainType } from "../support/json-page.ts";

const TEXT = readFileSync(join(import.meta.dir, "..", "..", "docs", "json.md"), "utf8");

test("every command has a section", async () => {
  const names: string[] = [];
  const ofExtensions = await extensionCommands();
  for (const name of Object.keys({ ...ofExtensions, ...commands })) {
    const command = (await findCommand(name))!;
    if (command.kind === "leaf") names.push(`tcpx ${name}`);
    else
      for (const verb of Object.keys(command.commands))
        names.push(`tcpx ${name in ofExtensions ? "EXT" : name} ${verb}`);
  }

  expect(names.filter((name) => !page.commands.includes(name))).toEqual([]);
});

test("the number is the one that documents begin with", () => {
  expect(TEXT).toContain(`begins with \`schema\`, the number ${SCHEMA}. `);
});

test("a name has one type, wherever it stands", () => {
  const types = new Map<string, Map<string, string>>();
  for (const { path, type, section } of page.fields) {
    const name = path.replaceAll("[]", "").split(".").at(-1)!;
    const found = types.get(name) ?? new Map<string, string>();
    types.set(name, found.set(plainType(type), `${section}: ${path}`));
  }
  const several = [...types].filter(([, found]) => found.size > 1);
  expect(several.map(([name, found]) => `${name}: ${JSON.stringify(Object.fromEntries(found))}`)).toEqual([]);
  expect(types.size).toBeGreaterThan(150);
});

test("every type is known, and every unit stands where a name has one", () => {
  for (const { section, path, type } of page.fields) {
    const part = type.replace(/^(?:(?:array|map) of )+/, "").replace(/ or null$/, "");
    const known = /^(string|number|boolean|object|any)$/.test(part) || TEXT.includes(`\n### ${part}\n`);
    expect([section, path, known]).toEqual([section, path, true]);
  }
  for (const line of TEXT.split("\n").filter((text) => /^\| `[^`]*_(ms|us)\??`/.test(text))) {
    const [, name = "", , unit] = line.split("|").map((cell) => cell.trim());
    expect([line, unit]).toEqual([line, /_(ms|us)\??`$/.exec(name)![1]!]);
  }
});

describe("what a document can have wrong", () => {
  const small = new JsonPage(
    [
      "### `tcpx EXT show`",
      "| `rules` | array of Rule | | |",
      "| `more?` | object or null | | |",
      "| `more.count` | number | | |",
      "### `tcpx status`",
      "| `names` | map of map of number | | |",
      "## Errors",
      "| `error` | object | | |",
      "| `error.what` | string | | |",
      "### Rule",
      "| `kind` | string | | |",
      "| `port?` | number or null | | |",
    ].join("\n"),
  );
  const wrong = (document: object, ...args: string[]) =>
    small.problems(args.length > 0 ? args : ["uto", "show"], { schema: 2, ...document });

  test("nothing, when all is as the page has it", () => {
    expect(wrong({ rules: [] })).toEqual([]);
    expect(wrong({ rules: [{ kind: "ask" }, { kind: "ask", port: null }], more: null })).toEqual([]);
    expect(wrong({ rules: [], more: { count: 1 } }, "iw", "show", "--cgroup", "/x")).toEqual([]);
    expect(wrong({ names: { a: { b: 1 } } }, "status")).toEqual([]);
    expect(wrong({ error: { what: "x" } }, "no", "such", "command")).toEqual([]);
  });

  test("a field that the page lacks, whose path and command are named", () => {
    const command = "in the document of `tcpx uto show`";
    expect(wrong({ rules: [{ kind: "ask", new_one: [1] }] })).toEqual([
      `docs/json.md lacks rules[].new_one (array of number), ${command}`,
    ]);
    expect(wrong({ rules: [], more: { count: 1, deep: {} } })).toEqual([
      `docs/json.md lacks more.deep (object), ${command}`,
    ]);
  });

  test("another type than the page says, null where it cannot be, and a field that is missing", () => {
    for (const document of [
      { rules: {} },
      { rules: null },
      { rules: ["ask"] },
      { rules: [{ kind: 1 }] },
      { rules: [{ kind: null }] },
      { rules: [{ kind: "ask", port: "443" }] },
      { rules: [{}] },
      {},
      { rules: [], more: [] },
      { rules: [], more: {} },
    ]) {
      expect([document, wrong(document).length]).toEqual([document, 1]);
    }
    expect(wrong({ names: { a: { b: "1" } } }, "status")).toEqual([
      "docs/json.md says that names.a.b is number, and it is string, in the document of `tcpx status`",
    ]);
    expect(small.problems(["uto", "show"], { rules: [] })).toHaveLength(1); // no schema
    expect(wrong({}, "unknown")).toEqual(["docs/json.md has no section of tcpx unknown"]);
  });
});
