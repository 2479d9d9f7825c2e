// SPDX-License-Identifier: MIT
// A copy of the tree with some of embedded-bpf/samples/built-in/ in it, put there as CONTRIBUTING teaches, and built.
import { existsSync } from "node:fs";
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { run } from "../../scripts/lib/run.ts";

const ROOT = resolve(import.meta.dir, "../..");
const SAMPLES = "embedded-bpf/samples/built-in";
/** The registries, each with a line in the sample that is to stand there. */
export const REGISTRIES = ["embedded-bpf/extensions.def", "cli/extensions/registry.ts"] as const;

/** What is there of the checkout, tracked or not. */
async function listed(root: string): Promise<string[]> {
  const out = await run(["git", "-C", root, "ls-files", "-z", "-co", "--exclude-standard", "--deduplicate"]);
  return out.split("\0").filter(Boolean);
}

/** The line of a registry that a sample's file names in its comment. */
function lineFor(registry: string, texts: readonly string[]): string {
  const after = `In ${registry}: `;
  const lines = texts.flatMap((text) => text.split("\n")).filter((line) => line.includes(after));
  if (lines.length !== 1) throw new Error(`${lines.length} lines of the sample say what is in ${registry}`);
  return lines[0]!.slice(lines[0]!.indexOf(after) + after.length);
}

/** In C it comes first: its place there is that of the highest priority, and nothing else. */
async function register(path: string, line: string): Promise<void> {
  const lines = (await readFile(path, "utf8")).split("\n");
  const isLine = (text: string) => /^(TCPX_EXTENSION|export \{)/.test(text);
  const at = lines.findIndex((other) => isLine(other) && (path.endsWith(".def") || !(other < line)));
  await writeFile(path, lines.toSpliced(at, 0, line).join("\n"));
}

export class SampleTree implements AsyncDisposable {
  private constructor(
    readonly dir: string,
    /** Where the sample's own files are in the copy, sorted. */
    readonly own: readonly string[],
  ) {}

  /** @param names of folders in embedded-bpf/samples/built-in/ */
  static async create(parent: string, ...names: string[]): Promise<SampleTree> {
    const dir = await mkdtemp(join(parent, "sample-"));
    const paths = (await listed(ROOT)).filter((path) => existsSync(join(ROOT, path))); // a removed one is listed, too
    for (const path of paths) await cp(join(ROOT, path), join(dir, path));
    await symlink(join(ROOT, "node_modules"), join(dir, "node_modules"));
    await run(["git", "-C", dir, "init", "-q"]);
    await run(["git", "-C", dir, "add", "-A"]);
    const own: string[] = [];
    for (const name of names) {
      const files = await readdir(join(dir, SAMPLES, name));
      const texts = await Promise.all(files.map((file) => readFile(join(dir, SAMPLES, name, file), "utf8")));
      for (const [i, file] of files.entries()) {
        const path = `${file.endsWith(".ts") ? "cli/extensions" : "embedded-bpf/ext"}/${file}`;
        await writeFile(join(dir, path), texts[i]!);
        own.push(path);
      }
      for (const registry of REGISTRIES) await register(join(dir, registry), lineFor(registry, texts));
    }
    return new SampleTree(dir, own.sort());
  }

  get program(): string {
    return join(this.dir, "dist/tcpx");
  }

  /** A command in the copy; its output with its exit code, since some are to fail. */
  async run(...argv: string[]): Promise<{ code: number; text: string }> {
    const child = Bun.spawn(argv, { cwd: this.dir, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { code, text: `${out}${err}` };
  }

  async build(): Promise<void> {
    const { code, text } = await this.run(process.execPath, "scripts/build.ts");
    if (code !== 0) throw new Error(text);
  }

  /** Files that are others than before: "M path" of changed ones, "A path" of new ones; sorted by path. */
  async changes(): Promise<string[]> {
    await run(["git", "-C", this.dir, "add", "-A", "-N"]);
    const out = await run(["git", "-C", this.dir, "diff", "--name-status", "--no-renames"]);
    return out
      .trim()
      .split("\n")
      .map((line) => line.replace("\t", " "))
      .sort((a, b) => (a.slice(2) < b.slice(2) ? -1 : 1));
  }

  /** Lines that a file has got, and those that it has lost. */
  async lines(path: string): Promise<{ added: number; removed: number }> {
    const out = await run(["git", "-C", this.dir, "diff", "--numstat", "--", path]);
    const [added, removed] = out.split("\t").map(Number);
    return { added: added!, removed: removed! };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }
}
