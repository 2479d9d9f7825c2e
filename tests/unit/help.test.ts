// SPDX-License-Identifier: MIT
// Every help page and every example in it.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Example } from "../../cli/base/args.ts";
import { checkArguments } from "../../cli/base/args.ts";
import { commands, extensionCommands, findCommand } from "../../cli/commands/index.ts";
import type { Leaf } from "../../cli/commands/types.ts";
import { extensions } from "../../cli/extensions/index.ts";

const MAIN = join(import.meta.dir, "..", "..", "cli", "main.ts");

async function help(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = Bun.spawn([process.execPath, MAIN, ...words, "--help"], {
    env: { ...process.env, NO_COLOR: undefined, FORCE_COLOR: "1" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, out, err };
}

interface Page {
  words: string[];
  leaf?: Leaf;
  examples: readonly Example[];
}

/** All of them, by the tables that the dispatcher uses. */
async function pages(): Promise<Page[]> {
  const found: Page[] = [{ words: [], examples: [] }];
  for (const name of Object.keys({ ...(await extensionCommands()), ...commands })) {
    const command = (await findCommand(name))!;
    if (command.kind === "leaf") found.push({ words: [name], leaf: command, examples: command.examples });
    else {
      found.push({ words: [name], examples: command.examples });
      for (const [verb, leaf] of Object.entries(command.commands)) {
        found.push({ words: [name, verb], leaf, examples: leaf.examples });
      }
    }
  }
  return found;
}

/** The words of the tcpx command in a shell line, without pipes and redirections. */
function wordsOf(line: string): string[] {
  const [command = ""] = line.split(/ [|>;&]/);
  const [first, ...words] = [...command.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, plain]) => single ?? double ?? plain!,
  );
  expect(first).toMatch(/^(sudo|tcpx)$/);
  return first === "sudo" ? words.slice(1) : words;
}

/** Parses an example as the dispatcher would. */
async function checkExample(line: string): Promise<void> {
  const [name = "", ...words] = wordsOf(line);
  const command = await findCommand(name);
  expect(command, line).toBeDefined();
  const leaf = command?.kind === "group" ? command.commands[words.shift()!] : command;
  expect(leaf, line).toBeDefined();
  checkArguments(words, (leaf as Leaf).args, line);
}

const all = await pages();
const texts = await Promise.all(all.map(async ({ words }) => ({ words, ...(await help(...words)) })));

describe.each(texts.map((text) => ({ name: ["tcpx", ...text.words].join(" "), ...text })))(
  "$name",
  (page) => {
    const lines = page.out.split("\n");

    test("help is a success on stdout", () => {
      expect([page.code, page.err]).toEqual([0, ""]);
      expect(page.out).toContain(`Usage: ${page.name}`);
      expect(page.out.endsWith("\n")).toBe(true);
    });

    test("says what it does, first", () => {
      expect(lines[0]!.trim()).not.toBe("");
    });

    test("has examples, and says what each does", () => {
      const at = lines.indexOf("Examples:");
      expect(at).toBeGreaterThan(0);
      expect(lines[at + 1]).toMatch(/^ {2}(sudo )?tcpx /);
      expect(lines[at + 2]).toMatch(/^ {6}\S/);
    });

    test("every example in the page parses", async () => {
      const examples = lines.filter((line) => /^ {2}(sudo )?tcpx /.test(line)).map((line) => line.trim());
      for (const line of examples) await checkExample(line);
    });

    test("fits into 80 columns, without blanks at the ends of lines", () => {
      for (const line of lines) {
        expect(line.length, line).toBeLessThanOrEqual(80);
        expect(line).toBe(line.trimEnd());
      }
    });

    test("no colour in a pipe, whatever FORCE_COLOR says", () => {
      expect(page.out).not.toContain("\x1b");
    });
  },
);

