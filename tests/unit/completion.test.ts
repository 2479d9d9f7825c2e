// SPDX-License-Identifier: MIT
// Completions: that all of the table is in the scripts, and what real shells make of them.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { answer } from "../../cli/completion/answer.ts";
import { offered as offer } from "../../cli/completion/offer.ts";
import { commandTree, nodesOf } from "../../cli/completion/tree.ts";
import { ALGORITHMS } from "../../cli/wire/site.ts";
import { asked } from "../support/completing.ts";
import { describeIf, shellRequirement } from "../support/requires.ts";
import { offered, type Shell, scriptFor } from "../support/shells.ts";

const MAIN = join(import.meta.dir, "..", "..", "cli", "main.ts");
const COMPLETING = join(import.meta.dir, "..", "support", "completing.ts");
const SHELLS: Shell[] = ["bash", "zsh", "fish"];

const root = await commandTree(asked.table);
const nodes = nodesOf(root);

const PROGRAMS = {
  sudo: 'exec "$@"',
  tcpx: `[ "$1" = internal-complete ] && exec '${process.execPath}' '${COMPLETING}' "$@"; echo started >&2; exit 1`,
  systemctl: `printf '%b\\n' ${[
    "nginx.service loaded active running web",
    "ssh.service loaded active running ssh",
    "fsck@a\\\\x2db.service loaded",
    "d$(touch${IFS}EXECUTED).service loaded",
    "x\\033[31m.service loaded",
  ]
    .map((line) => `'${line}'`)
    .join(" ")}`,
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
  ["tcpx help ", root.next.map(({ path }) => path[0]!)],
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
  ["tcpx launch --unit d", /^d\\?\$\\?\(touch\\?\$\\?\{IFS\\?\}EXECUTED\\?\)\.service$/],
  ["tcpx launch --unit x", []], // it could not be seen
  [`tcpx launch --pid ${process.pid}`, RegExp(`^${process.pid}$`)],
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

test("every command and every flag is offered, with its description", async () => {
  for (const { path, next, flags, runs } of nodes) {
    const given = await offer(path, "-", asked);
    const wanted = flags.flatMap(({ name, short, description: text }) =>
      [name, ...short].map((word) => ({ word, text })),
    );
    expect(given.words.slice(0, runs ? -1 : undefined)).toEqual(wanted);
    expect(given.head + (given.files ?? "") + (given.program ?? "")).toBe("");
    if (next.length === 0) continue;
    const below = next.map(({ path, title }) => ({ word: path.at(-1)!, text: title }));
    expect((await offer(path, "", asked)).words).toEqual(below);
  }
});

/** What a script asks, and the answer. */
const ANSWERS: [request: string[], answer: string[]][] = [
  [["bash", "tcpx 'ver", "tcpx", "'ver"], ["w version"]],
  [
    ["bash", 'tcpx --json u"to" s', "tcpx", "--json", 'u"to"', "s"],
    ["w set", "w show"],
  ],
  [["bash", "tcpx status --cgroup a\\ b ver", "tcpx", "status", "--cgroup", "a\\ b", "ver"], []],
  // as bash-completion has it behind sudo
  [
    ["bash", " tcpx iw s", "tcpx", "iw", "s"],
    ["w set", "w show"],
  ],
  [["bash", "tcpx launch --mode=fa", "tcpx", "launch", "--mode", "=", "fa"], ["w fast"]],
  [
    ["bash", "tcpx launch --mode=", "tcpx", "launch", "--mode", "="],
    ["w fast", "w slow"],
  ],
  [["bash", "tcpx launch --mode=fa", "tcpx", "launch", "--mode=fa"], ["w --mode=fast"]],
  [["bash", "tcpx launch --mode=s -- l", "tcpx", "launch", "--mode", "=", "s", "--", "l"], ["c 6"]],
  [["bash", "tcpx launch --file=x/y", "tcpx", "launch", "--file", "=", "x/y"], ["f x/y"]],
  [["zsh", "", "launch", "--mode", "x", "ls"], ["c 5"]],
  [["fish", "", "launch", "--mode", "x", "ls"], ["c 4"]],
  [
    ["fish", "--mode=", "launch"],
    ["h --mode=", "w fast", "t How", "w slow", "t How"],
  ],
  [["fish", "", "launch", "--file"], ["f"]],
  // of no command, and with line breaks in them
  [["fish", "", "__proto__"], []],
  [["fish", "--__proto__=", "status"], []],
  [["bash", "tcpx launch --file 'a\nc 1", "tcpx", "launch", "--file", "'a\nc 1"], []],
  // scripts of before and of later
  [["plain", "cgroup", "/", "status", "--cgroup"], []],
  [["raw", "to", "", "uto", "unset"], []],
  [["nu", "", "status"], []],
  [[], []],
];

test("members of a list are offered once, and nothing that ends a line", async () => {
  const lines = await answer(["zsh", "bbr,cu", "cc-request", "accept"], asked);
  expect(lines.slice(0, 1)).toEqual(["h bbr,"]);
  expect(lines.map((line) => line.replace(/:.*/, ""))).not.toContain("w bbr");
  expect(lines.map((line) => line.replace(/:.*/, ""))).not.toContain("w none");
  const strange = await answer(["zsh", "a\nw b,cu", "cc-request", "accept"], asked);
  expect(strange).toEqual((await answer(["zsh", "a,", "cc-request", "accept"], asked)).slice(1));
});

test.each(ANSWERS)("%j is answered", async (request, wanted) => {
  expect(await answer(request, asked)).toEqual(wanted);
});

describe.each(SHELLS.map((shell) => ({ shell })))("the script for $shell", ({ shell }) => {
  const text = scriptFor(shell);

  test("starts tcpx for what may stand there, and names no other internal command", () => {
    expect(text.match(/internal-\w+/g)).toEqual(["internal-complete"]);
  });

  test("is what the command prints", async () => {
    const child = Bun.spawn([process.execPath, MAIN, "completion", shell], { stdout: "pipe" });
    expect(await child.stdout.text()).toBe(text);
  });

  const need = shellRequirement(shell);
  describeIf(need.ok, need.reason)("in the shell itself", () => {
    test("leaves out what a newer tcpx may say", async () => {
      const said = ["x new", `w sta${shell === "zsh" ? ":text" : ""}`, "t text", "", "y", "! 1"];
      const tcpx = `printf '%s\\n' ${said.map((line) => `'${line}'`).join(" ")}; echo trouble >&2; exit 3`;
      expect(await offered(shell, text, ["tcpx sta"], { tcpx })).toEqual([["sta"]]);
    });

    test("is silent where tcpx is not there, or fails", async () => {
      expect(await offered(shell, text, ["tcpx s"], { tcpx: "echo trouble >&2; exit 3" })).toEqual([[]]);
      expect(await offered(shell, text, ["/nonexistent/tcpx s"], { tcpx: "exit 3" })).toEqual([[]]);
    });

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
    expect(await offered("zsh", scriptFor("zsh"), ["sudo tcpx iw s"], PROGRAMS)).toEqual([["set", "show"]]);
  });
});

describeIf(fish.ok, fish.reason)("fish", () => {
  test("behind sudo, and behind an assignment", async () => {
    const lines = ["sudo tcpx iw s", "A=1 tcpx iw s", "/opt/bin/tcpx iw s"];
    for (const words of await offered("fish", scriptFor("fish"), lines, PROGRAMS)) {
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
    expect(JSON.parse(out)).toMatchObject({ schema: 2, shell: "fish", script: scriptFor("fish") });
  });

  test("the help has the line for each shell's startup file", async () => {
    const { out } = await tcpx("--help");
    const text = out.replace(/\s+/g, " ");
    expect(text).toMatch(/~\/\.bashrc `source <\(tcpx completion bash\)`/);
    expect(text).toMatch(/~\/\.zshrc, after compinit, `source <\(tcpx completion zsh\)`/);
    expect(text).toMatch(/config\.fish `tcpx completion fish \| source`/);
  });
});
