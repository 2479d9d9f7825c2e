// SPDX-License-Identifier: MIT
// What the agent and its starter may not do: thinning without raw sockets is refused and not silently left out, and
// what is lost later is a problem that `status` tells.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { AgentHost } from "../support/agent-host.ts";
import { connectPeers, until } from "../support/lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { type TcpxResult, tcpxPath } from "../support/tcpx.ts";

/** Runs the command after it without these, and nothing that it starts can have them. */
const without = (...capabilities: string[]) => [
  "setpriv",
  "--bounding-set",
  capabilities.map((name) => `-${name}`).join(","),
  "--",
];

const SOCKET = process.arch === "arm64" ? 198 : 41;
const [EPERM, EAFNOSUPPORT] = [1, 97];
const FAMILY = { AF_INET: 2, AF_INET6: 10 } as const;

/** Runs the command after it behind a seccomp filter for raw sockets of this family, as a unit or container may. */
function withoutRawSockets(family: number, errno: number): string[] {
  const code = [
    [0x20, 0, 0, 0], // the system call's number
    [0x15, 0, 6, SOCKET],
    [0x20, 0, 0, 16], // family
    [0x15, 0, 4, family],
    [0x20, 0, 0, 24], // type, with its flags
    [0x54, 0, 0, 0xf],
    [0x15, 0, 1, 3], // SOCK_RAW
    [0x06, 0, 0, 0x00050000 | errno],
    [0x06, 0, 0, 0x7fff0000],
  ];
  const script = `import ctypes, os, struct, sys
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in ${JSON.stringify(code)}))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", ${code.length}, ctypes.addressof(code)))
libc = ctypes.CDLL(None)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program): sys.exit("no filter")
os.execvp(sys.argv[1], sys.argv[1:])`;
  return ["python3", "-c", script];
}

