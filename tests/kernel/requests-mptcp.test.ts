// SPDX-License-Identifier: MIT
// Requests beside MPTCP, which takes most of the option space.
import { afterAll, beforeAll, expect } from "bun:test";
import { type Capture, ssInfo } from "../support/lab.ts";
import { ASKS, CUBIC, ccAnswer, optionsOf, RequestLab, requestsOf } from "../support/request-lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  labRequirement,
  mptcpRequirement,
  testIf,
} from "../support/requires.ts";
import { type Trace, trace } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement);

describeIf(needs.ok, needs.reason)("requests with MPTCP", () => {
  let r: RequestLab;

  beforeAll(async () => {
    r = await RequestLab.create();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  testIf(mptcpRequirement.ok, mptcpRequirement.reason)(
    "MPTCP takes option space: what fits is there, and the rest follows or is counted",
    async () => {
      await r.usual();
      await r.rule(r.client, "uto set 30s");
      const { t, ss } = await mptcp();
      expect(optionsOf(t.client[0]!, 30)).not.toBe("");
      expect(optionsOf(t.client[0]!, 28, 254)).toBe(`1c04001e,${ASKS}`); // 4 + 16 bytes: just fits
      expect(optionsOf(t.server[0]!, 30)).not.toBe("");
      expect(requestsOf(t.server[0]!)).toBe(ccAnswer(CUBIC)); // 12 + 6 bytes, no room for six more
      expect(ss).toHaveProperty("cubic");
      const { cc, iw } = await r.counted(r.client);
      expect(cc).toMatchObject({ granted: 1, malformed: 0 });
      expect(iw.granted! + iw.unanswered!).toBe(1);
      expect(await r.counted(r.server)).toMatchObject({ cc: { applied: 1 }, iw: { applied: 1, no_room: 1 } });
    },
  );

  /** Some data over MPTCP; what ss says about the server's subflow. */
  async function mptcp(): Promise<{ t: Trace; ss: Record<string, string> }> {
    const capture: Capture = await r.u.capture();
    const c = await r.open("v4", { mptcp: true });
    const [sent, received] = await Promise.all([
      r.client.peer.send(c.client, 100_000),
      r.server.peer.recv(c.server, 100_000),
    ]);
    expect(received).toBe(sent);
    const answer = await r.server.peer.send(c.server, 1000);
    expect(await r.client.peer.recv(c.client, 1000)).toBe(answer);
    const sockets = await ssInfo(r.server.netns, ["sport", "=", `${c.port}`]);
    const [subflow] = sockets.filter((socket) => socket.state === "ESTAB");
    await capture.stop();
    return { t: await trace(capture, c.port), ss: subflow?.info ?? {} };
  }
});