describe.each(
  all.flatMap(({ words, leaf }) => (leaf ? [{ name: ["tcpx", ...words].join(" "), leaf, words }] : [])),
)("$name", ({ words, leaf }) => {
  test("every argument is described", () => {
    const page = texts.find((text) => text.words.join() === words.join())!.out;
    for (const [name, def] of Object.entries(leaf.args)) {
      const negative = def.type === "boolean" ? def.negativeDescription : undefined;
      expect(def.description || negative, name).toBeTruthy();
      if (def.type !== "positional") expect(page).toMatch(new RegExp(`--(no-)?${name}\\b`));
    }
  });

  test("takes the flags that every command takes", () => {
    for (const flag of ["json", "quiet", "verbose", "help"]) expect(Object.keys(leaf.args)).toContain(flag);
  });

  test("names no file that the user, who has one executable, does not have", () => {
    expect(texts.find((text) => text.words.join() === words.join())!.out).not.toMatch(/\bdocs\//);
  });
});

describe("what a page must say", () => {
  const page = (name: string) => {
    const found = texts.find(({ words }) => words.join(" ") === name);
    expect(found, name).toBeDefined();
    return found!.out.replace(/\s+/g, " ");
  };

  test("every extension has its pages, and is named in the first one", () => {
    for (const { name: ext, verbs } of extensions) {
      expect(page("")).toContain(` ${ext} `);
      for (const verb of [...Object.keys(verbs), "show", "unset"]) {
        expect(page(`${ext} ${verb}`)).toContain(`Usage: tcpx ${ext} ${verb}`);
        expect(page(ext)).toContain(` ${verb} `);
      }
    }
  });

  test("cc-request: modules are loaded by the command, and never by a request", () => {
    expect(page("cc-request accept")).toMatch(/modules are loaded now, never by a request/);
    expect(page("cc-request accept")).toContain("and no others");
  });

  test("cc-request and iw: which experiment it is, and what none and --local do", () => {
    for (const [ext, exid] of [
      ["cc-request", "0x7CC0"],
      ["iw", "0x7C10"],
    ] as const) {
      for (const verb of ["set", "accept"]) {
        expect(page(`${ext} ${verb}`)).toContain(`RFC 6994 experiment ${exid}`);
        expect(page(`${ext} ${verb}`)).toMatch(/none exempts the selector|Exempts the selector/);
      }
      expect(page(`${ext} set`)).toMatch(/--local [^-]*asking nobody/);
      expect(page(`${ext} unset`)).toContain("[ask|local|accept]");
    }
  });

  test("iw: the range, and that --max is needed", () => {
    expect(page("iw set")).toContain("1 to 1024");
    expect(page("iw accept")).toMatch(/--max SEGMENTS The largest window to grant, 1 to 1024/);
  });

  test("ack: ranges, what the kernel must have, the agent, and TARR", () => {
    expect(page("ack set")).toMatch(/--every N Segments per ACK: 1 at once, 2 to 255 .*\(Linux >= 5\.15\)/);
    expect(page("ack set")).toMatch(/1ms to 200ms, or the connection's RTT by K \(1 to 255\)/);
    expect(page("ack set")).toMatch(/2 ticks at the least .* When the agent ends/);
    expect(page("ack request")).toMatch(/--every N .* to 255; with --tarr to 127/);
    expect(page("ack accept")).toMatch(/--max-every N .*default 255.*--max-delay D .*default 200ms/);
    for (const verb of ["set", "request", "accept"]) {
      expect(page(`ack ${verb}`)).toContain(`Usage: tcpx ack ${verb} [none]`);
      expect(page(`ack ${verb}`)).toContain("RFC 6994 experiment 0x7CA0");
    }
  });

  test("ack: the three settings of the paper are one command each", () => {
    const lines = [
      "ack set --every 1 ",
      "ack set --every 10 --delay rtt/4 ",
      "ack set --every 100 --delay rtt/2 --min-acks-per-rtt 0 ",
    ];
    for (const line of lines) expect(page("ack")).toContain(`tcpx ${line}`);
  });

  // the shared flags stand in every page, and here one of them is an error
  test.each([
    ["cc-request set", "--from"],
    ["cc-request accept", "--to"],
    ["iw set", "--from"],
    ["iw accept", "--to"],
  ])("%s offers %s only with a word about when it is an error", (name, flag) => {
    const text = page(name).replace(/ Examples: .*?(?=Longest prefix)/, " ");
    const [, ...mentions] = text.split(`${flag} CIDR,...`);
    expect(mentions.length === 0 || text.replace(`${flag} CIDR,...`, "").includes(flag)).toBe(true);
  });
});

test("a missing word is named as in the usage line", () => {
  for (const { words, leaf } of all) {
    const line = /Usage: (.*)/.exec(texts.find((text) => text.words.join() === words.join())!.out)![1]!;
    const required = Object.values(leaf?.args ?? {}).some(
      (def) => def.type === "positional" && def.required !== false,
    );
    if (!leaf || !required) continue;
    try {
      checkArguments([], leaf.args, "x");
      expect.unreachable(line);
    } catch (error) {
      const [name = ""] = (error as Error).message.split(" is missing");
      expect(line.split(" ")).toContain(name);
    }
  }
});

test("examples that are not in a page of their own parse, too", async () => {
  for (const { examples } of all) for (const [line] of examples) await checkExample(line);
});
