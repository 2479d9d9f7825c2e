// SPDX-License-Identifier: MIT
// What `tcpx connections` says of local rules, beside what another process reads from the sockets.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { capOf, DEFAULT_MARK, delackRequirement, markOf } from "../support/ack-lab.ts";
import { IPPROTO_TCP, TCP_USER_TIMEOUT } from "../support/constants.ts";
import { type Connection, congestionOf, until } from "../support/lab.ts";
import { algorithmRequirement, RequestLab } from "../support/request-lab.ts";
import { describeIf, every, labRequirement, nftRequirement } from "../support/requires.ts";
import { type Side, tcpxOk } from "../support/uto-lab.ts";

const needs = every(
  "all",
  labRequirement,
  nftRequirement,
  delackRequirement,
  algorithmRequirement("cubic"),
  algorithmRequirement("reno"),
);
const DROP_FIRST = "tcp flags syn / fin,syn,rst,ack limit rate 1/minute burst 1 packets drop";
const NAMES = ["uto", "cc-request", "iw", "ack"] as const;
const none = { status: "none", rule: null, applied: null, reason: null };
const applied = (rule: unknown, has = rule) => ({ status: "applied", rule, applied: has, reason: null });
const other = (status: string, rule: unknown, reason: string | null) => ({
  status,
  rule,
  applied: null,
  reason,
});
const ackOf = (fields: object) => ({ every: null, divisor: null, delay_us: null, ...fields });

/** A value that is one member is told by it: { segments: 20 } is 20. */
function plain(value: object | null): unknown {
  const members = Object.values(value ?? {});
  return members.length === 1 ? members[0] : value;
}

interface Told {
  status: string;
  reason: string | null;
  rule: object | null;
  applied: object | null;
}

const plainLocal = (local: Told) => ({ ...local, rule: plain(local.rule), applied: plain(local.applied) });

