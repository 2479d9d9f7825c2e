// SPDX-License-Identifier: MIT
// The life of the ACK agent: one per host, started by the rules that need it and ended with the last of
// them, whatever befalls it meanwhile. In private hosts with a /run of their own, where it is alone.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { type Connection, connectPeers, Lab, until } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";

const SOCKET = "/run/tcpx/agent.sock";

/** One process of the private host; pids are those in there. */
interface Process {
  pid: number;
  ppid: number;
  sid: number;
  tty: string;
  args: string;
}

describeIf(labRequirement.ok, labRequirement.reason)("the ACK agent", () => {
  let lab: Lab;
  let host: PrivateHost;
  let outer: string;
  let inner: string;

  beforeAll(async () => {
    lab = await Lab.create();
    host = await PrivateHost.create(lab);
    outer = lab.cgroup("outer");
    inner = lab.cgroup("inner", outer);
  });
  afterEach(async () => {
    for (const cgroup of [inner, outer]) await host.ok(["ack", "unset", "--all", "--cgroup", cgroup]);
    await host.ok(["agent", "--stop"]);
    expect(await remains()).toEqual([]);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  const ack = (words: string, cgroup = outer) =>
    host.ok(["ack", ...words.split(" "), "--cgroup", cgroup], { json: true });
  const agentOf = async () => (await host.ok(["status"], { json: true })).json.agent;

  async function processes(): Promise<Process[]> {
    const lines = (await host.sh("ps -eo pid=,ppid=,sid=,tty=,args=")).trim().split("\n");
    return lines
      .map((line) => /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line)!)
      .map(([, pid, ppid, sid, tty = "", args = ""]) => ({
        pid: Number(pid),
        ppid: Number(ppid),
        sid: Number(sid),
        tty,
        args,
      }));
  }

  const agents = async () => (await processes()).filter(({ args }) => /tcpx (internal-)?agent/.test(args));

  /** What is left of agents: processes, guards, files. */
  async function remains(): Promise<string[]> {
    let found: string[] = [];
    await until(async () => {
      const text = await host.sh("ps -eo comm= | grep '^tcpx'; find /run/tcpx 2>/dev/null; true");
      found = text.split("\n").filter(Boolean);
      return found.length === 0;
    });
    return found;
  }

  /** Kills it as an administrator, or the kernel, might. */
  async function kill(signal = "KILL"): Promise<number> {
    const [{ pid } = { pid: 0 }] = await agents();
    await host.sh(`kill -${signal} ${pid}`);
    expect(await until(async () => (await agents()).every((agent) => agent.pid !== pid))).toBe(true);
    return pid;
  }

  test("a rule starts it, another one does not start a second, the last one's end is its end", async () => {
    const first = (await ack("set --every 8")).json;
    expect(first).toMatchObject({ changed: true, agent: { running: true, problems: [] } });
    const { pid } = first.agent;
    expect((await agents()).map((agent) => agent.pid)).toEqual([pid]);
    expect((await ack("set --every 16")).json.agent.pid).toBe(pid);
    expect((await ack("set --every 1", inner)).json.agent).toMatchObject({ pid, mark_bits: 1 << 13 });
    expect((await ack("unset --all")).json.agent).toMatchObject({ running: true, pid, scopes: [] });
    expect((await ack("unset --all", inner)).json.agent).toMatchObject({ running: false });
    expect(await remains()).toEqual([]);
  });

  test("it is attached to the topmost scopes only", async () => {
    const scopes = async () => (await agentOf()).scopes.map((name: string) => name.split("/").at(-1));
    await ack("set --every 8", inner);
    expect(await scopes()).toEqual(["inner"]);
    await ack("set --every 4");
    expect(await scopes()).toEqual(["outer"]);
    await ack("unset --all");
    expect(await scopes()).toEqual(["inner"]);
  });

  test("rules of others and --dry-run do not start it; a delay alone does not need it", async () => {
    await host.ok(["ack", "set", "--every", "8", "--cgroup", outer, "--dry-run"]);
    await host.ok(["uto", "set", "30s", "--cgroup", outer]);
    await ack("set --delay 20ms");
    expect(await agents()).toEqual([]);
    expect(await agentOf()).toEqual({ running: false, pid: null });
    await host.ok(["uto", "unset", "--all", "--cgroup", outer]);
  });

  test("in a session of its own, without terminal, directory, descriptors or namespace of its starter", async () => {
    const ns = await lab.netns("starter");
    const words = `${tcpxPath()} ack set --every 8 --cgroup ${outer}`;
    // the shell that started it is gone before we look; descriptor 9 would keep a file busy
    await lab.exec(ns, [...host.wrap, "sh", "-c", `cd /run && exec 9</proc/self/status && ${words}`]);
    const [agent] = await agents();
    expect(agent).toMatchObject({ ppid: expect.any(Number), sid: agent!.pid, tty: "?" });
    expect((await processes()).some(({ pid }) => pid === agent!.ppid && pid > 1)).toBe(false);
    const { pid } = agent!;
    const of = (path: string) => host.sh(`readlink /proc/${pid}/${path}`).then((text) => text.trim());
    expect(await of("cwd")).toBe("/");
    for (const fd of [0, 1, 2]) expect(await of(`fd/${fd}`)).toBe("/dev/null");
    expect(await host.sh(`ls -l /proc/${pid}/fd`)).not.toContain("/proc/");
    expect(await of("ns/net")).toBe((await host.sh("readlink /proc/1/ns/net")).trim());
    expect(await host.sh(`readlink /proc/${pid}/task/*/ns/net | sort -u | wc -l`)).toBe("1\n");
    expect((await host.sh("stat -c '%a %u' /run/tcpx")).trim()).toBe("700 0");
  });

  test("routes for ACKs at once come with the rule, and go with it, and with a killed agent", async () => {
    const netns = await lab.netns("routed");
    const ours = async () =>
      (await lab.exec(netns, ["sh", "-c", "ip rule; ip -6 rule"]))
        .split("\n")
        .filter((l) => l.includes("31904"));
    const set = () =>
      host.ok(["ack", "set", "--every", "1", "--cgroup", outer], { json: true, netns: lab.ns("routed") });
    const sleeper = lab.spawn([...host.wrap, "sleep", "600"], { netns, cgroup: inner });
    expect((await set()).json.agent).toMatchObject({ namespaces: 1, problems: [], mark_bits: 1 << 13 });
    expect(await ours()).toHaveLength(2);
    await ack("unset --all");
    expect(await ours()).toEqual([]);
    await set();
    expect(await ours()).toHaveLength(2);
    await kill();
    expect(await until(async () => (await ours()).length === 0)).toBe(true);
    sleeper.kill("SIGKILL");
    await sleeper.exited;
  });

  test("status and show tell what was thinned, by rule; a killed agent's connection goes on", async () => {
    await lab.netns("sender");
    await lab.netns("receiver");
    const { b } = await lab.link("sender", "receiver");
    // a process of the private host, by which its agent finds the namespace
    lab.spawn([...host.wrap, "sleep", "600"], { netns: "receiver" });
    // one segment, one packet: a receiver that is given 64 KB at once has few ACKs to hold back
    await lab.exec("sender", ["ip", "link", "set", "to-receiver", "gso_max_segs", "1"]);
    await ack("set --every 8 --min-acks-per-rtt 0");
    const sender = await lab.peer("sender");
    const receiver = await lab.peer("receiver", outer);
    const bulk = async (c: Connection) => {
      const [sent, got] = await Promise.all([
        sender.send(c.client, 3_000_000, 20_000),
        receiver.recv(c.server, 3_000_000, 20_000),
      ]);
      expect(got).toBe(sent);
    };
    const c = await connectPeers(sender, receiver, b.v4);
    await bulk(c);
    const [figures] = (await host.ok(["status"], { json: true })).json.ack;
    expect(figures).toMatchObject({ extension: "ack", every: 8, kind: "local" });
    const { passed, dropped, reasons } = figures.counters;
    expect(dropped).toBeGreaterThan(0);
    expect((await agentOf()).namespaces).toBe(1);
    expect(Object.values<number>(reasons).reduce((sum, n) => sum + n, 0)).toBe(passed);
    expect((await ack("show")).json.ack[0].counters.dropped).toBeGreaterThanOrEqual(dropped);
    expect((await host.ok(["status"])).stdout).toMatch(
      /\nlocal every 8, min 0\/rtt all connections, .* \d+ +\d+ +\d+\n {2}.*every \d+/,
    );
    await kill();
    await bulk(c);
    expect((await ack("set --every 8")).json.agent.running).toBe(true);
    await bulk(c);
  });

  test("a namespace in which no process of the scope lives is left alone", async () => {
    const netns = await lab.netns("other");
    const { json } = await host.ok(["ack", "set", "--every", "1", "--cgroup", outer], { json: true, netns });
    expect(json.agent).toMatchObject({ running: true, namespaces: 0 });
    expect(await lab.exec(netns, ["ip", "rule"])).not.toContain("31904");
  });

  test("two commands at the same time: one agent serves both", async () => {
    const cgroups = Array.from({ length: 4 }, (_, i) => lab.cgroup(`many${i}`));
    const set = (cgroup: string) =>
      host.ok(["ack", "set", "--every", "8", "--wait", "--cgroup", cgroup], { json: true });
    const made = await Promise.all(cgroups.map(set));
    expect(new Set(made.map(({ json }) => json.agent.pid)).size).toBe(1);
    await until(async () => (await agents()).length === 1);
    expect((await agentOf()).scopes).toHaveLength(4);
    const unset = (cgroup: string) => host.ok(["ack", "unset", "--all", "--wait", "--cgroup", cgroup]);
    await Promise.all(cgroups.map(unset));
    expect(await remains()).toEqual([]);
  });

  test("a rule that comes while it ends gets the next one", async () => {
    await ack("set --every 8");
    for (let round = 0; round < 5; round++) {
      const [, set] = await Promise.all([
        host.ok(["ack", "unset", "--all", "--wait", "--cgroup", outer]),
        host.ok(["ack", "set", "--every", "8", "--wait", "--cgroup", inner], { json: true }),
      ]);
      expect(set.json.agent.running).toBe(true);
      expect((await agentOf()).running).toBe(true);
      await Promise.all([ack("set --every 8 --wait"), ack("unset --all --wait", inner)]);
      expect(await agentOf()).toMatchObject({ running: true, scopes: [expect.stringMatching(/outer$/)] });
    }
  });

  test("killed: status warns, and the same command again starts it in spite of the dead one's socket", async () => {
    const { pid } = (await ack("set --every 8")).json.agent;
    await kill();
    expect(await host.sh(`ls ${SOCKET}`)).toContain(SOCKET);
    const { stderr, stdout } = await host.ok(["status"]);
    expect(stderr).toContain("`tcpx agent --start` starts it");
    expect(stdout).toContain("agent: not running");
    const again = (await ack("set --every 8")).json;
    expect(again).toMatchObject({ changed: false, agent: { running: true } });
    expect(again.agent.pid).not.toBe(pid);
    await kill();
    expect((await host.ok(["agent", "--start"], { json: true })).json.agent.running).toBe(true);
  });

  test("killed, and then the last rule is unset: nothing starts, nothing is left by --stop", async () => {
    await ack("set --every 8");
    await kill();
    expect((await ack("unset --all")).json.agent).toMatchObject({ running: false });
    expect(await agents()).toEqual([]);
    expect((await host.ok(["agent", "--stop"])).stdout).toBe("no agent runs\n");
    expect(await remains()).toEqual([]);
  });

  test("--stop ends it, rules stay; once more is no error", async () => {
    const { pid } = (await ack("set --every 8")).json.agent;
    expect((await host.ok(["agent", "--stop"], { json: true })).json).toMatchObject({
      changed: true,
      stopped: pid,
      killed: false,
    });
    expect(await remains()).toEqual([]);
    expect((await host.ok(["agent", "--stop"])).stdout).toBe("no agent runs\n");
    expect((await ack("show")).json.rules).toHaveLength(1);
  });

  test("one that hangs is killed by --stop", async () => {
    const { pid } = (await ack("set --every 8")).json.agent;
    await host.sh(`kill -STOP ${pid}`);
    const { json } = await host.ok(["agent", "--stop"], { json: true, timeoutMs: 40_000 });
    expect(json).toMatchObject({ stopped: pid, killed: true });
    expect(await remains()).toEqual([]);
  });

  test.each(["TERM", "INT", "HUP"])("SIG%s is a clean end", async (signal) => {
    await ack("set --every 8");
    await kill(signal);
    expect(await remains()).toEqual([]);
  });

  test("in the foreground: serves until the last rule goes; a second one says who runs", async () => {
    await ack("set --every 8");
    await host.ok(["agent", "--stop"]);
    const running = host.ok(["agent"]);
    expect(await until(async () => (await agentOf()).running)).toBe(true);
    const [{ pid } = { pid: 0 }] = await agents();
    expect((await host.ok(["agent"])).stdout).toBe(`the agent runs already, pid ${pid}\n`);
    await ack("unset --all");
    const { stdout } = await running;
    expect(stdout).toMatch(/^agent: pid \d+, .*\nno rule needs the agent any more\n$/s);
    expect((await host.ok(["agent"])).stdout).toBe("no rule needs the agent\n");
  });

  test("an agent of another build is replaced", async () => {
    await ack("set --every 8");
    await host.ok(["agent", "--stop"]);
    // the same program, one byte longer: another build
    const other = `${lab.dir}/tcpx`;
    await host.sh(`cp ${tcpxPath()} ${other} && printf x >>${other} && chmod +x ${other}`);
    await host.sh(`${other} agent --start`);
    const old = (await agents())[0]!;
    expect(old.args).toContain(other);
    const { agent } = (await ack("set --every 9")).json;
    expect(agent).toMatchObject({ running: true, problems: [] });
    expect((await agents()).map(({ pid, args }) => [pid, args])).toEqual([
      [agent.pid, `${tcpxPath()} internal-agent`],
    ]);
  });

  test("maps that are pinned anew: it notices, and thins with the new ones", async () => {
    await ack("set --every 8");
    const { pid } = await agentOf();
    await host.sh(`kill -STOP ${pid}`); // it does not hear of the end of the last rule
    await host.tcpx(["ack", "unset", "--all", "--cgroup", outer]);
    await host.sh(`kill -CONT ${pid}`);
    const { agent } = (await ack("set --every 8")).json;
    expect(agent).toMatchObject({ running: true, problems: [] });
    expect(agent.scopes).toHaveLength(1);
  });

  test("a removed cgroup's rules do not keep it", async () => {
    const gone = lab.cgroup("gone");
    await ack("set --every 8", gone);
    await host.sh(`rmdir ${gone}`);
    await host.ok(["uto", "set", "30s", "--cgroup", outer]);
    expect(await agents()).toEqual([]);
    await host.ok(["uto", "unset", "--all", "--cgroup", outer]);
  });

  test("a directory that somebody else has planted is refused and left alone; the rule stays", async () => {
    const plants = [
      "mkdir -m 700 /run/else && ln -s /run/else /run/tcpx",
      "mkdir -m 700 /run/tcpx && chown 65534 /run/tcpx",
      "mkdir -m 755 /run/tcpx",
      "touch /run/tcpx",
    ];
    for (const plant of plants) {
      await host.sh(plant);
      const before = await host.sh("ls -ldn /run/tcpx");
      const { code, stderr, json } = await host.tcpx(["ack", "set", "--every", "8", "--cgroup", outer], {
        json: true,
      });
      expect(code).toBe(1);
      expect(stderr).toMatch(/^tcpx: warning: \/run\/tcpx is not a directory of ours alone; .*\n$/);
      expect(json).toMatchObject({ agent: { running: false, error: expect.stringContaining("/run/tcpx") } });
      expect((await host.tcpx(["agent"])).code).toBe(4);
      expect((await host.tcpx(["agent", "--stop"])).code).toBe(4);
      expect(await host.sh("ls -ldn /run/tcpx")).toBe(before);
      await host.sh("rm -rf /run/tcpx /run/else");
      expect((await ack("show")).json.rules).toHaveLength(1);
      await ack("unset --all");
    }
  });

  test("a /run that cannot be written: exit 1, one line, and the rule stays", async () => {
    await host.sh("mount -o remount,ro /run");
    const { code, stderr, json } = await host.tcpx(["ack", "set", "--every", "8", "--cgroup", outer], {
      json: true,
    });
    expect([code, json.changed]).toEqual([1, true]);
    expect(stderr).toMatch(/^tcpx: warning: \/run\/tcpx cannot be made \(EROFS\); .*\n$/);
    await host.sh("mount -o remount,rw /run");
    expect((await ack("set --every 8")).json.agent.running).toBe(true);
  });

  test("an unprivileged user can neither run it nor end it", async () => {
    await ack("set --every 8");
    const wrap = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    for (const words of [["agent"], ["agent", "--stop"], ["agent", "--start"]]) {
      expect((await host.tcpx(words, { wrap })).code).toBe(4);
    }
    expect((await agents()).length).toBe(1);
    expect((await host.tcpx(["agent", "--start", "--stop"])).code).toBe(2);
  });

  test("nonsense on the socket harms nobody", async () => {
    const { pid } = (await ack("set --every 8")).json.agent;
    const send = `const s = require("net").connect("${SOCKET}", () => s.end(process.argv.at(-1)));
      s.on("data", (d) => process.stdout.write(d)); s.on("error", () => {});`;
    for (const text of ["\n", "{}\n", "[\n", '{"op":"sync","netns":{"path":"/etc","inode":1}}\n', "x", ""]) {
      await host.sh(`timeout 5 ${process.execPath} -e '${send}' -- '${text}'`);
    }
    expect(await agentOf()).toMatchObject({ running: true, pid });
  });

  test("reset ends it first, and proves that nothing is left", async () => {
    const alone = await PrivateHost.create(lab);
    const { pid } = (await alone.ok(["ack", "set", "--every", "8", "--cgroup", outer], { json: true })).json
      .agent;
    expect((await alone.ok(["reset", "--dry-run"], { json: true })).json).toMatchObject({ agent: pid });
    const { json } = await alone.tcpx(["reset"], { json: true });
    expect(json).toMatchObject({
      removed: { agent: pid, rules: 1 },
      proof: { agent_left: false, namespaces_with_routes_left: 0, pins_left: [] },
    });
    expect(
      await alone.sh("ls -d /run/tcpx 2>/dev/null; ps -eo args= | grep '[i]nternal-agent' || true"),
    ).toBe("");
    await alone.stop();
  });
});
