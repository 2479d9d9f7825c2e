// SPDX-License-Identifier: MIT
// Limits, working directories and standard files as bad as they come: one line with the true reason, no runtime that
// dies, and what was to be done is done or not begun.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFile } from "node:fs/promises";
import { SCHEMA } from "../../cli/output/io.ts";
import { buildHidden } from "../support/build.ts";
import { Lab } from "../support/lab.ts";
import { LimitedCgroup, limitsRequirement } from "../support/limited.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, every, labRequirement } from "../support/requires.ts";
import { type TcpxResult, tcpxPath } from "../support/tcpx.ts";

const MB = 1024;
const needs = every("all", labRequirement, limitsRequirement);
const shell = (script: string) => ["sh", "-c", `${script}; exec "$@"`, "sh"];
const limited = (flag: string, value: number) => shell(`ulimit -c 0; ulimit -${flag} ${value}`);

describeIf(needs.ok, needs.reason)("a poor environment", () => {
  let lab: Lab;
  let host: PrivateHost;
  let cgroup: string;
  beforeAll(async () => {
    lab = await Lab.create();
    host = await PrivateHost.create(lab);
    cgroup = lab.cgroup("scope");
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  const set = (value: string, wrap: readonly string[]) =>
    host.tcpx(["uto", "set", value, "--cgroup", cgroup], { wrap });
  const rules = async () => (await host.tcpx(["uto", "show", "--cgroup", cgroup], { json: true })).json.rules;
  const refusedFor = async (reason: RegExp, { code, stdout, stderr }: TcpxResult) => {
    expect([code, stdout]).toEqual([3, ""]);
    expect(stderr).toMatch(/^tcpx: [^\n]+ (are needed|must be free); raise the limit \([^\n]+\)\n$/);
    expect(stderr).toMatch(reason);
    expect(await rules()).toEqual([]);
  };
  const works = async (wrap: readonly string[]) => {
    expect(await set("5s", wrap)).toMatchObject({ code: 0, stderr: "" });
    expect((await rules()).length).toBeGreaterThan(0);
    await host.tcpx(["uto", "unset", "--all", "--cgroup", cgroup]);
  };

  describe("limits of the process", () => {
    const cases: [flag: string, tooLow: number[], reason: RegExp, enough: number[]][] = [
      [
        "v",
        [128, 256, 330, 512, 1000, 1175, 2200, 3000].map((mb) => mb * MB),
        /address space is limited to \d+ MB: 3072 MB/,
        [3300 * MB],
      ],
      ["d", [16, 100, 512, 2000].map((mb) => mb * MB), /data is limited to \d+ MB: 3072 MB/, [3072 * MB]],
      ["s", [64, 128, 200], /stack is limited to \d+ KB: 256 KB/, [256]],
      ["n", [4, 5, 8, 12, 20, 63], /only \d+ files may be open at a time: 64/, [64]],
    ];
    for (const [flag, tooLow, reason, enough] of cases) {
      test(`ulimit -${flag}`, async () => {
        for (const value of tooLow) await refusedFor(reason, await set("5s", limited(flag, value)));
        for (const value of enough) await works(limited(flag, value));
      }, 60_000);
    }

    test("ulimit -u, which is not for root", async () => {
      const wrap = ["setpriv", "--reuid", "4242", "--clear-groups", "prlimit", "--nproc=5"];
      const { code, stderr } = await host.tcpx(["version"], { wrap });
      expect([
        code,
        stderr.match(/^tcpx: only \d processes and threads can be started here: 16 are needed; .*\n$/)
          ?.length,
      ]).toEqual([3, 1]);
    });

    test("ulimit -f 0: met on the way, as nothing is written to files; help still works", async () => {
      // not to files of ours, which have the limit, too
      const wrap = limited("f", 0);
      const { code, stderr } = await set("5s", wrap);
      expect([code, stderr]).toEqual([
        3,
        expect.stringMatching(/^tcpx: EFBIG[^\n]*; the size of files is limited: raise[^\n]*\n$/),
      ]);
      expect(await host.tcpx(["--help"], { wrap })).toMatchObject({ code: 0, stderr: "" });
    });

    test("--json has the document; tcpx run ends with 125, and its command has not started", async () => {
      const wrap = limited("v", 1000 * MB);
      const what = "the address space is limited to 1000 MB: 3072 MB must be free";
      const hint = "raise the limit (ulimit -v, LimitAS=)";
      const { code, stdout, stderr } = await host.tcpx(["status"], { wrap, json: true });
      const document = { schema: SCHEMA, error: { code: 3, what, value: null, hint } };
      expect([code, stdout, stderr]).toEqual([
        3,
        `${JSON.stringify(document)}\n`,
        `tcpx: ${what}; ${hint}\n`,
      ]);
      const run = ["-q", "run", "--uto", "5s", "--", "echo", "--json"];
      expect(await host.tcpx(run, { wrap })).toMatchObject({
        code: 125,
        stdout: "",
        stderr: `tcpx: ${what}; ${hint}\n`,
      });
    });
  });

  describe("limits of cgroups", () => {
    test("tasks", async () => {
      await using pids = new LimitedCgroup("pids", `${lab.prefix}-pids`);
      for (const most of [1, 2, 4, 8, 16]) {
        pids.limit(most);
        const free = new RegExp(`only ${most - 1} processes and threads can be started here: 16`);
        await refusedFor(free, await set("5s", pids.wrap));
      }
      pids.limit(20);
      await works(pids.wrap);
      const run = await host.tcpx(["run", "--uto", "5s", "--", "echo", "ran"], { wrap: pids.wrap });
      const reason = /^(|tcpx: (only \d+ processes|EAGAIN|spawn)[^\n]*; [^\n]*raise the limit[^\n]*\n)$/;
      expect([run.stderr, [0, 125].includes(run.code)]).toEqual([expect.stringMatching(reason), true]);
    });

    test("tasks, where several start at once: looking takes none from the others", async () => {
      await using pids = new LimitedCgroup("pids", `${lab.prefix}-at-once`);
      pids.limit(64);
      const start = 'for i in 1 2 3 4 5 6 7 8; do "$1" version >/dev/null & done; wait';
      const rounds = `for round in 1 2 3 4 5; do ${start}; done`;
      const shells = Bun.spawn([...pids.wrap, "sh", "-c", rounds, "sh", tcpxPath()], {
        stdout: "pipe",
        stderr: "pipe",
      });
      expect(await new Response(shells.stderr).text()).toBe("");
      expect(await shells.exited).toBe(0);
    }, 60_000);

    test("tasks, for what tcpx starts beside itself", async () => {
      await using pids = new LimitedCgroup("pids", `${lab.prefix}-beside`);
      pids.limit(7);
      const peer = ["internal-peer", "listen", "-", cgroup, ""];
      const { stderr } = await host.tcpx(peer, { wrap: pids.wrap });
      expect(stderr).not.toContain("are needed");
      pids.limit(6);
      expect((await host.tcpx(peer, { wrap: pids.wrap })).stderr).toContain("started here: 6 are needed");
    });

    test("memory", async () => {
      await using memory = new LimitedCgroup("memory", `${lab.prefix}-memory`);
      for (const mb of [4, 16, 31]) {
        memory.limit(mb * MB * MB);
        await refusedFor(
          new RegExp(`memory is limited to ${mb} MB by a cgroup: 32 MB`),
          await set("5s", memory.wrap),
        );
      }
      memory.limit(64 * MB * MB);
      await works(memory.wrap);
    });
  });

  describe("a working directory", () => {
    const commands = [
      ["version"],
      ["--help"],
      ["status"],
      ["completion", "bash"],
      ["export"],
      ["metrics"],
      ["doctor"],
      ["reset", "--dry-run"],
    ];
    const gone = () => shell(`mkdir -p ${lab.dir}/up/gone; cd ${lab.dir}/up/gone; rmdir ${lab.dir}/up/gone`);
    const closed = () => shell(`mkdir -p ${lab.dir}/closed; cd ${lab.dir}/closed; chmod 0 .`);

    for (const [what, wrapOf] of [
      ["deleted", gone],
      ["not searchable", closed],
    ] as const) {
      test(`${what}: every command works`, async () => {
        const wrap = wrapOf();
        for (const words of commands) expect(await host.tcpx(words, { wrap })).toMatchObject({ code: 0 });
        await works(wrap);
        const policy = `${lab.dir}/policy.toml`;
        await Bun.write(policy, "scope = []\n");
        expect(await host.tcpx(["apply", "--dry-run", policy], { wrap })).toMatchObject({ code: 0 });
        expect(await host.tcpx(["run", "--uto", "5s", "--", "/bin/echo", "ran"], { wrap })).toEqual({
          code: 0,
          stdout: "ran\n",
          stderr: "",
          json: undefined,
        });
      }, 60_000);
    }

    test("not searchable, for a user without privileges", async () => {
      const wrap = [
        ...closed().slice(0, 2),
        `cd ${lab.dir}; chmod 755 .; mkdir -p closed; cd closed; chmod 0 .; exec setpriv --reuid 4242 --clear-groups "$@"`,
        "sh",
      ];
      for (const words of [["version"], ["--help"], ["completion", "fish"]]) {
        expect(await host.tcpx(words, { wrap })).toMatchObject({ code: 0, stderr: "" });
      }
    });

    test("/ or deleted, for a process whose files in /proc are root's", async () => {
      const hidden = `${lab.dir}/hidden.so`;
      await copyFile(await buildHidden(), hidden);
      const user = `exec setpriv --reuid 4242 --clear-groups env LD_PRELOAD=${hidden} "$@"`;
      const gone = `${lab.dir}/gone`;
      for (const enter of ["cd /", `mkdir ${gone}; cd ${gone}; rmdir ${gone}`]) {
        const wrap = ["sh", "-c", `chmod 755 ${lab.dir}; ${enter}; ${user}`, "sh"];
        expect(await host.tcpx(["version"], { wrap })).toMatchObject({ code: 0, stderr: "" });
      }
    });

    test("deleted: tcpx run gives it to its command, and nothing else", async () => {
      const plain = await lab.exec(undefined, [
        ...gone(),
        "sh",
        "-c",
        "ls -l /proc/self/cwd; ls /proc/self/fd | wc -l",
      ]);
      const wrap = gone();
      const run = await host.tcpx(
        ["run", "--uto", "5s", "--", "sh", "-c", "ls -l /proc/self/cwd; ls /proc/self/fd | wc -l"],
        { wrap },
      );
      const facts = (text: string) => [text.match(/-> (.*)/)?.[1], text.trim().split("\n").at(-1)];
      expect(facts(run.stdout)).toEqual(facts(plain));
      expect(run.stdout).toContain(`${lab.dir}/up/gone (deleted)`);
    });

    test("deleted: a relative path leads where the kernel says, and never to /", async () => {
      const name = `${lab.prefix}.prom`;
      const output = await host.tcpx(["metrics", "--output", name], { wrap: gone() });
      expect([output.code, output.stderr]).toEqual([
        2,
        `tcpx: --output '${name}': the working directory is gone; give a path that begins with /\n`,
      ]);
      expect(await Bun.file(`/${name}`).exists()).toBe(false);
      expect(await host.tcpx(["apply", "--dry-run", "etc/passwd"], { wrap: gone() })).toMatchObject({
        code: 2,
        stderr: "tcpx: etc/passwd does not exist; accepted is a file, or - for stdin\n",
      });
      await Bun.write(`${lab.dir}/up/policy.toml`, "scope = []\n");
      expect(await host.tcpx(["apply", "--dry-run", "../policy.toml"], { wrap: gone() })).toMatchObject({
        code: 0,
      });
    });
  });

  describe("standard files", () => {
    /** stdout and stderr are replaced inside: what is left of them comes back. */
    const told = async (words: string, how: string) => {
      const script = `{ "$0" ${words} ${how}; }; echo "code $?" >&9`;
      const child = lab.spawn([...host.wrap, "sh", "-c", `exec 9>&1; ${script}`, tcpxPath()], {
        stderr: "pipe",
      });
      void child.stdin.end();
      const err = new Response(child.stderr as ReadableStream).text();
      const [stdout, stderr] = await Promise.all([child.stdout.text(), err]);
      await child.exited;
      return { code: Number(/code (\d+)\n$/.exec(stdout)?.[1]), stderr };
    };
    const all = [
      "version",
      "--help",
      "uto --help",
      "completion bash",
      "status",
      "status --json",
      "connections --table",
      "metrics",
      "export",
      "reset --dry-run",
    ];

    test.each([
      [">/dev/full", "ENOSPC"],
      [">&-", "EBADF"],
    ])("stdout %s: one line and exit 1", async (how, code) => {
      for (const words of all) {
        expect([words, await told(words, how)]).toEqual([
          words,
          { code: 1, stderr: `tcpx: stdout cannot be written: ${code}\n` },
        ]);
      }
    });

    test("a reader that has gone: quiet, and no error", async () => {
      for (const words of all) {
        const script = `{ "$0" ${words}; echo "code $?" >&9; } | true`;
        const child = lab.spawn([...host.wrap, "sh", "-c", `exec 9>&1; ${script}`, tcpxPath()], {
          stderr: "pipe",
        });
        const err = new Response(child.stderr as ReadableStream).text();
        expect([words, await child.stdout.text(), await err]).toEqual([words, "code 0\n", ""]);
      }
    });

    test("stderr that cannot be written changes nothing of the exit code", async () => {
      for (const how of ["2>&-", "2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-"]) {
        expect([how, await told("nonsense", how)]).toEqual([how, { code: 2, stderr: "" }]);
        expect([how, (await told(`uto set 5x --cgroup ${cgroup}`, how)).code]).toEqual([how, 2]);
      }
      expect((await told("version", "2>&-")).code).toBe(0);
    });

    test("what was to be changed is changed, all of it", async () => {
      for (const [n, how] of [
        ">/dev/full",
        ">&-",
        "2>&- >&-",
        "| true",
        ">/dev/full 2>/dev/full",
      ].entries()) {
        const json = n % 2 === 0 ? "--json" : "-v";
        await told(`uto set ${n + 5}s --port ${n + 1} --cgroup ${cgroup} ${json}`, how);
        const ports = new Set((await rules()).map(({ port }: { port: number }) => port));
        expect(ports.size).toBe(n + 1);
      }
      expect((await told(`uto unset --all --cgroup ${cgroup}`, ">/dev/full")).code).toBe(1);
      expect(await rules()).toEqual([]);
    });

    test("tcpx run: closed stays closed, ignored signals stay ignored, the soft limit of files stays", async () => {
      const show = "ls /proc/self/fd | tr '\\n' ' '; grep SigIgn /proc/self/status; ulimit -Sn; ulimit -Hn";
      const outer = (run: string, how: string) =>
        `trap '' PIPE XFSZ HUP; ulimit -Sn 333; ${run} sh -c '${show.replaceAll("'", `'"'"'`)}' ${how}`;
      for (const how of ["<&-", "2>&-", "<&- 2>&-"]) {
        const [plain, ours] = await Promise.all(
          ["", `${tcpxPath()} run --uto 5s --`].map((run) =>
            lab.exec(undefined, [...host.wrap, "sh", "-c", outer(run, how)]),
          ),
        );
        expect([how, ours]).toEqual([how, plain]);
      }
    });
  });
});
