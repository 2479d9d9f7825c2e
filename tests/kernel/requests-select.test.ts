// SPDX-License-Identifier: MIT
// Which connections requests are for: directions, addresses, ports, IPv4 in IPv6 clothes, and undoing.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { DEFAULT, GRANTED, RequestLab } from "../support/request-lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { tcpx } from "../support/tcpx.ts";
import { scopeOf } from "../support/uto-lab.ts";

describeIf(labRequirement.ok, labRequirement.reason)("selectors of requests", () => {
  let r: RequestLab;

  beforeAll(async () => {
    r = await RequestLab.create();
  });
  afterEach(() => r.clear());
  afterAll(() => r[Symbol.asyncDispose]());

  /** What the server sends with on a new connection. */
  async function granted(family: "v4" | "v6" = "v4", port = 0) {
    const c = await r.open(family, { port });
    const seen = await r.sending(r.server, c.server);
    await r.server.peer.close(c.listener);
    return seen;
  }

  test("--to and --from, by family, prefix and port", async () => {
    await r.rule(r.client, "cc-request set cubic --to 10.77.0.0/16 --port 7000");
    await r.rule(r.client, `iw set 40 --to ${r.server.v6},${r.server.v4}`);
    await r.rule(r.server, "cc-request accept cubic --from 10.77.1.0/24");
    await r.rule(r.server, "iw accept --max 32 --port 7000,7001");
    expect(await granted("v4", 7000)).toEqual(GRANTED);
    expect(await granted("v4", 7001)).toEqual({ cc: DEFAULT.cc, cwnd: 32 });
    expect(await granted("v6", 7000)).toEqual({ cc: DEFAULT.cc, cwnd: 32 });
    expect(await granted("v6", 7002)).toEqual(DEFAULT);
  });

  test("a narrower rule of one extension leaves a wider one of the other in force", async () => {
    await r.usual();
    await r.rule(r.server, `iw accept --max 16 --from ${r.client.v4}`);
    await r.rule(r.client, `cc-request set reno --to ${r.server.v6}`);
    expect(await granted("v4")).toEqual({ cc: "cubic", cwnd: 16 });
    expect(await granted("v6")).toEqual({ cc: DEFAULT.cc, cwnd: 32 });
  });

  test("ask rules are not for accepted connections, accept rules not for opened ones", async () => {
    await r.rule(r.server, "cc-request set cubic");
    await r.rule(r.server, "iw set 40");
    await r.rule(r.client, "cc-request accept cubic");
    await r.rule(r.client, "iw accept --max 32");
    const c = await r.open();
    await r.exchange(c, 1);
    expect((await r.sending(r.client, c.client)).cc).toBe(DEFAULT.cc);
    expect((await r.sending(r.server, c.server)).cc).toBe(DEFAULT.cc);
    for (const side of [r.client, r.server]) {
      const { cc, iw } = await r.counted(side);
      expect([...Object.values(cc), ...Object.values(iw)].filter(Boolean)).toEqual([]);
    }
    // opened by the other side the same rules do meet
    const { fd: listener, port } = await r.client.peer.listen(r.client.v6);
    await r.server.peer.connect(r.client.v6, port);
    const { fd } = await r.client.peer.accept(listener);
    expect(await r.sending(r.client, fd)).toEqual(GRANTED);
  });

  test("IPv4-mapped: a dual-stack listener, and a socket that connects to ::ffff:a.b.c.d", async () => {
    await r.rule(r.client, `cc-request set cubic --to ${r.server.v4}`);
    await r.rule(r.client, "iw set 40 --to ::/0"); // not for IPv4
    await r.rule(r.server, `cc-request accept cubic --from ${r.client.v4}/32`);
    await r.rule(r.server, "iw accept --max 32 --from ::/0");
    const { fd: listener, port } = await r.server.peer.listen("::", 0, { v6only: false });
    for (const address of [r.server.v4, `::ffff:${r.server.v4}`]) {
      await r.client.peer.connect(address, port);
      const accepted = await r.server.peer.accept(listener);
      expect(accepted.addr).toBe(`::ffff:${r.client.v4}`);
      expect(await r.sending(r.server, accepted.fd)).toEqual({ cc: "cubic", cwnd: DEFAULT.cwnd });
    }
    await r.client.peer.connect(r.server.v6, port);
    const { fd } = await r.server.peer.accept(listener);
    expect(await r.sending(r.server, fd)).toEqual({ cc: DEFAULT.cc, cwnd: 32 });
  });

  test("--local with --to, --from and --port", async () => {
    await r.rule(r.client, `cc-request set cubic --local --to ${r.server.v4}`);
    await r.rule(r.client, `iw set 20 --local --from ${r.server.v4}`);
    const out = await r.open();
    expect(await r.sending(r.client, out.client)).toEqual({ cc: "cubic", cwnd: DEFAULT.cwnd });
    const { fd: listener, port } = await r.client.peer.listen(r.client.v4);
    await r.server.peer.connect(r.client.v4, port);
    const { fd } = await r.client.peer.accept(listener);
    expect(await r.sending(r.client, fd)).toEqual({ cc: DEFAULT.cc, cwnd: 20 });
  });

  test.each([
    "cc-request set cubic --from 10.0.0.0/8",
    "cc-request accept cubic --to 10.0.0.0/8",
    "cc-request set none --from 10.0.0.0/8",
    "iw set 40 --from fd00::/8",
    "iw accept --max 32 --to 10.0.0.0/8",
    "iw accept none --to 10.0.0.0/8",
    "iw set 40 --to 10.0.0.0/8 --from 10.0.0.0/8",
    "cc-request set nosuch",
    "cc-request set cubic,reno",
    "cc-request accept cubic,,reno",
    "cc-request accept cubic,nosuch",
    "cc-request set cubic --force",
    "cc-request set none --local --force",
    "cc-request accept none --force",
    "iw set 0",
    "iw set 1025",
    "iw set -1",
    "iw set 4.5",
    "iw set 0x10",
    "iw accept",
    "iw accept 32",
    "iw accept --max 0",
    "iw accept --max 65535",
    "iw accept none --max 3",
  ])("%s: exit 2, a sentence, and nothing is changed", async (words) => {
    const args = [...words.split(" "), "--cgroup", r.server.cgroup, "--wait"];
    const { code, stderr, stdout } = await tcpx(args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr.trim().length).toBeGreaterThan(20);
    expect(stderr).not.toContain("    at ");
    expect(await scopeOf(r.server.cgroup)).toBeUndefined();
  });

  test("unset without a selector removes what was set without one; --all the rest", async () => {
    await r.usual();
    await r.rule(r.client, "cc-request set cubic --local");
    await r.rule(r.client, `iw set 20 --to ${r.server.v6}`);
    expect((await r.rule(r.client, "cc-request unset ask")).json).toMatchObject({ changed: true });
    expect((await scopeOf(r.client.cgroup)).rules).toHaveLength(3);
    expect((await r.rule(r.client, "cc-request unset")).json).toMatchObject({ changed: true });
    expect((await r.rule(r.client, "iw unset")).json).toMatchObject({ changed: true });
    expect((await r.rule(r.client, "iw unset")).json).toMatchObject({ changed: false });
    expect((await scopeOf(r.client.cgroup)).rules).toMatchObject([{ extension: "iw", kind: "ask" }]);
    expect(await granted("v4")).toEqual(DEFAULT);
    expect(await granted("v6")).toEqual({ cc: DEFAULT.cc, cwnd: 20 });
    expect((await r.rule(r.client, "iw unset --all")).json).toMatchObject({ changed: true });
    expect(await scopeOf(r.client.cgroup)).toBeUndefined();
    for (const extension of ["cc-request", "iw"]) await r.rule(r.server, `${extension} unset accept`);
    expect(await scopeOf(r.server.cgroup)).toBeUndefined();
  });

  test("the same rule again changes nothing, another one replaces it", async () => {
    expect((await r.rule(r.client, "iw set 40")).json).toMatchObject({ changed: true });
    expect((await r.rule(r.client, "iw set 40")).json).toMatchObject({ changed: false });
    expect((await r.rule(r.client, "iw set 41")).json).toMatchObject({ changed: true });
    expect((await scopeOf(r.client.cgroup)).rules).toHaveLength(1);
  });
});
