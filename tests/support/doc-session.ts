// SPDX-License-Identifier: MIT
// A page of docs/ as its reader goes through it: the commands of its ```console blocks, in order, in one shell, and what
// the page says that they print.

export interface Step {
  /** Of the page. */
  line: number;
  command: string;
  /** What is printed. "..." stands for any text; alone on a line, for any lines. */
  wanted: string[];
}

/**
 * The steps of a page; those in the language of another block are for the eye alone.
 * @param heading of the section that they are in, to the next heading; all when left out
 */
export function stepsOf(page: string, heading?: string): Step[] {
  const steps: Step[] = [];
  let isConsole = false;
  let isBlock = false;
  let isHere = heading === undefined;
  for (const [i, text] of page.split("\n").entries()) {
    if (text.startsWith("```")) isBlock = !isBlock;
    if (!isBlock && heading !== undefined && /^##+ /.test(text)) isHere = text === heading;
    if (!isHere) continue;
    if (text.startsWith("```")) {
      isConsole = text === "```console";
    } else if (isConsole && text.startsWith("$ ")) {
      steps.push({ line: i + 1, command: text.slice(2), wanted: [] });
    } else if (isConsole) {
      const step = steps.at(-1);
      if (!step) throw new Error(`line ${i + 1}: output without a command`);
      if (step.wanted.length === 0 && step.command.endsWith("\\")) step.command += `\n${text}`;
      else step.wanted.push(text);
    }
  }
  return steps;
}

const line = (text: string) => text.split("...").map(RegExp.escape).join(".*");

/** Does it say what the page says? Blanks at the ends of lines are nobody's business. */
export function says(said: string, wanted: readonly string[]): boolean {
  const source = wanted.map((text) =>
    text.trim() === "..." ? "(?:.*\n)*?" : `${line(text.trimEnd())}[ \r]*\n`,
  );
  return new RegExp(`^${source.join("")}$`).test(said === "" || said.endsWith("\n") ? said : `${said}\n`);
}

const END = "\x01";

export class DocSession implements AsyncDisposable {
  private readonly shell: Bun.Subprocess<"pipe", "pipe", "inherit">;
  private readonly said: AsyncIterator<Uint8Array>;
  private rest = "";

  /** @param wrap what runs the command behind it where the reader is */
  constructor(wrap: readonly string[], dir: string, path: string) {
    const env = { PATH: path, HOME: dir, TERM: "dumb", LC_ALL: "C.UTF-8" };
    this.shell = Bun.spawn([...wrap, "bash", "--norc", "--noprofile"], {
      ...{ cwd: dir, env, stdin: "pipe", stdout: "pipe", stderr: "inherit" },
    });
    this.said = this.shell.stdout[Symbol.asyncIterator]();
    this.send(`cd '${dir}'`);
  }

  private send(text: string): void {
    this.shell.stdin.write(`${text}\n`);
    this.shell.stdin.flush();
  }

  /** A command's output, and its exit code. */
  async run(command: string): Promise<{ said: string; code: number }> {
    this.send(`{ ${command}\n} </dev/null 2>&1; printf '${END}%d${END}' $?`);
    for (;;) {
      const [, said, code, rest] = new RegExp(`^([^${END}]*)${END}(\\d+)${END}([^]*)$`).exec(this.rest) ?? [];
      if (said !== undefined) {
        this.rest = rest!;
        return { said, code: Number(code) };
      }
      const { value, done } = await this.said.next();
      if (done) throw new Error(`the shell has ended: ${this.rest}`);
      this.rest += new TextDecoder().decode(value);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shell.stdin.end();
    const late = setTimeout(() => this.shell.kill("SIGKILL"), 2000);
    await this.shell.exited;
    clearTimeout(late);
  }
}
