// SPDX-License-Identifier: MIT
// What completes of this host: cgroups, whose names others choose, and selectors of rules that are there.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupMount, Lab } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement, shellRequirement, testIf } from "../support/requires.ts";
import { offered, type Shell, scriptFor } from "../support/shells.ts";
import { tcpxPath } from "../support/tcpx.ts";

const SHELLS: Shell[] = ["bash", "zsh", "fish"];

/** Each begins with a letter of its own. */
const HOSTILE = [
  "a b",
  "b$(touch EXECUTED)",
  "c`touch EXECUTED`",
  "d'quote",
  'e"quote',
  "f:colon:two",
  "g=equals",
  "h\\back",
  "i;touch EXECUTED",
  "j*",
  "k~",
  "l{1,2}",
  "m#x",
  "n!x",
  "o[1]",
  "pünï",
  "q$HOME",
  "r--",
  "s|x",
  "t&x",
];
/** These could not be seen; the kernel takes no line breaks. */
const OMITTED = ["x2\ttab", "x3\x1b[31m", "x4\u202ebidi"];

describeIf(labRequirement.ok, labRequirement.reason)("completion of what this host has", () => {
  let lab: Lab;
  let host: PrivateHost;
  let box: string;
  let below: string;

  beforeAll(async () => {
    lab = await Lab.create();
    host = await PrivateHost.create(lab);
    box = lab.cgroup("box");
    below = box.slice(cgroupMount().length);
    for (const name of [...HOSTILE, ...OMITTED]) mkdirSync(join(box, name));
  });
  afterAll(async () => {
    for (const name of [...HOSTILE, ...OMITTED]) rmdirSync(join(box, name));
    await lab[Symbol.asyncDispose]();
  });

  /** What is offered behind these words, the last of which is at the cursor. */
  const complete = async (...words: string[]) => {
    const done = await host.ok(["internal-complete", "--", "fish", words.at(-1)!, ...words.slice(0, -1)]);
    expect(done.stderr).toBe("");
    return done.stdout.split("\n").flatMap((line) => (/^[wp] /.test(line) ? [line.slice(2)] : []));
  };
  const cgroups = (typed: string) => complete("status", "--cgroup", typed);

  describe("cgroups", () => {
    test("by their paths below the mount, and with it", async () => {
      expect(await cgroups(`${below}/a`)).toEqual([`${below}/a b`]);
      expect(await cgroups(`${box}/a`)).toEqual([`${box}/a b`]);
      expect(await cgroups(below)).toContain(below);
      expect(await cgroups(below.slice(1))).toContain(below.slice(1));
      expect(await cgroups(cgroupMount().slice(0, -1))).toContain(cgroupMount());
      expect(await cgroups("")).toContain(`/${cgroupMount().split("/")[1]}`);
      const all = await cgroups(`${below}/`);
      expect(all).toEqual(HOSTILE.map((name) => `${below}/${name}`).sort());
    });

    test("nothing for what is none", async () => {
      for (const typed of ["/etc/", "/nonexistent/", `${below}/../`, `${box}/a b/x`, "-", `${below}/x`]) {
        expect(await cgroups(typed)).toEqual([]);
      }
    });

    test("a few of many", async () => {
      const many = lab.cgroup("many");
      const names = Array.from({ length: 300 }, (_, i) => join(many, `n${i}`));
      for (const name of names) mkdirSync(name);
      expect(await cgroups(`${many}/`)).toHaveLength(200);
      for (const name of names) rmdirSync(name);
    });

    describe.each(SHELLS.map((shell) => ({ shell })))("in $shell", ({ shell }) => {
      const need = shellRequirement(shell);
      describeIf(need.ok, need.reason)("itself", () => {
        test("every name is inserted such that tcpx gets it, and nothing is carried out", async () => {
          const got = await typed(
            shell,
            lab,
            HOSTILE.map((name) => `tcpx status --cgroup ${below}/${name[0]}`),
          );
          expect(got).toEqual(HOSTILE.map((name) => ["status", "--cgroup", `${below}/${name}`]));
          expect(existsSync(join(lab.dir, shell, "EXECUTED"))).toBe(false);
        }, 60_000);

        test("in a directory that is gone, for a user without privileges", async () => {
          const user = "setpriv --reuid 65534 --regid 65534 --clear-groups";
          const program = `mkdir gone; cd gone; rmdir ../gone; exec ${user} ${tcpxPath()} "$@"`;
          const lines = [`tcpx status --cgroup ${below}/b`, "tcpx uto se", "tcpx uto unset --port "];
          const got = await offered(shell, scriptFor(shell), lines, { tcpx: program });
          expect(got.map((words) => words.length)).toEqual([1, 1, 0]);
          expect(got[1]).toEqual(["set"]);
        }, 30_000);

        test("behind =, on the way, and in quotes that are open", async () => {
          const got = await typed(shell, lab, [
            `tcpx status --cgroup=${below}/a`,
            `tcpx status --cgroup=${box}/f:co`,
            `tcpx status --cgroup ${box.slice(0, -1)}`,
            `tcpx status --cgroup "${below}/b`,
            `tcpx status --cgroup '${below}/c`,
          ]);
          expect(got.map((words) => words.join(" ").replace(/\/$/, ""))).toEqual([
            `status --cgroup=${below}/a b`,
            `status --cgroup=${box}/f:colon:two`,
            `status --cgroup ${box}`,
            `status --cgroup ${below}/b$(touch EXECUTED)`,
            `status --cgroup ${below}/c\`touch EXECUTED\``,
          ]);
          expect(existsSync(join(lab.dir, shell, "EXECUTED"))).toBe(false);
        }, 60_000);
      });
    });
  });

  describe("rules", () => {
    beforeAll(async () => {
      const set = (words: string) => host.ok([...words.split(" "), "--cgroup", box]);
      await set("uto set 30s --to 10.0.0.0/8,fd00::/8,10.0.0.0,192.0.2.7");
      await set("uto accept --from 198.51.100.0/24 --port 5432");
      await set("uto set 20s --port 80,443,8080");
      await set("iw set 20 --to 203.0.113.0/24");
    });
    const CASES: [what: string, typed: string, line: string, words: string[]][] = [
      ["to", "", "uto unset", ["10.0.0.0/8", "fd00::/8", "10.0.0.0/32", "192.0.2.7"]],
      ["to", "10", "uto unset", ["10.0.0.0/8", "10.0.0.0/32"]],
      [
        "to",
        "10.0.0.0/8,",
        "uto unset",
        ["10.0.0.0/8,fd00::/8", "10.0.0.0/8,10.0.0.0/32", "10.0.0.0/8,192.0.2.7"],
      ],
      ["to", "", "iw unset", ["203.0.113.0/24"]],
      ["to", "", "ack unset", []],
      ["to", "", "uto unset accept", []],
      ["from", "", "uto unset", ["198.51.100.0/24"]],
      ["from", "", "uto unset accept --port 5432", ["198.51.100.0/24"]],
      ["from", "", "uto unset --port 80", []],
      ["port", "", "uto unset", ["5432", "80", "443", "8080"]],
      ["port", "80", "uto unset", ["80", "8080"]],
      ["port", "80,", "uto unset", ["80,5432", "80,443", "80,8080"]],
      ["port", "", "uto unset --from 198.51.100.0/24", ["5432"]],
      ["port", "", "-q uto unset --dry-run", ["5432", "80", "443", "8080"]],
      ["port", "", "nonsense unset", []],
    ];
    test.each(CASES)("%s '%s' behind %s", async (what, typed, line, words) => {
      const got = await complete(...line.split(" "), "--cgroup", box, `--${what}`, typed);
      expect(got.sort()).toEqual(words.sort());
    });

    test("only of the scope that the line names", async () => {
      expect(await complete("uto", "unset", "--port", "")).toEqual([]);
      expect(await complete("uto", "unset", "--cgroup", "/none", "--port", "")).toEqual([]);
      expect(await complete("uto", "unset", `--cgroup=${box}`, "--port", "")).toHaveLength(4);
    });

    test("without permission nothing, silently", async () => {
      const wrap = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
      const words = ["internal-complete", "--", "fish", "", "uto", "unset", "--cgroup", box, "--port"];
      expect(await host.tcpx(words, { wrap })).toMatchObject({ code: 0, stdout: "", stderr: "" });
    });

    for (const shell of SHELLS) {
      const need = shellRequirement(shell);
      testIf(need.ok, need.reason)(
        `in ${shell} itself`,
        async () => {
          const lines = [
            `tcpx uto unset --cgroup ${box} --to fd`,
            `tcpx uto unset --cgroup ${box} --to fd00:`,
            `tcpx uto unset --cgroup ${box} --to=fd00::`,
            `tcpx uto unset --cgroup ${box} --port 44`,
            `tcpx uto unset --port 44`,
          ];
          const program = `exec ${host.wrap.join(" ")} ${tcpxPath()} "$@"`;
          const got = await offered(shell, scriptFor(shell), lines, { tcpx: program });
          const ends = ["fd00::/8", "fd00::/8", "fd00::/8", "443"];
          for (const [i, end] of ends.entries()) {
            expect(got[i]).toHaveLength(1);
            expect(end).toEndWith(got[i]![0]!.replace(/^--to=/, ""));
          }
          expect(got[4]).toEqual([]);
        },
        30_000,
      );
    }
  });
});

