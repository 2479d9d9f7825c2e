// SPDX-License-Identifier: MIT
// Two commands at once: the second waits, as long as it is told to, and then says for whom.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Child, Lab, until } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { type TcpxResult, tcpxPath } from "../support/tcpx.ts";

const BPFFS = "/sys/fs/bpf";
const TOP = `${BPFFS}/tcpx`;

/** The first line of a stream; the rest is read, too, since a full pipe would hold up who writes. */
async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const line = Promise.withResolvers<string>();
  void (async () => {
    let said = "";
    for await (const chunk of stream) {
      said += new TextDecoder().decode(chunk);
      if (said.includes("\n")) line.resolve(said.slice(0, said.indexOf("\n")));
    }
    line.resolve(said);
  })();
  return line.promise;
}

describeIf(labRequirement.ok, labRequirement.reason)("two commands at once", () => {
  let lab: Lab;
  let host: PrivateHost;
  let scope: string[];

  beforeAll(async () => {
    lab = await Lab.create();
    host = await PrivateHost.create(lab);
    scope = ["--cgroup", lab.cgroup("a")];
    await host.ok(["uto", "set", "10s", "--port", "9", ...scope]); // there is a lock as long as there is a rule
  });
  afterEach(async () => {
    await host.ok(["uto", "unset", "--wait", ...scope]);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  const uto = (words: string, json = false): Promise<TcpxResult> =>
    host.tcpx(["uto", ...words.split(" "), ...scope], { json });
  const timeouts = async (): Promise<number[]> => {
    const { rules } = (await host.ok(["uto", "show", ...scope], { json: true })).json;
    return rules
      .filter(({ port }: { port: number | null }) => port === null)
      .map(({ timeout_ms }: { timeout_ms: number }) => timeout_ms);
  };

  /** Pids of processes in the host whose command line begins like this. */
  const pidsOf = async (args: string): Promise<number[]> => {
    const lines = (await host.sh("ps -eo pid=,args=")).trim().split("\n");
    return lines
      .map((line) => line.trim().split(/ (.*)/))
      .flatMap(([pid, rest = ""]) => (rest.startsWith(args) ? [Number(pid)] : []));
  };

  /** Has the lock of a directory until it is released. */
  async function holder({ cgroup, before = [] }: { cgroup?: string; before?: string[] } = {}) {
    const argv = [...host.wrap, ...before, "flock", "--no-fork", TOP, "sh", "-c", "echo held; exec cat -u"];
    const child = lab.spawn(argv, { cgroup });
    expect(await firstLine(child.stdout)).toBe("held");
    const [pid = 0] = await pidsOf("cat -u");
    const release = async () => {
      if (child.exitCode === null) child.stdin.end();
      await child.exited;
    };
    const stop = () => host.sh(`kill -STOP ${pid}`);
    const go = async () => {
      await host.sh(`kill -CONT ${pid}`);
      child.kill("SIGCONT"); // nsenter stops with what it runs
    };
    return { pid, stop, go, release, [Symbol.asyncDispose]: release };
  }

  /** A command that says when it begins to wait. */
  const start = (...words: string[]) =>
    lab.spawn([...host.wrap, tcpxPath(), ...words], { stderr: "pipe" }) as Bun.Subprocess<
      "pipe",
      "pipe",
      "pipe"
    >;

  test("the second waits by default, and says with --verbose for whom", async () => {
    await using first = await holder();
    const second = start("uto", "set", "40s", "--verbose", ...scope);
    expect(await firstLine(second.stderr)).toBe(
      `tcpx: waiting for another tcpx, which is changing rules: process ${first.pid} (cat -u)`,
    );
    expect(await timeouts()).toEqual([]);
    await first.release();
    expect(await second.exited).toBe(0);
    expect(await timeouts()).toEqual([40_000, 40_000]);
  });

  test("a real one that is stopped is named as that after the wait, and goes on afterwards", async () => {
    // many rules, so that it has the lock for a while; as the machine sees it, which has another /proc
    const to = Array.from({ length: 200 }, (_, i) => `192.0.2.${i}`).join(",");
    const inode = (await host.sh(`stat -c %i ${TOP}`)).trim();
    const line = new RegExp(` FLOCK +\\S+ +WRITE (\\d+) \\S+:${inode} `);
    const lockedBy = () => Number(line.exec(readFileSync("/proc/locks", "utf8"))?.[1] ?? 0);
    let first: Child;
    let outside = 0;
    for (let attempt = 0; outside === 0; attempt++) {
      expect(attempt).toBeLessThan(20); // else it was always too fast for us
      first = lab.spawn([
        ...host.wrap,
        tcpxPath(),
        "uto",
        "set",
        `${40 + attempt}s`,
        "--to",
        to,
        "-q",
        ...scope,
      ]);
      while (first.exitCode === null && outside === 0) {
        outside = lockedBy();
        if (outside > 0) process.kill(outside, "SIGSTOP");
        await Bun.sleep(1);
      }
      const isStopped = () => /^State:\s+T/m.test(readFileSync(`/proc/${outside}/status`, "utf8"));
      if (outside > 0 && !((await until(isStopped, 2000)) && lockedBy() === outside)) {
        process.kill(outside, "SIGCONT"); // it had just finished
        first.kill("SIGCONT"); // nsenter stops with what it runs
        outside = 0;
      }
    }
    const [pid] = await pidsOf(`${tcpxPath()} uto set`);
    const begin = performance.now();
    const { code, json, stderr } = await uto("set 1min --wait=1s", true);
    expect(performance.now() - begin).toBeGreaterThanOrEqual(1000);
    expect(code).toBe(5);
    expect(json.error).toMatchObject({
      code: 5,
      hint: `continue it with \`kill -CONT ${pid}\`, or end it`,
      holder: { pid, command: expect.stringContaining("uto set 4"), state: "stopped" },
    });
    expect(stderr).toMatch(
      new RegExp(
        `^tcpx: another tcpx is changing rules: process ${pid} \\(.* uto set 4.*\\.\\.\\.\\) is stopped; `,
      ),
    );
    expect(stderr.length).toBeLessThan(400);
    await host.sh(`kill -CONT ${pid}`);
    first!.kill("SIGCONT");
    expect(await first!.exited).toBe(0);
    expect((await uto("set 1min")).code).toBe(0);
    await host.ok(["uto", "unset", "--to", to, ...scope]);
  }, 60_000);

  describe("the end of the wait", () => {
    let first: Awaited<ReturnType<typeof holder>>;
    beforeAll(async () => {
      first = await holder();
    });
    afterAll(() => first.release());
    // unset, after each test, needs the lock only for rules that are there: there are none
    const busy = (end: string) =>
      `tcpx: another tcpx is changing rules: process ${first.pid} (cat -u); ${end}try again, or wait `;

    test("--no-wait: at once", async () => {
      const { code, stdout, stderr } = await uto("set 40s --no-wait");
      expect([code, stdout, stderr]).toEqual([5, "", `${busy("")}for it with --wait\n`]);
      expect((await uto("set 40s --no-wait", true)).json).toMatchObject({
        schema: 2,
        error: { code: 5, holder: { pid: first.pid, command: "cat -u", state: "running" } },
      });
    });

    test("--wait=DURATION: not before, and with its words", async () => {
      const begin = performance.now();
      const { code, stderr } = await uto("set 40s --wait=700ms");
      expect([code, stderr]).toEqual([5, `${busy("waited 700ms; ")}longer with --wait\n`]);
      expect(performance.now() - begin).toBeGreaterThanOrEqual(700);
    });

    test("by default after 5 s", async () => {
      const { code, stderr } = await uto("set 40s");
      expect([code, stderr]).toEqual([5, `${busy("waited 5s; ")}longer with --wait\n`]);
    });

    test.each(["uto unset --port 9", "cc-request set reno", "doctor", "reset"])("%s", async (words) => {
      const flags = words.includes(" ") ? scope : [];
      const { code, json } = await host.tcpx([...words.split(" "), ...flags, "--no-wait"], { json: true });
      expect([code, json.error?.holder?.pid]).toEqual([5, first.pid]);
    });

    test("apply", async () => {
      const stdin = `[[scope]]\ncgroup = "${scope[1]}"\n`;
      const { code, json } = await host.tcpx(["apply", "-", "--no-wait"], { stdin, json: true });
      expect([code, json.error.holder.pid]).toEqual([5, first.pid]);
    });

    test("what changes nothing waits for nobody", async () => {
      expect((await uto("set 10s --port 9", true)).json.changed).toBe(false);
      expect((await uto("set 40s --dry-run", true)).json.changed).toBe(true);
    });

    test("contradictions and what is no duration are usage errors", async () => {
      for (const words of ["--wait --no-wait", "--wait=10", "--wait=", "--wait 10s", "--no-wait=1s"]) {
        expect([words, (await uto(`set 40s ${words}`)).code]).toEqual([words, 2]);
      }
    });

    test("Ctrl-C ends the wait at once", async () => {
      const argv = [tcpxPath(), "uto", "set", "40s", "--wait", "--verbose", ...scope];
      const child = lab.spawn([...host.wrap, "sh", "-c", '"$@"; echo "code $?"', "sh", ...argv], {
        stderr: "pipe",
      }) as Bun.Subprocess<"pipe", "pipe", "pipe">;
      expect(await firstLine(child.stderr)).toContain("waiting for another tcpx");
      const [waiting] = await pidsOf(`${tcpxPath()} uto set 40s --wait`);
      await host.sh(`kill -INT ${waiting}`);
      expect(await child.stdout.text()).toBe("code 130\n");
    });

    test("from a pid namespace where it cannot be seen", async () => {
      const wrap = ["unshare", "--pid", "--fork", "--mount-proc", "--"];
      const argv = ["uto", "set", "40s", "--no-wait", ...scope];
      const { code, stderr, json } = await host.tcpx(argv, { wrap, json: true });
      expect([code, json.error.holder]).toEqual([5, null]);
      expect(stderr).toMatch(/^tcpx: another tcpx is changing rules: a process outside this pid namespace; /);
    });
  });

  test("--wait goes on, and tells after 5 s for whom", async () => {
    await using first = await holder();
    const second = start("uto", "set", "40s", "--wait", ...scope);
    expect(await firstLine(second.stderr)).toMatch(
      /^tcpx: waiting for another tcpx, .*: process \d+ \(cat -u\)$/,
    );
    await first.release();
    expect(await second.exited).toBe(0);
    expect(await timeouts()).toEqual([40_000, 40_000]);
  });

  test("`tcpx run` waits without end, and warns when somebody is stopped", async () => {
    await using first = await holder();
    await first.stop();
    const second = start("run", "--uto", "30s", "--", "true");
    expect(await firstLine(second.stderr)).toMatch(
      new RegExp(
        `^tcpx: warning: waiting for .*: process ${first.pid} \\(cat -u\\) is stopped; .*kill -CONT ${first.pid}`,
      ),
    );
    await first.go();
    await first.release();
    expect(await second.exited).toBe(0);
    const scopes = async () => (await host.ok(["status"], { json: true })).json.scopes.length;
    expect(await until(async () => (await scopes()) === 1)).toBe(true); // its own is gone
  });

  test("a demo that waits hears Ctrl-C, and cleans up", async () => {
    await using _ = await holder();
    const child = start("demo");
    expect(await firstLine(child.stderr)).toMatch(/^tcpx: warning: waiting for another tcpx/);
    const [pid] = await pidsOf(`${tcpxPath()} demo`);
    await host.sh(`kill -INT ${pid}`);
    expect(await child.exited).toBe(1);
    expect(await host.sh("ls /run/netns")).toBe("");
  });

  test("who is frozen with its cgroup is named as that", async () => {
    const cgroup = lab.cgroup("frozen");
    await using first = await holder({ cgroup });
    writeFileSync(join(cgroup, "cgroup.freeze"), "1");
    const isFrozen = () => /^frozen 1$/m.test(readFileSync(join(cgroup, "cgroup.events"), "utf8"));
    expect(await until(isFrozen)).toBe(true);
    const { code, json } = await uto("set 40s --no-wait", true);
    writeFileSync(join(cgroup, "cgroup.freeze"), "0");
    expect([code, json.error.holder]).toEqual([5, { pid: first.pid, command: "cat -u", state: "frozen" }]);
    expect(json.error.what).toEndWith("(cat -u) is frozen with its cgroup");
    await first.release();
  });

  test("who is in a pid namespace below is named by the number that it has here", async () => {
    await using first = await holder({ before: ["unshare", "--pid", "--fork", "--kill-child", "--"] });
    const { code, json } = await uto("set 40s --no-wait", true);
    expect([code, json.error.holder?.pid]).toEqual([5, first.pid]);
    await first.release();
  });

  test("control characters of a command line stay out of the message", async () => {
    const argv = ["flock", "--no-fork", TOP, "sh", "-c", "echo held; read -r line; exit 0", "\x1b[31m\nred"];
    const first = lab.spawn([...host.wrap, ...argv]);
    await firstLine(first.stdout);
    const { code, stderr } = await uto("set 40s --no-wait");
    first.stdin.end();
    await first.exited;
    expect([code, stderr.split("\n").length]).toEqual([5, 2]);
    expect(stderr).not.toContain("\x1b");
    expect(stderr).toContain("[31m");
  });

  test("the lock of a killed command is gone with it", async () => {
    await using first = await holder();
    await host.sh(`kill -KILL ${first.pid}`);
    await first.release();
    expect((await uto("set 40s --no-wait")).code).toBe(0);
  });
});

describeIf(labRequirement.ok, labRequirement.reason)("where bpffs is not mounted", () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await Lab.create();
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  test("commands that mount it, and take their mount back, at once: nobody fails", async () => {
    const host = await PrivateHost.create(lab, { bpffs: false });
    const doctors = async () => {
      for (let round = 0; round < 4; round++) await host.ok(["doctor", "--wait"]);
    };
    const rules = async (name: string) => {
      const scope = ["--cgroup", lab.cgroup(name)];
      for (let round = 0; round < 6; round++) {
        await host.ok(["uto", "set", "30s", "--wait", ...scope]);
        await host.ok(["uto", "unset", "--wait", ...scope]);
      }
    };
    await Promise.all([doctors(), doctors(), rules("m1"), rules("m2")]);
  }, 60_000);

  const holding = (host: PrivateHost, ...as: string[]) =>
    lab.spawn([...host.wrap, ...as, "flock", "--no-fork", BPFFS, "sh", "-c", "echo held; exec cat"]);

  test("root's process that has the lock for the mount is named, and is not waited for without end", async () => {
    const host = await PrivateHost.create(lab, { bpffs: false });
    const scope = ["--cgroup", lab.cgroup("r")];
    const first = holding(host);
    await firstLine(first.stdout);
    const { code, stderr } = await host.tcpx(["uto", "set", "30s", "--wait", ...scope]);
    expect(code).toBe(5);
    expect(stderr).toMatch(/another tcpx is mounting bpffs: process \d+ \(cat\); .*mount -t bpf bpf/);
    first.stdin.end();
    await first.exited;
  });

  test("a user who has the lock for the mount, as any may, is in nobody's way", async () => {
    const host = await PrivateHost.create(lab, { bpffs: false });
    const scope = ["--cgroup", lab.cgroup("u")];
    const first = holding(host, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups");
    await firstLine(first.stdout);
    await host.ok(["uto", "set", "30s", "--no-wait", ...scope]);
    await host.ok(["uto", "unset", ...scope]);
    first.stdin.end();
    await first.exited;
  });
});
