// SPDX-License-Identifier: MIT
// Which congestion control a server grants: what its accept rule names, and nothing else.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Wire } from "../support/lab.ts";
import {
  algorithmRequirement,
  BBR,
  CUBIC,
  ccAnswer,
  ccAsk,
  DEFAULT,
  REFUSED,
  RequestLab,
  requestsIn,
  requestsOf,
} from "../support/request-lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  labRequirement,
  requirement,
  testIf,
} from "../support/requires.ts";
import { tcpx } from "../support/tcpx.ts";
import { firsts, scopeOf } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, algorithmRequirement("cubic"));
const allowed = readFileSync("/proc/sys/net/ipv4/tcp_allowed_congestion_control", "utf8").trim().split(" ");
const bbr = algorithmRequirement("bbr");
const missing = requirement(
  "missing",
  Bun.spawnSync(["sh", "-c", "modprobe -n -q tcp_bic"]).exitCode !== 0,
  "a kernel without tcp_bic",
);

describeIf(needs.ok, needs.reason)("tcpx cc-request", () => {
  let r: RequestLab;
  let wire: Wire;

  beforeAll(async () => {
    r = await RequestLab.create();
    wire = await r.lab.wire(r.server.netns);
  });
  afterEach(() => r.clear());
  afterAll(() => r[Symbol.asyncDispose]());

  const cc = async (fd: number) => (await r.sending(r.server, fd)).cc;

  test("the one in use is granted and counted; given back, it is still in use", async () => {
    await r.rule(r.client, `cc-request set ${DEFAULT.cc}`);
    await r.rule(r.server, `cc-request accept ${DEFAULT.cc}`);
    await r.rule(r.server, `cc-request set ${DEFAULT.cc} --local`);
    const c = await r.open();
    expect(await cc(c.server)).toBe(DEFAULT.cc);
    expect(await r.counted(r.client)).toMatchObject({ cc: { granted: 1 } });
    expect(await r.counted(r.server)).toMatchObject({ cc: { applied: 1, refused: 0, errors: 0 } });
    await r.rule(r.server, "cc-request unset --all --live");
    expect(await cc(c.server)).toBe(DEFAULT.cc);
  });

  test("one that is not in the accept list is refused: ffff, nothing changes, counted at both sides", async () => {
    await r.rule(r.client, "cc-request set cubic");
    await r.rule(r.server, "cc-request accept reno");
    const { c, t } = await r.recorded(3);
    expect(await r.sending(r.server, c.server)).toMatchObject({ cc: DEFAULT.cc });
    expect(requestsOf(t.client[0]!)).toBe(ccAsk(CUBIC));
    expect(requestsOf(t.server[0]!)).toBe(ccAnswer(REFUSED));
    expect(new Set(t.server.map(requestsOf).filter(Boolean))).toEqual(new Set([ccAnswer(REFUSED)]));
    expect(t.client.slice(1).map(requestsOf).join("")).toBe("");
    const counted = { granted: 0, applied: 0, malformed: 0, kept: 0, unanswered: 0 };
    expect(await r.counters(r.client, "cc-request")).toMatchObject({ ...counted, refused: 1, received: 0 });
    expect(await r.counters(r.server, "cc-request")).toMatchObject({ ...counted, refused: 1, received: 1 });
  });

  test.each(["00ff", "8001", "0011", "001f", "0023", "fffe"])(
    "the unknown number %s is refused",
    async (number) => {
      await r.rule(r.server, "cc-request accept cubic,reno");
      const c = await r.fromWire(wire, { syn: `fe067cc0${number}` });
      expect(requestsIn(c.synAck)).toBe(ccAnswer(REFUSED));
      expect(await r.sending(r.server, c.fd)).toEqual(DEFAULT);
      await r.server.peer.send(c.fd, 20);
      expect(requestsIn(await wire.expect(c.flow))).toBe(""); // said once
      const counted = { received: 1, refused: 1, applied: 0, malformed: 0 };
      expect(await r.counters(r.server, "cc-request")).toMatchObject(counted);
    },
  );

  testIf(bbr.ok && !allowed.includes("cubic"), "bbr, and cubic not allowed to everybody")(
    "the accept list is the only gate: net.ipv4.tcp_allowed_congestion_control is neither needed nor enough",
    async () => {
      expect(allowed).toContain("bbr");
      await r.rule(r.server, "cc-request accept cubic");
      await r.rule(r.client, "cc-request set bbr");
      expect(await cc((await r.open()).server)).toBe(DEFAULT.cc);
      await r.rule(r.client, "cc-request set cubic");
      expect(await cc((await r.open()).server)).toBe("cubic");
    },
  );

  testIf(bbr.ok, bbr.reason)(
    "several in the list: each client gets what it asks for, bbr with its window",
    async () => {
      await r.rule(r.server, "cc-request accept cubic,bbr");
      await r.rule(r.server, "iw accept --max 32");
      await r.rule(r.client, "iw set 24");
      await r.rule(r.client, "cc-request set bbr");
      const { value: c, capture } = await r.record(() => r.open("v6"));
      expect(await r.sending(r.server, c.server)).toEqual({ cc: "bbr", cwnd: 24 });
      expect(requestsOf((await capture.packets("tcp.flags.syn == 1 && tcp.flags.ack == 1"))[0]!)).toContain(
        ccAnswer(BBR),
      );
      await r.rule(r.client, "cc-request set cubic");
      expect(await r.sending(r.server, (await r.open()).server)).toEqual({ cc: "cubic", cwnd: 24 });
    },
  );

  test("--local: on this side, in both directions of opening, asking nobody", async () => {
    await r.rule(r.client, "cc-request set cubic --local");
    const { c, t } = await r.recorded(2);
    expect((await r.sending(r.client, c.client)).cc).toBe("cubic");
    expect(await cc(c.server)).toBe(DEFAULT.cc);
    expect(t.all.map(requestsOf).join("")).toBe("");
    await r.rule(r.client, "cc-request unset --all");
    await r.rule(r.server, `cc-request set cubic --local --from ${r.client.v4}`);
    const d = await r.open();
    expect([(await r.sending(r.client, d.client)).cc, await cc(d.server)]).toEqual([DEFAULT.cc, "cubic"]);
    expect(await cc((await r.open("v6")).server)).toBe(DEFAULT.cc);
    expect(await r.counters(r.server, "cc-request")).toMatchObject({ applied: 1, sent: 0, received: 0 });
  });

  testIf(bbr.ok, bbr.reason)("a granted request goes before --local, a refused one does not", async () => {
    await r.rule(r.server, "cc-request set bbr --local");
    await r.rule(r.server, "cc-request accept cubic");
    await r.rule(r.client, "cc-request set cubic");
    expect(await cc((await r.open()).server)).toBe("cubic");
    await r.rule(r.client, "cc-request set reno");
    expect(await cc((await r.open()).server)).toBe("bbr");
    await r.rule(r.client, "cc-request unset");
    expect(await cc((await r.open()).server)).toBe("bbr");
  });

  test("the client's application has chosen: --local keeps it, --force does not", async () => {
    await r.rule(r.client, "cc-request set cubic --local");
    const kept = await r.open("v4", { cc: "reno" });
    expect((await r.sending(r.client, kept.client)).cc).toBe("reno");
    expect(await r.counters(r.client, "cc-request")).toMatchObject({ kept: 1, applied: 0 });
    await r.rule(r.client, "cc-request set cubic --local --force");
    const forced = await r.open("v4", { cc: "reno" });
    expect((await r.sending(r.client, forced.client)).cc).toBe("cubic");
  });

  /** A listener whose program has chosen reno itself, and a client that asks for cubic. */
  async function chosenByListener() {
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    await r.server.peer.setcc(listener, "reno");
    return r.recorded(3, async () => {
      const client = await r.client.peer.connect(r.server.v4, port);
      return { listener, port, client, server: (await r.server.peer.accept(listener)).fd };
    });
  }

  test("the server's application has chosen: kept, and the SYN-ACK's promise is corrected on the first data", async () => {
    await r.rule(r.client, "cc-request set cubic");
    await r.rule(r.server, "cc-request accept cubic");
    const { c, t } = await chosenByListener();
    expect(await cc(c.server)).toBe("reno");
    expect(requestsOf(t.server[0]!)).toBe(ccAnswer(CUBIC)); // nothing could be tried before
    const data = firsts(t.server)
      .filter((p) => p.length > 0)
      .map(requestsOf);
    expect(data).toEqual([ccAnswer(REFUSED), "", ""]);
    expect(await r.counters(r.server, "cc-request")).toMatchObject({ kept: 1, applied: 0, refused: 1 });
    expect(await r.counters(r.client, "cc-request")).toMatchObject({
      refused: 1,
      unanswered: 0,
      malformed: 0,
    });
  });

  test("accept --force overrides the server's application", async () => {
    await r.rule(r.client, "cc-request set cubic");
    await r.rule(r.server, "cc-request accept cubic --force");
    const { c, t } = await chosenByListener();
    expect(await cc(c.server)).toBe("cubic");
    expect(new Set(t.server.map(requestsOf).filter(Boolean))).toEqual(new Set([ccAnswer(CUBIC)]));
    expect(await r.counters(r.server, "cc-request")).toMatchObject({ kept: 0, applied: 1, refused: 0 });
    expect(await r.counters(r.client, "cc-request")).toMatchObject({ granted: 1, refused: 0 });
  });

  test("a client may ask for what its own kernel has not: the number travels, the server refuses", async () => {
    await r.rule(r.client, "cc-request set highspeed");
    await r.rule(r.server, "cc-request accept cubic");
    const { c, t } = await r.recorded(1);
    expect(requestsOf(t.client[0]!)).toBe(ccAsk(16));
    expect(await cc(c.server)).toBe(DEFAULT.cc);
  });

  testIf(missing.ok, missing.reason)(
    "accept and --local of one that this kernel has not: exit 3 and the list",
    async () => {
      for (const words of ["accept cubic,bic", "set bic --local"]) {
        const { code, stderr } = await tcpx([
          ...["cc-request", ...words.split(" ")],
          ...["--cgroup", r.server.cgroup, "--wait"],
        ]);
        expect([code, stderr]).toEqual([3, expect.stringMatching(/'bic'(.|\n)*cubic/)]);
      }
      expect(await scopeOf(r.server.cgroup)).toBeUndefined();
    },
  );
});