/** Types lines and TAB at a terminal; returns the words that tcpx gets once the line is ended. */
async function typed(shell: Shell, lab: Lab, lines: string[]): Promise<string[][]> {
  const dir = join(lab.dir, shell);
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir);
  const log = join(dir, "log");
  const program = `#!/bin/sh\n[ "$1" = internal-complete ] && exec ${tcpxPath()} "$@"\n{ printf '%s\\0' "$@"; printf '\\n\\0'; } >>${log}\n`;
  writeFileSync(join(dir, "tcpx"), program);
  chmodSync(join(dir, "tcpx"), 0o755);
  writeFileSync(join(dir, "script"), scriptFor(shell));
  const zsh =
    "PROMPT='READY>' RPROMPT=''\nsetopt no_beep\nautoload -Uz compinit; compinit -D -u\nsource ./script\n";
  writeFileSync(join(dir, ".zshrc"), zsh);
  const argv = {
    bash: ["bash", "--norc", "--noprofile", "-i"],
    zsh: ["zsh", "-d", "-i"],
    fish: ["fish", "--no-config", "-C", "source ./script; function fish_prompt; printf 'READY>'; end"],
  }[shell];
  let screen = "";
  const child = Bun.spawn(argv, {
    cwd: dir,
    env: {
      PATH: `${dir}:${process.env.PATH}`,
      HOME: dir,
      ZDOTDIR: dir,
      PS1: "READY>",
      TERM: "dumb",
      HISTFILE: "",
      LC_ALL: "C.UTF-8",
    },
    terminal: {
      cols: 250,
      rows: 50,
      data(terminal, data) {
        const text = new TextDecoder().decode(data);
        screen += text;
        if (text.includes("\x1b[c") || text.includes("\x1b[0c")) terminal.write("\x1b[?62;c"); // fish asks what it is
      },
    },
  });
  const until = async (is: () => boolean) => {
    for (let i = 0; i < 800 && !is(); i++) await Bun.sleep(25);
    if (!is()) throw new Error(`${shell} shows: ${screen}`);
  };
  const count = () => (existsSync(log) ? readFileSync(log, "utf8").split("\0\n\0").length - 1 : 0);
  try {
    await until(() => screen.includes("READY>"));
    if (shell === "bash") child.terminal!.write("set +H; source ./script\r");
    for (const [i, line] of lines.entries()) {
      child.terminal!.write(line);
      await Bun.sleep(60);
      child.terminal!.write("\t");
      await Bun.sleep(500);
      // zsh leaves a quote open behind what may go on
      const [, quote = ""] = (shell === "zsh" && /(["'])[^"']*$/.exec(line)) || [];
      child.terminal!.write(`${quote}\r`);
      await until(() => count() > i);
    }
  } finally {
    child.kill("SIGKILL");
    await child.exited;
    child.terminal!.close();
  }
  return readFileSync(log, "utf8")
    .split("\0\n\0")
    .slice(0, -1)
    .map((words) => words.split("\0"));
}