describeIf(labRequirement.ok, labRequirement.reason)("what the ACK agent may not do", () => {
  let a: AgentHost;

  beforeAll(async () => {
    a = await AgentHost.create();
  });
  afterEach(() => a.clear());
  afterAll(() => a[Symbol.asyncDispose]());

  const tcpx = (words: string, wrap: string[], json = false) =>
    a.host.tcpx(words.split(" "), { wrap, json, cgroup: a.outer });
  const ack = (words: string, wrap: string[], json = false) =>
    tcpx(`ack ${words} --cgroup ${a.outer}`, wrap, json);
  const rules = async () => (await a.ack("show")).json.rules;

  const expectRefused = async ({ code, stderr, stdout }: TcpxResult, why: string) => {
    expect([code, stdout]).toEqual([4, ""]);
    expect(stderr).toMatch(/^tcpx: [^\n]+\n$/);
    expect(stderr).toContain(why);
    expect(await rules()).toEqual([]);
    expect(await a.remains()).toEqual([]);
  };

  /** The agent again, with what is left behind `wrap`. */
  const restart = async (wrap: string[]) => {
    await a.kill();
    return tcpx("agent --start", wrap, true);
  };

  /** A namespace that the agent can find, with a connection that wants it. */
  const connected = async (name: string, wrap: string[] = []) => {
    const netns = await a.lab.netns(name);
    a.lab.spawn([...a.host.wrap, ...wrap, "sleep", "600"], { netns });
    const peer = () => a.lab.peer(netns, a.outer);
    return { netns, c: await connectPeers(await peer(), await peer(), "127.0.0.1") };
  };

  const agentWith = async (problem: string) => {
    let agent = await a.agent();
    await until(async () => {
      agent = await a.agent();
      return agent.problems?.some((text: string) => text.includes(problem));
    });
    expect((agent.problems ?? []).join("\n")).toContain(problem);
    return agent;
  };

  test.each([
    "set --every 4",
    "set --every 2 --delay rtt/4",
    "accept",
    "accept --max-every 2",
    "set --every 4 --dry-run",
  ])("`ack %s` without CAP_NET_RAW: exit 4, and nothing has changed", async (words) =>
    expectRefused(await ack(words, without("net_raw")), "CAP_NET_RAW is missing"),
  );

  test("the same for `apply`, `run`, and as JSON", async () => {
    const policy = `${a.lab.dir}/policy.toml`;
    const { stdout } = await a.host.ok(["ack", "set", "--every", "4", "--cgroup", a.outer, "--dry-run"]);
    expect(stdout).toContain("every 4");
    await Bun.write(policy, `[[scope]]\ncgroup = "${a.outer}"\n[[scope.ack]]\nset = "every=4"\n`);
    await a.ack("set --every 4");
    await Bun.write(policy, (await a.host.ok(["export"])).stdout);
    await a.clear();
    await expectRefused(await tcpx(`apply ${policy}`, without("net_raw")), "CAP_NET_RAW is missing");
    const run = await tcpx("run --ack every=4 -- echo ran", without("net_raw"));
    expect([run.code, run.stdout]).toEqual([125, ""]);
    expect(run.stderr).toContain("CAP_NET_RAW is missing");
    const { code, json } = await ack("set --every 4", without("net_raw"), true);
    expect([code, json.error]).toMatchObject([4, { code: 4, what: expect.stringContaining("CAP_NET_RAW") }]);
  });

  test.each(["set --every 1", "set --delay 20ms", "accept --max-every 1", "request --every 4", "set none"])(
    "`ack %s` needs no CAP_NET_RAW",
    async (words) => {
      const { code, stderr, json } = await ack(words, without("net_raw"), true);
      expect([code, stderr]).toEqual([0, ""]);
      expect(json.agent?.problems ?? []).toEqual([]);
    },
  );

  test("an agent that has it is enough", async () => {
    const { pid } = (await a.ack("set --every 8")).json.agent;
    const { code, json } = await ack("set --every 4", without("net_raw"), true);
    expect([code, json.agent]).toMatchObject([0, { pid, thinning: true, problems: [] }]);
  });

  test("lost with a restart: status tells it, a repeated command fails, and one that has it puts it right", async () => {
    await a.ack("set --every 4");
    const { code, json } = await restart(without("net_raw"));
    expect([code, json.agent.thinning]).toEqual([4, false]);
    const lost = await agentWith("CAP_NET_RAW is missing");
    expect(lost).toMatchObject({ running: true, thinning: false, capabilities_missing: ["CAP_NET_RAW"] });
    expect((await a.host.ok(["status"])).stdout).toMatch(/^ {2}problem: .*CAP_NET_RAW is missing/m);
    const again = await ack("set --every 4", without("net_raw"), true);
    expect(again.code).toBe(4);
    expect(again.stderr).toContain("CAP_NET_RAW is missing");
    expect(await rules()).toHaveLength(1);
    expect((await ack("set --every 9", without("net_raw"))).code).toBe(4);
    expect(await rules()).toMatchObject([{ every: 4 }]);
    const { agent } = (await a.ack("set --every 4")).json;
    expect(agent).toMatchObject({ running: true, thinning: true, problems: [], capabilities_missing: [] });
    expect(agent.pid).not.toBe(lost.pid);
  });

  test("without it ACKs at once stay where they are, whatever other rules come", async () => {
    const netns = await a.lab.netns("at-once");
    a.lab.spawn([...a.host.wrap, "sleep", "600"], { netns, cgroup: a.inner });
    await a.ack("set --every 4");
    await restart(without("net_raw"));
    const wrap = without("net_raw");
    const words = ["ack", "set", "--every", "1", "--cgroup", a.inner];
    expect((await a.host.tcpx(words, { netns, wrap, json: true })).json.agent.namespaces).toBe(1);
    await a.lab.exec(netns, ["ip", "route", "add", "192.0.2.0/24", "dev", "lo"]);
    await until(async () => (await a.agent()).route_changes > 0);
    const before = (await a.agent()).route_changes;
    expect(before).toBeGreaterThan(0);
    // a thread that is made anew counts anew
    expect((await a.host.tcpx(["agent", "--start"], { wrap, json: true })).json.agent.route_changes).toBe(
      before,
    );
  });

  test("a filter that refuses raw sockets is told apart from the capability", async () => {
    const wrap = withoutRawSockets(FAMILY.AF_INET, EPERM);
    await expectRefused(await ack("set --every 4", wrap), "raw sockets are refused (EPERM)");
    const other = await ack("set --every 4", withoutRawSockets(FAMILY.AF_INET, EAFNOSUPPORT));
    expect([other.code, other.stdout]).toEqual([3, ""]);
    expect(other.stderr).toContain("raw sockets are refused (EAFNOSUPPORT)");
  });

  test("IPv6 that is there, but refused to the agent, is no IPv6 that is missing", async () => {
    const wrap = withoutRawSockets(FAMILY.AF_INET6, EAFNOSUPPORT);
    const { code, stderr } = await ack("set --every 4", wrap);
    expect([code, stderr]).toEqual([3, expect.stringContaining("raw sockets are refused (EAFNOSUPPORT)")]);
  });

  test("without CAP_SYS_ADMIN other namespaces are a problem, and not another user's", async () => {
    await a.ack("set --every 4");
    expect((await restart(without("sys_admin"))).code).toBe(0);
    await connected("other");
    const agent = await agentWith("CAP_SYS_ADMIN is missing");
    expect(agent).toMatchObject({ thinning: true, namespaces_failed: 1, namespaces_foreign: 0 });
    expect(agent.capabilities_missing).toEqual(["CAP_SYS_ADMIN"]);
  });

  test("without CAP_SYS_PTRACE namespaces that are not found are one", async () => {
    await a.ack("set --every 4");
    expect((await restart(without("sys_ptrace"))).code).toBe(0);
    await connected("hidden");
    expect((await agentWith("CAP_SYS_PTRACE is missing")).namespaces_failed).toBe(0);
  });

  test("no more descriptors for the agent that runs", async () => {
    const { pid } = (await a.ack("set --every 4")).json.agent;
    const open = Number(await a.host.sh(`ls /proc/${pid}/fd | wc -l`));
    await a.host.sh(`prlimit --pid ${pid} --nofile=${open}:`);
    await connected("one-too-many");
    expect(await agentWith("EMFILE")).toMatchObject({ namespaces: 0, namespaces_failed: 1 });
    await a.host.sh(`prlimit --pid ${pid} --nofile=4096:`);
    await connected("enough");
    expect(await until(async () => (await a.agent()).namespaces > 0)).toBe(true);
  });

  test("tcpx agent in the foreground says what is missing", async () => {
    await a.ack("set --every 4");
    await a.host.ok(["agent", "--stop"]);
    const wrap = without("net_raw");
    const child = a.lab.spawn([...a.host.wrap, ...wrap, tcpxPath(), "agent"], { stderr: "pipe" });
    await agentWith("CAP_NET_RAW is missing");
    await a.host.ok(["agent", "--stop"]);
    expect(await new Response(child.stderr as ReadableStream).text()).toContain("CAP_NET_RAW is missing");
  });
});
