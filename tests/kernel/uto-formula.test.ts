// SPDX-License-Identifier: MIT
// USER_TIMEOUT = min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT)), RFC 5482 section 3.1, on real sockets.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { connectPeers } from "../support/lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { type Side, UtoLab } from "../support/uto-lab.ts";

interface Case {
  what: string;
  /** Commands of each side, without `tcpx uto`. */
  client: string[];
  server: string[];
  /** Milliseconds on the sockets. */
  expected: { client: number; server: number };
  /** Sides that had to move the peer's value to a limit of theirs. */
  clamped?: ("client" | "server")[];
}

const S = 1000;
const MIN = 60 * S;

const CASES: Case[] = [
  {
    what: "the larger of both values wins, the server's",
    client: ["set 30s", "accept --min 10s"],
    server: ["set 45s", "accept --min 10s"],
    expected: { client: 45 * S, server: 45 * S },
  },
  {
    what: "the larger of both values wins, the client's",
    client: ["set 120s", "accept --min 10s"],
    server: ["set 20s", "accept --min 10s"],
    expected: { client: 120 * S, server: 120 * S },
  },
  {
    what: "both below --min are moved up to it, each side to its own",
    client: ["set 20s", "accept --min 50s"],
    server: ["set 30s", "accept --min 70s"],
    expected: { client: 50 * S, server: 70 * S },
    clamped: ["client", "server"],
  },
  {
    what: "a peer above --max is moved down to it",
    client: ["set 30s", "accept --min 1s --max 100s"],
    server: ["set 5min", "accept --min 1s --max 1h"],
    expected: { client: 100 * S, server: 5 * MIN },
    clamped: ["client"],
  },
  {
    what: "our own value above --max is moved down to it as well",
    client: ["set 10min", "accept --min 1s --max 5min"],
    server: ["set 1min", "accept --min 1s --max 1h"],
    expected: { client: 5 * MIN, server: 10 * MIN },
  },
  {
    what: "our own value is exact, the peer's is rounded up to seconds",
    client: ["set 1500ms", "accept --min 1s"],
    server: ["set 1001ms", "accept --min 1s"],
    expected: { client: 2 * S, server: 2 * S },
  },
  {
    what: "the default limits are 100 s and 15 min: a short one",
    client: ["set 30s"],
    server: ["accept"],
    expected: { client: 30 * S, server: 100 * S },
    clamped: ["server"],
  },
  {
    what: "the default limits are 100 s and 15 min: one between",
    client: ["set 10min"],
    server: ["accept"],
    expected: { client: 10 * MIN, server: 10 * MIN },
  },
  {
    what: "the default limits are 100 s and 15 min: a long one",
    client: ["set 2h"],
    server: ["accept"],
    expected: { client: 120 * MIN, server: 15 * MIN },
    clamped: ["server"],
  },
  {
    what: "--min = --max leaves no choice",
    client: ["set 10s", "accept --min 42s --max 42s"],
    server: ["set 90s", "accept --min 42s --max 42s"],
    expected: { client: 42 * S, server: 42 * S },
    clamped: ["client", "server"],
  },
  {
    what: "a value that is not advertised still counts on its own side",
    client: ["set 90s --no-advertise", "accept --min 1s"],
    server: ["set 20s", "accept --min 1s"],
    expected: { client: 90 * S, server: 20 * S },
  },
  {
    what: "without a word from the peer our own value holds, whatever the limits for peers are",
    client: ["set 30s", "accept --min 1min --max 2min"],
    server: [],
    expected: { client: 30 * S, server: 0 },
  },
  {
    what: "a value in minutes",
    client: ["set 40000s"],
    server: ["set 10h", "accept --min 1s --max 24h"],
    expected: { client: 40_000 * S, server: 667 * MIN },
  },
];

describeIf(labRequirement.ok, labRequirement.reason)("the formula of RFC 5482", () => {
  let u: UtoLab;

  beforeAll(async () => {
    u = await UtoLab.create();
  });
  afterEach(() => u.clear());
  afterAll(() => u[Symbol.asyncDispose]());

  async function expectClamped(side: Side, commands: string[], clamped: boolean): Promise<void> {
    if (commands.length > 0) expect(await u.counters(side)).toMatchObject({ clamped: clamped ? 1 : 0 });
  }

  test.each(CASES.map((entry) => [entry.what, entry] as const))("%s", async (_, entry) => {
    for (const words of entry.client) await u.rule(u.client, words);
    for (const words of entry.server) await u.rule(u.server, words);
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    await u.exchange(c, 2);
    expect(await u.timeouts(c)).toEqual(entry.expected);
    await expectClamped(u.client, entry.client, entry.clamped?.includes("client") ?? false);
    await expectClamped(u.server, entry.server, entry.clamped?.includes("server") ?? false);
    // The formula knows no direction: the same when the other side opens the connection.
    const back = await connectPeers(u.server.peer, u.client.peer, u.client.v6);
    await u.client.peer.echo(back.server);
    await u.server.peer.exchange(back.client, 2, 100);
    expect({
      client: await u.timeout(u.client, back.server),
      server: await u.timeout(u.server, back.client),
    }).toEqual(entry.expected);
  });
});
