// SPDX-License-Identifier: MIT
// Completions: that all of the table is in the scripts, and what real shells make of them.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { scopeArgs } from "../../cli/base/args.ts";
import { leaf } from "../../cli/commands/types.ts";
import { bashScript } from "../../cli/completion/bash.ts";
import { fishScript } from "../../cli/completion/fish.ts";
import { commandNode, commandTree, type Node, nodesOf, spellings } from "../../cli/completion/tree.ts";
import { zshScript } from "../../cli/completion/zsh.ts";
import { ALGORITHMS } from "../../cli/wire/site.ts";
import { describeIf, shellRequirement } from "../support/requires.ts";
import { offered, type Shell } from "../support/shells.ts";

const MAIN = join(import.meta.dir, "..", "..", "cli", "main.ts");
const SCRIPTS: Record<Shell, (root: Node) => string> = { bash: bashScript, zsh: zshScript, fish: fishScript };
const SHELLS = Object.keys(SCRIPTS) as Shell[];

/** A command as others may add it: its hints alone say what completes. */
const launch = leaf({
  summary: "Run a command.",
  args: {
    command: { type: "positional", required: false, valueHint: "COMMAND...", description: "What to run" },
    near: { type: "string", valueHint: "UNIT", description: "It's a [systemd] unit: one" },
    cc: { type: "string", valueHint: "ALGORITHM", description: '100% $HOME `id` \\ "q"' },
    mode: { type: "enum", options: ["fast", "slow"], description: "How" },
    file: { type: "string", valueHint: "FILE", description: "A file" },
    ...scopeArgs,
  },
  examples: [["tcpx launch --cc bbr -- ls", "Runs ls"]],
  run: async () => 0,
});

const real = await commandTree();
const root: Node = { ...real, next: [...real.next, commandNode("launch", "Run a command", launch)] };
const nodes = nodesOf(root);

const PROGRAMS = {
  sudo: 'exec "$@"',
  tcpx: `[ "$1" = internal-complete ] && exec '${process.execPath}' '${MAIN}' "$@"; echo started >&2; exit 1`,
  systemctl:
    "printf '%s\\n' 'nginx.service loaded active running web' 'ssh.service loaded active running ssh' 'fsck@a\\x2db.service loaded'",
  ps: "echo '    1'; echo '  234'",
};

const LAUNCH_FLAGS = ["--cc", "--cgroup", "--file", "--mode", "--near", "--pid", "--unit", "--user"];

