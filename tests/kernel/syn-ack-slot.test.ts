// SPDX-License-Identifier: MIT
// What is noted down for one SYN-ACK is never taken for that of the next: SYNs that come within a tick, which have
// the same ports and the same peer. With PREEMPT_RT they may even overlap; that cannot be tried here.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import type { Wire } from "../support/lab.ts";
import { iwAnswer, iwAsk, RequestLab, requestsIn } from "../support/request-lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";

const TIMES = 10;

describeIf(labRequirement.ok, labRequirement.reason)("SYN-ACKs in a row", () => {
  let r: RequestLab;
  let wire: Wire;
  let port = 7000;

  beforeAll(async () => {
    r = await RequestLab.create();
    wire = await r.lab.wire(r.server.netns);
  });
  afterEach(() => r.clear());
  afterAll(() => r[Symbol.asyncDispose]());

  /** SYNs from one address and port, one right after the other; the requests in their SYN-ACKs. */
  async function row(...syns: { to: string; port: number; options: string }[]): Promise<string[]> {
    const from = { addr: wire.own.v4, port: ++port };
    const flows: number[] = [];
    for (const { to, port: at, options } of syns)
      flows.push(await wire.syn(from, { addr: to, port: at }, options));
    const said: string[] = [];
    for (const flow of flows) said.push(requestsIn(await wire.expect(flow)));
    for (const flow of flows) await wire.rst(flow);
    return said;
  }

  test.each(["one scope", "nested scopes"])("to different addresses of ours, %s", async (how) => {
    const second = wire.kernel.v4.replace(/\.1$/, ".7");
    await r.lab.exec(r.server.netns, ["ip", "addr", "add", `${second}/24`, "dev", wire.device]);
    await r.rule(r.server, "iw accept --max 32");
    if (how !== "one scope") {
      const inner = r.lab.cgroup("inner", r.server.cgroup);
      await r.rule(inner, "cc-request accept cubic");
      await Bun.write(`${inner}/cgroup.procs`, `${r.server.peer.pid}`);
    }
    const { fd, port: at } = await r.server.peer.listen("0.0.0.0");
    try {
      for (let n = 0; n < TIMES; n++) {
        const plain = { to: wire.kernel.v4, port: at, options: "-" };
        const asks = { to: second, port: at, options: iwAsk(20) };
        expect(await row(plain, asks)).toEqual(["", iwAnswer(20)]);
        expect(await row(asks, plain)).toEqual([iwAnswer(20), ""]);
      }
    } finally {
      await r.server.peer.close(fd);
      await Bun.write(`${r.server.cgroup}/cgroup.procs`, `${r.server.peer.pid}`);
      await r.lab.exec(r.server.netns, ["ip", "addr", "del", `${second}/24`, "dev", wire.device]);
    }
  });
});
