// SPDX-License-Identifier: MIT
// `tcpx run`: the command is as if tcpx were not there, and its scope goes with its last process.

import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { shortest } from "../support/kills.ts";
import { processesOf, until } from "../support/lab.ts";
import { describeIf, every, labRequirement, requirement } from "../support/requires.ts";
import { cgroupNameOf, commOf, RunLab } from "../support/run-lab.ts";
import { tcpx, tcpxPath } from "../support/tcpx.ts";
import { scopeOf, tcpxOk } from "../support/uto-lab.ts";

const script = requirement("script", Bun.which("script") !== null, "the program script");
const needs = every("all", labRequirement, script);
const UTO = ["--uto", "10s", "--"];

describeIf(needs.ok, needs.reason)("tcpx run", () => {
  let r: RunLab;
  beforeAll(async () => {
    r = await RunLab.create();
  });
  afterEach(async () => expect(await r.gone()).toBe(true));
  afterAll(() => r[Symbol.asyncDispose]());

  const sh = (text: string) => r.run([...UTO, "sh", "-c", text]);
  const idle = async (...flags: string[]) => {
    const child = r.start(["--uto", "10s", ...flags, "--", "sleep", "60"]);
    expect(await r.became(child, "sleep")).toBe(true);
    return child;
  };

  test.each([0, 3, 125, 255])("exit code %d is the command's", async (code) => {
    expect(await sh(`exit ${code}`)).toEqual({ code, stdout: "", stderr: "" });
  });

  test("125, 126 and 127, and nothing was made", async () => {
    const results = await Promise.all([
      r.run(["--uto", "5x", "--", "true"]),
      r.run(["--", "true"]),
      r.run([...UTO, "/etc/passwd"]),
      r.run([...UTO, "tcpx-no-such-program"]),
    ]);
    expect(results.map(({ code }) => code)).toEqual([125, 125, 126, 127]);
    for (const { stdout, stderr } of results) {
      expect(stdout).toBe("");
      expect(stderr).toMatch(/^tcpx: [^\n]+; [^\n]+\n$/);
    }
    const json = await tcpx(["run", ...UTO, "tcpx-no-such-program"], { json: true, cgroup: r.home });
    expect([json.code, json.json.error.value]).toEqual([127, "tcpx-no-such-program"]);
  });

  test("126 for what only the kernel finds unfit: its scope goes, too", async () => {
    const path = join(r.lab.dir, "unfit");
    writeFileSync(path, "#!/etc/passwd\n", { mode: 0o755 });
    expect(await r.run([...UTO, path])).toMatchObject({ code: 126, stdout: "" });
    writeFileSync(path, "#!/nonexistent/interpreter\n", { mode: 0o755 });
    expect(await r.run([...UTO, path])).toMatchObject({ code: 127, stdout: "" });
    writeFileSync(path, "exit 7\n", { mode: 0o755 });
    expect(await r.run([...UTO, path])).toMatchObject({ code: 7, stdout: "" });
  });

  test("the process is the command's: pid, arguments in their bytes, environment, directory, files", async () => {
    const odd = "a b\tc\\n*$\u00e9";
    const child = r.start([...UTO, "sh", "-c", "read _; :", odd], {
      env: { TCPX_TEST: "1", BUN_OPTIONS: undefined },
    });
    expect(await until(() => cgroupNameOf(child.pid).startsWith(`tcpx-run-${child.pid}`))).toBe(true);
    expect(await r.became(child, "sh")).toBe(true);
    const read = (name: string) => Bun.file(`/proc/${child.pid}/${name}`).text();
    expect((await read("cmdline")).split("\0").slice(-2, -1)).toEqual([odd]);
    expect(await read("environ")).toContain("TCPX_TEST=1\0");
    child.kill("SIGKILL");
    const latin1 = await r.lab.exec(
      undefined,
      ["sh", "-c", `"$0" run --uto 10s -- printf %s "$(printf 'caf\\351')" | od -An -tx1`, tcpxPath()],
      "",
      r.home,
    );
    expect(latin1.trim()).toBe("63 61 66 e9");
  });

  test("the runtime's variables do nothing to tcpx, and reach a command that obeys them", async () => {
    const [code, trace] = [join(r.lab.dir, "preloaded.js"), join(r.lab.dir, "preloaded")];
    writeFileSync(
      code,
      `require("node:fs").appendFileSync(${JSON.stringify(trace)}, process.env.BUN_OPTIONS);`,
    );
    const env = { BUN_OPTIONS: `--preload ${code}`, BUN_JSC_useDFGJIT: "0", BUN_INSPECT_NOTIFY: "unix://x" };
    const shown = await r.run([...UTO, "env"], { env });
    const lines = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    expect(shown.stdout.split("\n")).toEqual(expect.arrayContaining(lines));
    expect(existsSync(trace)).toBe(false);
    expect(await r.run([...UTO, process.execPath, "-e", "1"], { env })).toMatchObject({ code: 0 });
    expect(readFileSync(trace, "utf8")).toBe(env.BUN_OPTIONS);
  });

  test("signals, limits and files are those that tcpx was started with", async () => {
    const show = `grep -E '^Sig(Blk|Ign)|^Shd' /proc/self/status; ulimit -Sn; ulimit -Hn; ulimit -l; ulimit -s;
      ls /proc/self/fd; umask; pwd`;
    const outer = (run: string) =>
      `cd / && umask 027 && ulimit -Sn 512 && exec 7</etc/hosts && trap '' HUP && ${run} sh -c '${show.replaceAll("'", `'"'"'`)}'`;
    const bash = (run: string) => r.lab.exec(undefined, ["sh", "-c", outer(run)], "", r.home);
    expect(await bash(`${tcpxPath()} run --uto 10s --`)).toBe(await bash(""));
  });

  test("a terminal: the same one, its foreground group, Ctrl-C, and no flag left on it", async () => {
    const inner = "tty >&2; ps -o pgid=,tpgid= -p $$ >&2; kill -INT $$; echo not reached";
    const line = `exec "${tcpxPath()}" run --uto 10s -- sh -c '${inner}'`;
    const child = r.lab.spawn(["script", "-qec", line, "/dev/null"], { cgroup: r.home });
    const said = await child.stdout.text();
    const [tty, groups] = said.split("\r\n");
    expect(tty).toMatch(/^\/dev\/pts\//);
    const [own, foreground] = groups!.trim().split(/\s+/);
    expect(foreground).toBe(own!);
    expect([said.includes("not reached"), await child.exited]).toEqual([false, 130]);
    const typed = r.lab.spawn(
      ["script", "-qec", `exec "${tcpxPath()}" run --uto 10s -- sleep 60`, "/dev/null"],
      {
        cgroup: r.home,
      },
    );
    const isUp = () =>
      r
        .runs()
        .flatMap(processesOf)
        .some((pid) => commOf(pid) === "sleep");
    expect(await until(isUp)).toBe(true);
    typed.stdin.write("\x03");
    void typed.stdin.flush();
    expect(await typed.exited).toBe(130);
  });

  test.each(["SIGTERM", "SIGINT", "SIGHUP", "SIGKILL", "SIGUSR1"] as const)(
    "%s reaches the command",
    async (name) => {
      const child = await idle();
      child.kill(name);
      await child.exited;
      expect(child.signalCode).toBe(name);
    },
  );

  test("the rules are there before the command starts, and only they change", async () => {
    const { stdout, stderr } = await sh(`${tcpxPath()} status --json`);
    expect(stderr).toBe("");
    const [scope] = JSON.parse(stdout).scopes.filter(({ cgroup }: { cgroup: string }) =>
      /tcpx-run-/.test(cgroup),
    );
    expect(scope).toMatchObject({ alive: true, unit: null, rules: [{ kind: "local" }, { kind: "ask" }] });
    const all = await idle("--cc-request", "reno", "--iw", "30", "--to", "192.0.2.0/24", "--port", "80");
    const [path = ""] = r.runs();
    expect((await scopeOf(path)).rules).toMatchObject([
      { extension: "uto", kind: "local", timeout_ms: 10_000, address: "192.0.2.0/24", port: 80 },
      { extension: "uto", kind: "ask" },
      { extension: "cc-request", kind: "ask", algorithm: "reno", direction: "to" },
      { extension: "iw", kind: "ask", segments: 30 },
    ]);
    all.kill();
  });

  test("its own name: rules can be changed from inside and outside while it runs", async () => {
    const child = await idle();
    const [path = ""] = r.runs();
    await tcpxOk(["uto", "set", "20s", "--pid", `${child.pid}`, "--wait"]);
    expect((await scopeOf(path)).rules[0]).toMatchObject({ timeout_ms: 20_000 });
    await tcpxOk(["uto", "unset", "--all", "--pid", `${child.pid}`, "--wait"]);
    expect(await scopeOf(path)).toBeUndefined();
    child.kill();
  });

  test("the scope stays until the last process, and a pipe does not wait for the watcher", async () => {
    const { code, stdout } = await sh("sleep 60 >/dev/null 2>&1 & echo $!");
    const pid = Number(stdout);
    expect(pid).toBeGreaterThan(0); // or whoever runs the tests would be killed
    try {
      expect([code, r.runs().length]).toEqual([0, 1]);
      expect(cgroupNameOf(pid)).toBe(r.runs()[0]!.split("/").at(-1)!);
      expect(await scopeOf(r.runs()[0]!)).toMatchObject({ alive: true });
    } finally {
      process.kill(pid); // and the scope goes
    }
  });

  test("the command has no children that it did not start", async () => {
    const child = await idle();
    expect(await Bun.file(`/proc/${child.pid}/task/${child.pid}/children`).text()).toBe("");
    const [watcher] = r.watchers();
    const memory = await Bun.file(`/proc/${watcher}/status`).text();
    expect(Number(/RssAnon:\s+(\d+)/.exec(memory)?.[1])).toBeLessThan(4096);
    child.kill();
  });

  test("nested: the inner scope is below the outer one, and both go", async () => {
    const child = r.start([...UTO, tcpxPath(), "run", "--uto", "5s", "--", "sleep", "60"]);
    expect(await r.became(child, "sleep")).toBe(true);
    const [outer = "", inner = ""] = r.runs();
    expect(inner.startsWith(`${outer}/tcpx-run-`)).toBe(true);
    expect((await scopeOf(outer)).rules[0].timeout_ms).toBe(10_000);
    expect((await scopeOf(inner)).rules[0].timeout_ms).toBe(5000);
    child.kill();
  });

  test("cgroups that the command has made below its own go, too, with their rules", async () => {
    const { code, stderr } = await sh(
      `own=$(sed -n 's/^0:://p' /proc/self/cgroup); dir=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)$own
       mkdir -p $dir/a/b && ${tcpxPath()} uto set 30s --cgroup $dir/a/b --quiet --wait`,
    );
    expect([code, stderr]).toEqual([0, ""]);
    expect(await r.gone()).toBe(true);
    const { json } = await tcpxOk(["status"], { json: true });
    expect(json.scopes.filter(({ cgroup }: { cgroup: string }) => /tcpx-run-/.test(cgroup))).toEqual([]);
  });

  test("killed before it became the command: the watcher cleans up", async () => {
    const started = async () => {
      const child = await idle();
      child.kill();
      await child.exited;
    };
    const whole = await shortest([started, started]);
    for (const part of [0.2, 0.4, 0.6, 0.8, 0.95]) {
      const child = r.start([...UTO, "sleep", "60"]);
      await Bun.sleep(part * whole);
      child.kill("SIGKILL");
      await child.exited;
      expect(await r.gone()).toBe(true);
    }
  });

  test("killed the moment its cgroup is there: the watcher was there before", async () => {
    for (let round = 0; round < 10; round++) {
      const child = r.start([...UTO, "sleep", "60"]);
      const deadline = Date.now() + 10_000;
      // without a pause: what lies between mkdir() and the next call takes less than a millisecond
      while (r.runs().length === 0 && Date.now() < deadline);
      expect(r.runs()).toHaveLength(1);
      child.kill("SIGKILL");
      await child.exited;
      expect(await r.gone()).toBe(true);
    }
  });

  test("the executable has been replaced meanwhile: the old one cleans up", async () => {
    const copy = join(r.lab.dir, "tcpx-copy");
    copyFileSync(tcpxPath(), copy);
    const child = r.lab.spawn([copy, "run", ...UTO, "sleep", "60"], { cgroup: r.home });
    expect(await r.became(child, "sleep")).toBe(true);
    rmSync(copy);
    child.kill();
    expect(await r.gone()).toBe(true);
  });

  test("the watcher was killed: the next change of any rule removes what is left", async () => {
    const child = await idle();
    const [path = ""] = r.runs();
    for (const pid of r.watchers()) process.kill(pid, "SIGKILL");
    child.kill();
    await child.exited;
    await Bun.sleep(300);
    expect(r.runs()).toEqual([path]);
    const next = await tcpxOk(["uto", "set", "30s", "--cgroup", r.home, "--wait"]);
    expect(next.stderr).toMatch(/tcpx-run-[\d-]+ is gone: removed its 2 rule/);
    await tcpxOk(["uto", "unset", "--all", "--cgroup", r.home, "--wait"]);
  });

  test("the watcher was killed: another run beside it removes it, too", async () => {
    const child = await idle();
    for (const pid of r.watchers()) process.kill(pid, "SIGKILL");
    child.kill();
    await child.exited;
    const { stdout, stderr } = await sh("echo fine");
    expect([stdout, stderr]).toEqual(["fine\n", ""]);
  });
});
