// SPDX-License-Identifier: MIT
// The owner of a network namespace sends netlink messages to whoever keeps routes for ACKs at once there: what he
// says is neither heard nor believed, and nobody waits for him.
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Lab, until } from "../support/lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { RoutesLab } from "../support/routes-lab.ts";

const ECONNREFUSED = 111;
const ROUTE_GROUPS = { 4: 7, 6: 11 };

/** Sends forged messages: to every socket of others in the namespace, or to the groups of routes. */
const FORGE = `
import json, socket, struct, sys
want = json.loads(sys.argv[1])
def attr(kind, b): return struct.pack("=HH", 4 + len(b), kind) + b + bytes(-len(b) % 4)
def message(kind, flags, seq, pid, body): return struct.pack("=IHHII", 16 + len(body), kind, flags, seq, pid) + body
def route(net):
    device = struct.pack("=I", socket.if_nametoindex("d1"))
    head = struct.pack("=BBBBBBBBI", socket.AF_INET, 16, 0, 0, 254, 4, 253, 1, 0)
    return head + attr(1, socket.inet_aton(net)) + attr(4, device)
def long_rule():
    body = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 0, 0, 0, 1, 0) + attr(15, struct.pack("=I", 31904)) + attr(21, bytes([202]))
    return body + attr(60, b"A" * 24000)
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
s.bind((0, 0)); s.setsockopt(1, 7, 1 << 22)
own = s.getsockname()[0]
errors = {}
def send(data, to):
    try: s.sendto(data, to); code = 0
    except OSError as e: code = e.errno
    errors[code] = errors.get(code, 0) + 1
for to in want["sockets"]:
    for seq in list(range(16)) + [(1 << 24) * n + k for n in range(4) for k in range(3)]:
        for pid in (0, to, own):
            send(message(2, 0, seq, pid, struct.pack("=i", -17) + bytes(16)), (to, 0))
            send(message(32, 2, seq, pid, long_rule()), (to, 0))
            send(message(3, 2, seq, pid, struct.pack("=i", 0)), (to, 0))
for group in want["groups"]:
    for n in range(want["times"]):
        send(message(24, 0x600, 0, 0, route("10.99.0.0")), (0, 1 << (group - 1)))
print(json.dumps(errors))
`;

describeIf(labRequirement.ok, labRequirement.reason)("the owner of a namespace", () => {
  let lab: Lab;
  let r: RoutesLab;
  let n = 0;

  beforeAll(async () => {
    lab = await Lab.create();
  });
  afterAll(() => lab[Symbol.asyncDispose]());
  beforeEach(async () => {
    r = await RoutesLab.create(lab, `n${++n}`);
    await r.driver.open();
    await r.guard();
  });

  /** Addresses of the netlink sockets in the namespace, which everybody there can read. */
  const sockets = () =>
    readFileSync(`/proc/${r.driver.pid}/net/netlink`, "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, protocol, address]) => protocol === "0" && address !== "0")
      .map(([, , address]) => Number(address));

  /** How often which errno came, 0 for what was sent. */
  async function forge(want: { sockets?: number[]; groups?: number[]; times?: number }) {
    const text = JSON.stringify({ sockets: [], groups: [], times: 1, ...want });
    return JSON.parse(await lab.exec(r.netns, ["python3", "-c", FORGE, text])) as Record<string, number>;
  }

  const follows = async (version: 4 | 6) => {
    const { main, copy } = await r.tables(version);
    return Bun.deepEquals(copy, main);
  };

  test("reaches none of the sockets that ask the kernel", async () => {
    const to = sockets();
    expect(to.length).toBeGreaterThanOrEqual(5); // news, two of the agent, two of the guard
    const errors = await forge({ sockets: to });
    expect(Object.keys(errors)).toEqual([`${ECONNREFUSED}`]);
    await r.ip("route add 10.30.0.0/16 via 10.1.0.7");
    expect(await follows(4)).toBe(true);
    r.driver.child.kill("SIGKILL"); // the guard reads, too
    expect(await until(async () => Bun.deepEquals(await r.traces(), { rules: 0, routes: 0 }))).toBe(true);
  });

  test("is not believed what he tells all who listen for routes", async () => {
    const sent = await forge({ groups: Object.values(ROUTE_GROUPS) });
    expect(sent).toEqual({ 0: 2 });
    await r.ip("route add 10.30.0.0/16 via 10.1.0.7");
    expect(await until(async () => JSON.stringify(await r.copy(4)).includes("10.30.0.0/16"))).toBe(true);
    expect(JSON.stringify(await r.copy(4))).not.toContain("10.99.");
  });

  test("does not keep anybody busy for ever", async () => {
    const flood = forge({ groups: [ROUTE_GROUPS[4]], times: 200_000 });
    for (let i = 0; i < 20; i++) await r.driver.stats(); // answers while it lasts
    await flood;
    await r.ip("route add 10.31.0.0/16 via 10.1.0.7");
    expect(await until(() => follows(4))).toBe(true);
  });
});
