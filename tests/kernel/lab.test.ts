// SPDX-License-Identifier: MIT
// The test support itself, without tcpx: what judges tcpx has to be right first.
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  ECONNREFUSED,
  ETIMEDOUT,
  IPPROTO_TCP,
  TCP_ESTABLISHED,
  TCP_FASTOPEN,
  TCP_USER_TIMEOUT,
} from "../support/constants.ts";
import {
  congestionOf,
  connectPeers,
  Lab,
  leftovers,
  type Packet,
  type Peer,
  peerErrorOf,
  processesOf,
  sockoptOf,
  splitOptions,
  ssInfo,
} from "../support/lab.ts";
import { OWN_PREFIX } from "../support/leftovers.ts";
import {
  captureRequirement,
  describeIf,
  every,
  labRequirement,
  mptcpRequirement,
  nftRequirement,
  testIf,
} from "../support/requires.ts";
import { firsts } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, nftRequirement);
const UTO_30S = "1c04001e";

test("raw options are split, and an illegal length ends the list", () => {
  expect(splitOptions(`020405b40101${UTO_30S}00`)).toEqual([
    { kind: 2, hex: "020405b4" },
    { kind: 28, hex: UTO_30S },
  ]);
  expect(splitOptions("1c00ffff")).toEqual([{ kind: 28, hex: "1c00ffff" }]);
});

test("what is sent once more is told apart, also where sequence numbers wrap", () => {
  const packet = (flags: string, seq: number, length: number, ack: number) => ({ flags, seq, length, ack });
  const top = 2 ** 32 - 1;
  const sent = [
    ...[packet("S", top - 100, 0, 0), packet("S", top - 100, 0, 0), packet("A", top - 99, 0, 7)],
    ...[packet("PA", top - 99, 100, 7), packet("PA", 0, 100, 7), packet("PA", top - 99, 200, 9)],
    ...[packet("A", 100, 0, 7), packet("A", 100, 0, 9), packet("PA", 100, 50, 9), packet("FPA", 100, 50, 9)],
  ] as Packet[];
  expect(firsts(sent)).toEqual([0, 2, 3, 4, 7, 8, 9].map((i) => sent[i]!));
});

describeIf(needs.ok, needs.reason)("two namespaces", () => {
  let lab: Lab;
  let client: Peer;
  let server: Peer;
  let cgroup: string;

  beforeAll(async () => {
    lab = await Lab.create();
    await lab.netns("a");
    await lab.netns("b");
    await lab.link("a", "b");
    cgroup = lab.cgroup("clients");
    client = await lab.peer("a", cgroup);
    server = await lab.peer("b");
  });
  afterAll(async () => await lab[Symbol.asyncDispose]());

  test.each([
    ["IPv4", "10.77.1.2"],
    ["IPv6", "fd77:1::2"],
  ])("talk over %s", async (_, addr) => {
    const c = await connectPeers(client, server, addr);
    const [sent, received] = await Promise.all([
      client.send(c.client, 200_000),
      server.recv(c.server, 200_000),
    ]);
    expect(received).toBe(sent);
    await server.echo(c.server);
    expect(await client.exchange(c.client, 20, 100)).toBeGreaterThan(0);
    expect((await client.tcpInfo(c.client)).state).toBe(TCP_ESTABLISHED);
    expect((await client.peerName(c.client)).port).toBe(c.port);
    const [socket] = await ssInfo(lab.ns("a"), ["dport", "=", `${c.port}`]);
    expect(socket?.state).toBe("ESTAB");
    expect(socket?.info).toHaveProperty("rto");
    await client.close(c.client);
    expect((await server.waitError(c.server, 2000)).why).toBe("closed");
  });

  test("a dual-stack listener accepts IPv4", async () => {
    const listener = await server.listen("::", 0, { v6only: false });
    await client.connect("10.77.1.2", listener.port);
    expect((await server.accept(listener.fd)).addr).toBe("::ffff:10.77.1.1");
  });

  test("a refused and a reset connection are told apart", async () => {
    expect((await peerErrorOf(client.connect("10.77.1.2", 9))).errno).toBe(ECONNREFUSED);
    const c = await connectPeers(client, server, "10.77.1.2");
    await client.reset(c.client);
    expect(await server.waitError(c.server, 2000)).toMatchObject({ errno: 104, why: "error" });
  });

  test("a command that waits does not block another one of the same peer", async () => {
    const listener = await server.listen("10.77.1.2");
    const waiting = server.accept(listener.fd, 3000);
    expect((await server.sockName(listener.fd)).port).toBe(listener.port);
    await client.connect("10.77.1.2", listener.port);
    expect((await waiting).addr).toBe("10.77.1.1");
    expect((await peerErrorOf(server.accept(listener.fd, 50))).code).toBe("EAGAIN");
  });

  test("the peer runs in its cgroup, and another process reads its socket options", async () => {
    expect(processesOf(cgroup)).toEqual([client.pid]);
    const options = [[IPPROTO_TCP, TCP_USER_TIMEOUT, 12_345]] as const;
    const c = await connectPeers(client, server, "10.77.1.2", { options, cc: "reno" });
    expect(await sockoptOf(client.pid, c.client, IPPROTO_TCP, TCP_USER_TIMEOUT)).toBe(12_345);
    expect(await sockoptOf(server.pid, c.server, IPPROTO_TCP, TCP_USER_TIMEOUT)).toBe(0);
    expect(await congestionOf(client.pid, c.client)).toBe("reno");
  });

  test("a capture shows the whole handshake", async () => {
    const capture = await lab.capture("b", "to-a");
    const c = await connectPeers(client, server, "fd77:1::2");
    await client.send(c.client, 10);
    await server.recv(c.server, 10);
    await capture.stop();
    const packets = await capture.packets(`tcp.port == ${c.port}`);
    expect(packets.slice(0, 3).map((p) => p.flags)).toEqual(["S", "SA", "A"]);
    expect(packets[0]).toMatchObject({ src: "fd77:1::1", dst: "fd77:1::2", dport: c.port, length: 0 });
    expect(packets[0]?.optionList[0]?.hex).toBe("020405a0");
    expect(packets.some((p) => p.length === 10)).toBe(true);
  });

  test("a capture is whole, though tcpdump has not got round to all of it when it is to end", async () => {
    const capture = await lab.capture("b", "to-a");
    capture.child.kill("SIGSTOP");
    const c = await connectPeers(client, server, "10.77.1.2");
    await Promise.all([client.exchange(c.client, 200, 10), server.echo(c.server)]);
    const stopping = capture.stop();
    capture.child.kill("SIGCONT");
    await stopping;
    const data = await capture.packets(`tcp.dstport == ${c.port} && tcp.len > 0`);
    expect(data.length).toBeGreaterThanOrEqual(200);
  });

  test("Fast Open carries data on the second connection", async () => {
    await lab.sysctl("a", "net.ipv4.tcp_fastopen", 3);
    await lab.sysctl("b", "net.ipv4.tcp_fastopen", 3);
    const listener = await server.listen("10.77.1.2");
    await server.setopt(listener.fd, IPPROTO_TCP, TCP_FASTOPEN, 16);
    const capture = await lab.capture("b", "to-a", "tcp[tcpflags] & tcp-syn != 0");
    for (const size of [100, 101]) {
      const fd = await client.socket(4);
      expect(await client.sendFastOpen(fd, "10.77.1.2", listener.port, size)).toBe(size);
      await server.recv((await server.accept(listener.fd)).fd, size);
    }
    await capture.stop();
    const syns = (await capture.packets()).filter((p) => p.flags === "S");
    expect(syns.map((p) => p.length)).toEqual([0, 101]);
  });

  testIf(mptcpRequirement.ok, mptcpRequirement.reason)("MPTCP sockets speak MPTCP", async () => {
    const capture = await lab.capture("b", "to-a");
    const c = await connectPeers(client, server, "10.77.1.2", { mptcp: true });
    const [sent, received] = await Promise.all([client.send(c.client, 1000), server.recv(c.server, 1000)]);
    expect(received).toBe(sent);
    await capture.stop();
    const [syn] = await capture.packets(`tcp.port == ${c.port}`);
    expect(syn?.optionList.map((o) => o.kind)).toContain(30);
  });
});