describeIf(needs.ok, needs.reason)("local rules in tcpx connections", () => {
  let r: RequestLab;

  beforeAll(async () => {
    r = await RequestLab.create();
  });
  afterEach(async () => {
    await r.filter(r.server, "");
    await r.clear();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  async function listed(side: Side, port: number) {
    const words = ["connections", "--cgroup", side.cgroup, "--port", `${port}`];
    const { json } = await tcpxOk(words, { netns: side.netns, json: true });
    expect(json.connections.length).toBe(1);
    const { stdout } = await tcpxOk([...words, "--oneline"], { netns: side.netns });
    const [, ...said] = stdout.trim().split(", ");
    const { extensions } = json.connections[0];
    const local = Object.fromEntries(
      NAMES.map((name) => [name, plainLocal(extensions[name].local as Told)]),
    ) as Record<(typeof NAMES)[number], ReturnType<typeof plainLocal>>;
    return { local, said };
  }

  const rules = async (side: Side, ...words: string[]) => {
    for (const rule of words) await r.rule(side, rule);
  };
  const LOCAL = ["uto set 30s --no-advertise", "cc-request set cubic --local", "iw set 20 --local"];

  test.each(["v4", "v6"] as const)("applied: all four, of either end, %s", async (family) => {
    for (const side of [r.client, r.server]) await rules(side, ...LOCAL, "ack set --delay 40ms");
    const c = await r.open(family);
    for (const [side, fd] of [
      [r.client, c.client],
      [r.server, c.server],
    ] as const) {
      expect(await r.u.timeout(side, fd)).toBe(30_000);
      expect(await congestionOf(side.peer.pid, fd)).toBe("cubic");
      expect(await capOf(side, fd)).toBe(40_000);
      expect(await listed(side, c.port)).toEqual({
        local: {
          uto: applied(30_000),
          "cc-request": applied("cubic"),
          iw: applied(20),
          ack: applied(ackOf({ delay_us: 40_000 })),
        },
        said: ["uto set 30s", "cc-request set cubic", "iw set 20", "ack set 40ms"],
      });
    }
  });

  test("nothing, where no rule is for it; an exemption says so", async () => {
    await rules(r.client, "uto set none", "iw set 20 --local");
    const c = await r.open();
    expect(await listed(r.client, c.port)).toEqual({
      local: {
        uto: { ...none, status: "exempt" },
        "cc-request": none,
        iw: applied(20),
        ack: none,
      },
      said: ["uto exempt", "iw set 20"],
    });
  });

  test("kept: the application has chosen before", async () => {
    await rules(r.client, ...LOCAL);
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    const client = await r.client.peer.socket(4);
    await r.client.peer.setopt(client, IPPROTO_TCP, TCP_USER_TIMEOUT, 7000);
    await r.client.peer.setcc(client, "reno");
    await r.client.peer.connectFd(client, r.server.v4, port);
    await r.server.peer.accept(listener);
    expect(await r.u.timeout(r.client, client)).toBe(7000);
    const { local, said } = await listed(r.client, port);
    expect(local).toMatchObject({
      uto: other("kept", 30_000, "application"),
      "cc-request": other("kept", "cubic", "application"),
      iw: applied(20),
    });
    expect(said).toEqual(["uto kept (rule 30s)", "cc-request kept (rule cubic)", "iw set 20"]);
  });

  test("kept: it has chosen since, and with --force before that", async () => {
    await rules(r.client, ...LOCAL, "ack set --delay 40ms");
    const c = await r.open();
    await r.client.peer.setopt(c.client, IPPROTO_TCP, TCP_USER_TIMEOUT, 7000);
    await r.client.peer.setcc(c.client, "reno");
    const { local } = await listed(r.client, c.port);
    expect([local.uto, local["cc-request"]]).toEqual([
      other("kept", 30_000, "application"),
      other("kept", "cubic", "application"),
    ]);
    expect(local.ack.status).toBe("applied");
  });

  test("kept: the peer has asked for something, and was granted it", async () => {
    await r.usual();
    await r.rule(r.client, "ack request --every 16");
    await rules(
      r.server,
      ...["cc-request set reno --local", "iw set 20 --local", "ack accept --max-every 8"],
      "ack set --delay 40ms",
    );
    const c = await r.open();
    await r.exchange(c);
    const { local, said } = await listed(r.server, c.port);
    expect(local).toMatchObject({
      "cc-request": other("kept", "reno", "granted"),
      iw: other("kept", 20, "granted"),
      ack: other("kept", ackOf({ delay_us: 40_000 }), "granted"),
    });
    expect(said).toContain("iw gave 32 (asked 40)");
    expect(said).toContain("iw kept (rule 20)");
  });

  test("a user timeout that is more than the rule's, since the peer has asked for it", async () => {
    await r.rule(r.client, "uto set 40s");
    await rules(r.server, "uto set 30s --no-advertise", "uto accept");
    const c = await r.open();
    await r.exchange(c);
    expect((await listed(r.server, c.port)).local.uto).toEqual(applied(30_000, await timeout(c)));
    expect((await listed(r.client, c.port)).said).toEqual(["uto asked 40s", "uto set 40s"]);
  });
  const timeout = (c: Connection) => r.u.timeout(r.server, c.server);

  test("failed: a SYN was lost, so the window stays small", async () => {
    await r.rule(r.client, "iw set 20 --local");
    await r.filter(r.server, DROP_FIRST);
    const c = await r.open();
    expect(await listed(r.client, c.port)).toMatchObject({
      local: { iw: other("failed", 20, "loss") },
      said: ["iw not set 20: a segment was lost"],
    });
  });

  test("pending, as long as the handshake lasts", async () => {
    await r.filter(r.server, "tcp dport 7 drop");
    await rules(r.client, ...LOCAL, "ack set --delay 40ms");
    const fd = await r.client.peer.socket(4);
    await r.client.peer.connectFd(fd, r.server.v4, 7, 50).catch(() => {});
    const { local, said } = await listed(r.client, 7);
    for (const name of NAMES) expect(local[name].status).toBe("pending");
    expect(said[0]).toBe("uto not yet set 30s");
  });

  test("at once: pending or applied, as the mark says", async () => {
    await r.rule(r.client, "ack set --every 1");
    const c = await r.open();
    const marked = () => until(async () => (await markOf(r.client, c.client)) === DEFAULT_MARK, 200);
    for (let n = 0; n < 20 && !(await marked()); n++) await r.exchange(c, 1);
    expect(await markOf(r.client, c.client)).toBe(DEFAULT_MARK);
    expect(await listed(r.client, c.port)).toMatchObject({
      local: { ack: applied(ackOf({ every: 1 })) },
      said: ["ack set at once"],
    });
  });

  test("--live: what it has set, and what it has left", async () => {
    const [touched, kept] = [await r.open(), await r.open()];
    await r.client.peer.setopt(kept.client, IPPROTO_TCP, TCP_USER_TIMEOUT, 7000);
    await r.rule(r.client, "uto set 30s --no-advertise --live");
    expect((await listed(r.client, touched.port)).local.uto).toEqual(applied(30_000));
    expect((await listed(r.client, kept.port)).local.uto).toEqual(other("kept", 30_000, "application"));
    await r.rule(r.client, "uto unset --live");
    for (const c of [touched, kept]) expect((await listed(r.client, c.port)).local.uto).toEqual(none);
    expect(await r.u.timeout(r.client, kept.client)).toBe(7000);
  });
});