/** Lines that end at the cursor, and what is offered there; a RegExp must fit the only word. */
const CASES: [line: string, words: readonly string[] | RegExp][] = [
  ["tcpx ", root.next.map(({ path }) => path[0]!)],
  ["tcpx ver", ["version"]],
  ["tcpx --json do", ["doctor"]],
  ["tcpx --v", ["--verbose", "--version"]],
  ["tcpx uto ", ["accept", "set", "show", "unset"]],
  ["tcpx --json uto -q se", ["set"]],
  ["tcpx bogus ", []],
  ["tcpx uto bogus ", []],
  ["tcpx internal-", []],
  ["tcpx uto set ", ["none"]],
  ["tcpx uto set 30s --t", ["--to"]],
  ["tcpx uto set 30s --to ::1 --t", []],
  ["tcpx uto set 30s --to=::1 --t", []],
  ["tcpx uto set 30s --to 10.0.0.0/8 --po", ["--port"]],
  ["tcpx uto set 30s --to ", []],
  ["tcpx uto set 30s --to fe80::", []],
  ["tcpx uto set --to fe80:: ", ["none"]],
  ["tcpx uto set --port ", []],
  ["tcpx uto set --to none ", ["none"]],
  ["tcpx uto set --no-", ["--no-advertise", "--no-wait"]],
  ["tcpx uto set --no-advertise --no", ["--no-wait"]],
  ["tcpx uto set --advertise --no", ["--no-wait"]],
  ["tcpx uto set 30s --wai", /^--wait=?$/],
  ["tcpx uto set 30s --wait=30s --wai", []],
  ["tcpx uto unset --wait l", ["local"]],
  ["tcpx uto unset --wait=30s l", ["local"]],
  ["tcpx uto set -q --qu", []],
  ["tcpx --quiet uto set --qu", []],
  ["tcpx uto accept ", ["none"]],
  ["tcpx uto unset ", ["accept", "ask", "local"]],
  ["tcpx uto unset l", ["local"]],
  ["tcpx uto unset --al", ["--all", "--all-netns"]],
  ["tcpx uto unset --all --al", ["--all-netns"]],
  ["tcpx cc-request set bb", ["bbr"]],
  ["tcpx cc-request set ", [...ALGORITHMS, "none"]],
  ["tcpx cc-request accept bbr,cu", /^(bbr,)?cubic$/],
  ["tcpx cc-request accept bbr,n", /^(bbr,)?nv$/],
  ["tcpx completion ", ["bash", "fish", "zsh"]],
  ["tcpx sho", ["show"]],
  ["tcpx show --al", []],
  ["tcpx show --pi", ["--pid"]],
  ["tcpx help ", real.next.map(({ path }) => path[0]!)],
  ["tcpx help uto ", ["accept", "set", "show", "unset"]],
  ["tcpx help uto set ", []],
  ["tcpx help status ", []],
  ["tcpx help --q", ["--quiet"]],
  ["tcpx status --cgroup /sys/fs/cg", /^(\/sys\/fs\/)?cgroup\/?$/],
  ["tcpx status --cgroup=/sys/fs/cg", /^(--cgroup=)?(\/sys\/fs\/)?cgroup\/?$/],
  ["tcpx connections --state es", ["established"]],
  ["tcpx connections --state established,syn-r", /^(established,)?syn-recv$/],
  ["tcpx uto unset --to ", []],
  ["tcpx launch --unit n", ["nginx.service"]],
  ["tcpx launch --unit f", /^fsck@a\\{1,2}x2db\.service$/], // bash inserts it as it is
  ["tcpx launch --unit s", ["ssh.service"]],
  ["tcpx launch --pid 2", ["234"]],
  ["tcpx launch --cc cu", ["cubic"]],
  ["tcpx launch --mode ", ["fast", "slow"]],
  ["tcpx launch --file /etc/passw", /^(\/etc\/)?passwd$/],
  ["tcpx launch --mode fast --unit x --file y --", LAUNCH_FLAGS.filter((f) => !/mode|unit|file/.test(f))],
  ["tcpx launch --cc bbr -- ls /etc/passw", /^(\/etc\/)?passwd$/],
  ["tcpx launch --cc bbr -- systemct", ["systemctl"]],
];

/** What is about fuzziness or taste of one shell, and no mistake. */
function comparable(shell: Shell, line: string, words: string[]): string[] {
  const typed = line.slice(line.lastIndexOf(" ") + 1);
  return words
    .filter((word) => word !== "--") // offered before another program's words
    .filter((word) => shell !== "fish" || word.startsWith(typed))
    .filter((word) => !/passwd-$/.test(word));
}