describeIf(needs.ok, needs.reason)("a routed path", () => {
  test("a cut is a black hole: the sender's user timeout ends the connection, mending restores it", async () => {
    await using lab = await Lab.create();
    const path = await lab.routed();
    const client = await lab.peer("client");
    const server = await lab.peer("server");
    const options = [[IPPROTO_TCP, TCP_USER_TIMEOUT, 1000]] as const;
    const doomed = await connectPeers(client, server, path.server.v4, { options });
    const patient = await connectPeers(client, server, path.server.v6);
    await path.cut();
    await Promise.all([client.send(doomed.client, 100), client.send(patient.client, 100)]);
    const end = await client.waitError(doomed.client, 10_000);
    expect(end).toMatchObject({ errno: ETIMEDOUT, why: "error" });
    expect(end.ms).toBeGreaterThan(700);
    await path.mend();
    await server.recv(patient.server, 100, 10_000);
    expect((await client.tcpInfo(patient.client)).total_retrans).toBeGreaterThan(0);
  }, 25_000);
});

describeIf(needs.ok, needs.reason)("cleanup", () => {
  test("removes namespaces, nested cgroups, processes and files", async () => {
    const lab = await Lab.create();
    await lab.netns("x");
    const inner = lab.cgroup("inner", lab.cgroup("outer"));
    const peer = await lab.peer("x", inner);
    // A grandchild that outlives its parent is found by its cgroup.
    await lab.exec("x", ["sh", "-c", "sleep 60 >/dev/null 2>&1 &"], "", inner);
    expect(processesOf(inner)).toHaveLength(2);
    expect(leftovers(lab.prefix)).toHaveLength(3);
    await lab[Symbol.asyncDispose]();
    expect(leftovers(lab.prefix)).toEqual([]);
    expect(() => process.kill(peer.pid, 0)).toThrow();
  });

  test("a process that exits early takes its lab with it", async () => {
    const script = `
      const { Lab } = await import("${import.meta.dir}/../support/lab.ts");
      const lab = await Lab.create();
      await lab.netns("y");
      await lab.peer("y", lab.cgroup("z"));
      console.log(lab.prefix);
      process.exit(3);`;
    const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
    const prefix = (await child.stdout.text()).trim();
    expect(await child.exited).toBe(3);
    expect(prefix).toStartWith(OWN_PREFIX.replace(`-${process.pid}-`, `-${child.pid}-`));
    expect(leftovers(prefix)).toEqual([]);
  });
});
