// SPDX-License-Identifier: MIT
// The manual page: complete, and without complaints of those who set it.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Exit } from "../../cli/base/errors.ts";
import { version } from "../../cli/base/version.ts";
import { allCommands } from "../../cli/commands/index.ts";
import { manPage } from "../../cli/completion/man.ts";
import { EXIT_CODES } from "../../cli/completion/program.ts";
import { commandTree, nodesOf } from "../../cli/completion/tree.ts";
import { describeIf, manRequirement } from "../support/requires.ts";

const MAIN = join(import.meta.dir, "..", "..", "cli", "main.ts");
const tree = await commandTree(await allCommands());
const page = manPage(tree, version);

async function pipe(argv: string[], text: string): Promise<{ out: string; err: string }> {
  const child = Bun.spawn(argv, {
    stdin: Buffer.from(text),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, LC_ALL: "C.UTF-8" },
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { out, err };
}

test("tcpx internal-man prints it, for install.sh", async () => {
  const child = Bun.spawn([process.execPath, MAIN, "internal-man"], { stdout: "pipe" });
  expect((await child.stdout.text()) === page).toBe(true);
});

test("every exit code has its meaning", () => {
  expect(Object.values(Exit).sort()).toEqual(EXIT_CODES.map((_, code) => code) as never);
});

describeIf(manRequirement.ok, manRequirement.reason)("for groff and mandoc", () => {
  const set = pipe(["groff", "-man", "-ww", "-Tutf8", "-P-cbu", "-rLL=400n", "-rHY=0"], page);

  test("groff has no warning", async () => {
    expect((await set).err).toBe("");
  });

  test("mandoc has none, but for the date, which would change with every build", async () => {
    const { out, err } = await pipe(["mandoc", "-T", "lint"], page);
    const complaints = `${out}${err}`.split("\n").filter((line) => line && !/missing date/.test(line));
    expect(complaints).toEqual([]);
  });

  describe("has", () => {
    const text = async () => (await set).out.replace(/\s+/g, " ");

    test("the sections", async () => {
      const { out } = await set;
      const titles = out.match(/^[A-Z][A-Z ]+$/gm);
      expect(titles?.join()).toBe(
        "NAME,SYNOPSIS,DESCRIPTION,COMMANDS,GLOBAL FLAGS,EXIT STATUS,FILES,ENVIRONMENT,EXAMPLES,SEE ALSO",
      );
    });

    test("every command, flag, description, note and example, as they are in the help", async () => {
      const shown = await text();
      const wanted = nodesOf(tree).flatMap((node) => [
        ["tcpx", ...node.path].join(" "),
        ...(node === tree ? [] : [node.summary]),
        ...node.flags.filter((flag) => flag.name !== "--version").map((flag) => flag.name),
        ...node.flags.filter((flag) => flag.name !== "--version").map((flag) => flag.description),
        ...node.places.map((place) => place.description),
        ...(node === tree ? [] : node.notes),
        ...node.examples.flat(),
      ]);
      const missing = wanted.filter((part) => !shown.includes(part.replace(/`/g, "").replace(/\s+/g, " ")));
      expect([...new Set(missing)]).toEqual([]);
    });

    test("where things are, and what the environment changes", async () => {
      for (const word of ["/sys/fs/bpf/tcpx", "/run/tcpx", "NO_COLOR", "ss(8)", `tcpx ${version}`]) {
        expect(await text()).toContain(word);
      }
    });
  });
});
