// SPDX-License-Identifier: MIT
// What may befall the ACK agent: killed, hanging, of another build, its directory planted by somebody else.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { AgentHost } from "../support/agent-host.ts";
import type { Lab } from "../support/lab.ts";
import type { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";

const SOCKET = "/run/tcpx/agent.sock";

describeIf(labRequirement.ok, labRequirement.reason)("an ACK agent in trouble", () => {
  let a: AgentHost;
  let lab: Lab;
  let host: PrivateHost;
  let outer: string;

  beforeAll(async () => {
    a = await AgentHost.create();
    ({ lab, host, outer } = a);
  });
  afterEach(() => a.clear());
  afterAll(() => a[Symbol.asyncDispose]());

  test("killed: status warns, and the same command again starts it in spite of the dead one's socket", async () => {
    const { pid } = (await a.ack("set --every 8")).json.agent;
    await a.kill();
    expect(await host.sh(`ls ${SOCKET}`)).toContain(SOCKET);
    const { stderr, stdout } = await host.ok(["status"]);
    expect(stderr).toContain("`tcpx agent --start` starts it");
    expect(stdout).toContain("agent: not running");
    const again = (await a.ack("set --every 8")).json;
    expect(again).toMatchObject({ changed: false, agent: { running: true } });
    expect(again.agent.pid).not.toBe(pid);
    await a.kill();
    expect((await host.ok(["agent", "--start"], { json: true })).json.agent.running).toBe(true);
  });

  test("killed, and then the last rule is unset: nothing starts, nothing is left by --stop", async () => {
    await a.ack("set --every 8");
    await a.kill();
    expect((await a.ack("unset --all")).json.agent).toMatchObject({ running: false });
    expect(await a.agents()).toEqual([]);
    expect((await host.ok(["agent", "--stop"])).stdout).toBe("no agent runs\n");
    expect(await a.remains()).toEqual([]);
  });

  test("one that hangs is killed by --stop", async () => {
    const { pid } = (await a.ack("set --every 8")).json.agent;
    await host.sh(`kill -STOP ${pid}`);
    const { json } = await host.ok(["agent", "--stop"], { json: true, timeoutMs: 40_000 });
    expect(json).toMatchObject({ stopped: pid, killed: true });
    expect(await a.remains()).toEqual([]);
  });

  test.each(["TERM", "INT", "HUP"])("SIG%s is a clean end", async (signal) => {
    await a.ack("set --every 8");
    await a.kill(signal);
    expect(await a.remains()).toEqual([]);
  });

  test("an agent of another build is replaced", async () => {
    await a.ack("set --every 8");
    await host.ok(["agent", "--stop"]);
    // the same program, one byte longer: another build
    const other = `${lab.dir}/tcpx`;
    await host.sh(`cp ${tcpxPath()} ${other} && printf x >>${other} && chmod +x ${other}`);
    await host.sh(`${other} agent --start`);
    const old = (await a.agents())[0]!;
    expect(old.args).toContain(other);
    const { agent } = (await a.ack("set --every 9")).json;
    expect(agent).toMatchObject({ running: true, problems: [] });
    expect((await a.agents()).map(({ pid, args }) => [pid, args])).toEqual([
      [agent.pid, `${tcpxPath()} internal-agent`],
    ]);
  });

  test("maps that are pinned anew: it notices, and thins with the new ones", async () => {
    await a.ack("set --every 8");
    const { pid } = await a.agent();
    await host.sh(`kill -STOP ${pid}`); // it does not hear of the end of the last rule
    // it waits 15 s for an answer
    await host.tcpx(["ack", "unset", "--all", "--cgroup", outer], { timeoutMs: 60_000 });
    await host.sh(`kill -CONT ${pid}`);
    const { agent } = (await a.ack("set --every 8")).json;
    expect(agent).toMatchObject({ running: true, problems: [] });
    expect(agent.cgroups).toHaveLength(1);
  });

  test("a removed cgroup's rules do not keep it", async () => {
    const gone = lab.cgroup("gone");
    await a.ack("set --every 8", gone);
    await host.sh(`rmdir ${gone}`);
    await host.ok(["uto", "set", "30s", "--cgroup", outer]);
    expect(await a.agents()).toEqual([]);
    await host.ok(["uto", "unset", "--all", "--cgroup", outer]);
  });

  test("trouble in another scope's namespace is told, and is no failure of this rule", async () => {
    const netns = await lab.netns("routed");
    const sleeper = lab.spawn([...host.wrap, "sleep", "600"], { netns, cgroup: outer });
    const elsewhere = lab.cgroup("elsewhere");
    await host.ok(["ack", "set", "--every", "1", "--cgroup", outer], { json: true, netns });
    await lab.exec(netns, ["ip", "rule", "add", "fwmark", "0x4000/0x4000", "lookup", "100"]);
    const bit = ["ack", "set", "--every", "1", "--mark-bit", "14", "--cgroup", elsewhere];
    const { code, json, stderr } = await host.tcpx(bit, { json: true });
    expect(json.agent.problems).toHaveLength(1);
    expect(stderr).toContain("looks at the same bit");
    expect(code).toBe(0);
    await host.ok(["ack", "unset", "--all", "--cgroup", elsewhere]);
    await host.ok(["ack", "unset", "--all", "--cgroup", outer]);
    sleeper.kill("SIGKILL");
    await sleeper.exited;
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
      expect(json).toMatchObject({ agent: { running: false, reason: expect.stringContaining("/run/tcpx") } });
      expect((await host.tcpx(["agent"])).code).toBe(4);
      expect((await host.tcpx(["agent", "--stop"])).code).toBe(4);
      expect(await host.sh("ls -ldn /run/tcpx")).toBe(before);
      await host.sh("rm -rf /run/tcpx /run/else");
      expect((await a.ack("show")).json.rules).toHaveLength(1);
      await a.ack("unset --all");
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
    expect((await a.ack("set --every 8")).json.agent.running).toBe(true);
  });

  test("an unprivileged user can neither run it nor end it", async () => {
    await a.ack("set --every 8");
    const wrap = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    for (const words of [["agent"], ["agent", "--stop"], ["agent", "--start"]]) {
      expect((await host.tcpx(words, { wrap })).code).toBe(4);
    }
    expect((await a.agents()).length).toBe(1);
    expect((await host.tcpx(["agent", "--start", "--stop"])).code).toBe(2);
  });

  test("nonsense on the socket harms nobody", async () => {
    const { pid } = (await a.ack("set --every 8")).json.agent;
    const send = `const s = require("net").connect("${SOCKET}", () => s.end(process.argv.at(-1)));
      s.on("data", (d) => process.stdout.write(d)); s.on("error", () => {});`;
    for (const text of ["\n", "{}\n", "[\n", '{"op":"sync","netns":{"path":"/etc","inode":1}}\n', "x", ""]) {
      await host.sh(`timeout 5 ${process.execPath} -e '${send}' -- '${text}'`);
    }
    expect(await a.agent()).toMatchObject({ running: true, pid });
  });
});
