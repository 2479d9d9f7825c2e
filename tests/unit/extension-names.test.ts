// SPDX-License-Identifier: MIT
// `bun run check` finds an extension's name where it does not belong, and nowhere else.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { extensions } from "../../cli/extensions/index.ts";
import { extensionsIn, nameProblems, REGISTRY } from "../../scripts/lib/extension-names.ts";

const ROOT = join(import.meta.dir, "../..");
const registry = await Bun.file(join(ROOT, REGISTRY)).text();

const found = (path: string, text: string) =>
  nameProblems(
    new Map([
      [REGISTRY, registry],
      [path, text],
    ]),
  );

test("the names are those of the registry", () => {
  expect([...extensionsIn(registry).values()].sort()).toEqual(extensions.map(({ name }) => name).sort());
});

test("a registry that cannot be read is an error, and not an empty list", () => {
  expect(() => nameProblems(new Map([[REGISTRY, "export const extensions = all();"]]))).toThrow("no list");
});

describe.each(extensions.map(({ name }) => name))("%s is found", (name) => {
  const id = [...extensionsIn(registry)].find(([, file]) => file === name)![0];
  const planted = [
    `if (rule.ext === "${name}") return;`,
    `const other = '${name}';`,
    `const text = \`${name}\`;`,
    `import { x } from "../extensions/${name}.ts";`,
    `import { x } from "../extensions/${name}-rule.ts";`,
    `const { x } = await import("../wire/${name}.ts");`,
    `const table = { ${id}: 3 };`,
    `interface Said { ${id}?: number }`,
    `const value = said.${id};`,
    `const value = said?.${id}.x; // with a word behind it`,
    `const text = \`\${list.${id}(at)}\`;`,
  ];
  test.each(planted)("in %s", (code) => {
    const problems = found("cli/commands/planted.ts", code);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toStartWith(`cli/commands/planted.ts names ${name}: `);
  });

  test("not in its own files, but in those of others", () => {
    for (const path of [`cli/extensions/${name}.ts`, `cli/extensions/${name}-more.ts`, `cli/wire/${name}.ts`])
      expect(found(path, planted.join("\n"))).toEqual([]);
    for (const path of [
      `cli/extensions/${name}more.ts`,
      `cli/commands/${name}.ts`,
      "cli/extensions/place.ts",
    ])
      expect(found(path, planted.join("\n"))).toHaveLength(planted.length);
  });

  test("not in what is for people, nor in comments", () => {
    const prose = [
      `// "${name}" and .${id}`,
      `/** As \`${name}\`: { ${id}: 1 } */`,
      `const example = ["tcpx ${name} set 1", "what ${name} does"];`,
      `const text = "[[scope.${id}]] with \`${name}\`";`,
      `const words = \`tcpx ${name} set\`;`,
    ];
    expect(found("cli/commands/planted.ts", prose.join("\n"))).toEqual([]);
  });
});

test("numbers and identifiers of extensions are found; how many there are may be asked", () => {
  const code = "counters[Ext.UTO]; Ext.COUNT; list.ext; requestHex(Exid.CC_ASK, 1); Object.entries(Exid);";
  expect(found("cli/observe/x.ts", code)).toEqual([
    "cli/observe/x.ts names Ext.UTO",
    "cli/observe/x.ts names Exid.CC_ASK",
  ]);
  expect(found("cli/extensions/uto.ts", code)).toEqual([]);
  expect(found("cli/layout.generated.ts", code)).toEqual([]);
});