describe.each(SHELLS.map((shell) => ({ shell })))("the script for $shell", ({ shell }) => {
  const text = SCRIPTS[shell](root);

  test("has every command and every flag, and each description but in bash", () => {
    const plain = text.replace(/'\\''/g, "'").replaceAll("\\", "");
    const missing = nodes.flatMap((node) => {
      const names = node.flags.flatMap(spellings);
      const texts = shell === "bash" ? [] : node.flags.map((flag) => flag.description.replaceAll("\\", ""));
      return [`'${node.path.join(" ")}'`, ...names, ...texts].filter((part) => !plain.includes(part));
    });
    expect(missing).toEqual([]);
  });

  test("starts tcpx for what only it knows, and names no other internal command", () => {
    expect(text.match(/internal-\w+/g)).toEqual(["internal-complete"]);
  });

  test("is what the command prints, without the table of this test", async () => {
    const child = Bun.spawn([process.execPath, MAIN, "completion", shell], { stdout: "pipe" });
    expect((await child.stdout.text()) === SCRIPTS[shell](real)).toBe(true);
  });

  const need = shellRequirement(shell);
  describeIf(need.ok, need.reason)("in the shell itself", () => {
    let answers: Promise<string[][]> | undefined;
    const ask = () => {
      answers ??= offered(
        shell,
        text,
        CASES.map(([line]) => line),
        PROGRAMS,
      );
      return answers;
    };

    test.each(CASES.map(([line, words], i) => ({ line, words, i })))("$line", async ({ line, words, i }) => {
      const got = comparable(shell, line, (await ask())[i]!);
      if (words instanceof RegExp) {
        expect(got).toHaveLength(1);
        expect(got[0]).toMatch(words);
      } else expect(got).toEqual([...words].sort());
    });
  });
});

const [zsh, fish] = [shellRequirement("zsh"), shellRequirement("fish")];

describeIf(zsh.ok, zsh.reason)("zsh", () => {
  test("behind sudo", async () => {
    expect(await offered("zsh", zshScript(real), ["sudo tcpx iw s"], PROGRAMS)).toEqual([["set", "show"]]);
  });
});

describeIf(fish.ok, fish.reason)("fish", () => {
  test("behind sudo, and behind an assignment", async () => {
    const lines = ["sudo tcpx iw s", "A=1 tcpx iw s", "/opt/bin/tcpx iw s"];
    for (const words of await offered("fish", fishScript(real), lines, PROGRAMS)) {
      expect(words.filter((word) => /^s/.test(word))).toEqual(["set", "show"]);
    }
  });
});

test("bash itself, at a terminal", async () => {
  let screen = "";
  const child = Bun.spawn(["bash", "--norc", "--noprofile", "-i"], {
    env: { PATH: process.env.PATH, PS1: "READY>", TERM: "dumb", HISTFILE: "" },
    terminal: {
      cols: 200,
      rows: 50,
      data(_, data) {
        screen += new TextDecoder().decode(data);
      },
    },
  });
  const shows = async (text: string) => {
    for (let i = 0; i < 400 && !screen.includes(text); i++) await Bun.sleep(25);
    expect(screen).toContain(text);
  };
  try {
    await shows("READY>");
    const tcpx = `'${process.execPath}' '${MAIN}'`;
    child.terminal!.write(`tcpx() { ${tcpx} "$@"; }; source <(tcpx completion bash); echo SOURC""ED\r`);
    await shows("SOURCED");
    child.terminal!.write("tcpx cc-req\tacc\tbbr,cu\t--cgroup=/sys/fs/cgr\t");
    await shows("tcpx cc-request accept bbr,cubic --cgroup=/sys/fs/cgroup");
  } finally {
    child.kill("SIGKILL");
    await child.exited;
    child.terminal!.close();
  }
});

describe("the command", () => {
  const tcpx = async (...words: string[]) => {
    const child = Bun.spawn([process.execPath, MAIN, "completion", ...words], {
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { out, err, code };
  };

  test("another shell is an error that names those that there are", async () => {
    expect(await tcpx("tcsh")).toEqual({
      code: 2,
      out: "",
      err: "tcpx: SHELL 'tcsh' is not known; accepted is bash, zsh, fish\n",
    });
    expect((await tcpx("toString")).code).toBe(2);
    expect((await tcpx()).code).toBe(2);
  });

  test("--json", async () => {
    const { out, code } = await tcpx("fish", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ schema: 2, shell: "fish", script: fishScript(real) });
  });

  test("the help has the line for each shell's startup file", async () => {
    const { out } = await tcpx("--help");
    const text = out.replace(/\s+/g, " ");
    expect(text).toMatch(/~\/\.bashrc `source <\(tcpx completion bash\)`/);
    expect(text).toMatch(/~\/\.zshrc, after compinit, `source <\(tcpx completion zsh\)`/);
    expect(text).toMatch(/config\.fish `tcpx completion fish \| source`/);
  });
});
