// SPDX-License-Identifier: MIT
// ACKs at once, and what is said where another rule of routing comes first: by the route that the socket has, and by
// what the kernel answers for it.

import { type Connection, run, until } from "../support/lab.ts";
import { type Result, works } from "./report.ts";
import { check, Pair, tcpxOk } from "./support.ts";

/** As `tcpx connections` has the client's end, after some more data. */
async function seen({ client }: Pair, c: Connection): Promise<{ atOnce: boolean; status: string }> {
  await client.peer.exchange(c.client, 3, 100);
  const { json } = await tcpxOk(["connections", "--cgroup", client.cgroup, "--port", `${c.port}`]);
  const [row] = json.connections;
  return { atOnce: row?.ack_at_once, status: row?.extensions.ack.local.status };
}

async function becomes(pair: Pair, c: Connection, atOnce: boolean, status: string): Promise<void> {
  let last: Awaited<ReturnType<typeof seen>> | undefined;
  const wanted = { atOnce, status };
  await until(async () => {
    last = await seen(pair, c);
    return Bun.deepEquals(last, wanted);
  }, 30_000);
  check(
    Bun.deepEquals(last, wanted),
    `a connection is ${JSON.stringify(last)}, not ${JSON.stringify(wanted)}`,
  );
}

async function counted({ client }: Pair): Promise<{ applied: number; no_routes: number }> {
  const { json } = await tcpxOk(["status", "--cgroup", client.cgroup]);
  const { applied, no_routes } = json.scopes[0].counters.ack;
  return { applied, no_routes };
}

export async function atOnce(): Promise<Result> {
  await using pair = await Pair.create();
  const { client, server } = pair;
  await pair.rule(client, "ack set --every 1");
  for (const [version, to] of [
    [4, server.v4],
    [6, server.v6],
  ] as const) {
    const rule = (verb: string) =>
      run(["ip", `-${version}`, "-n", client.netns, "rule", verb, "pref", "100", "to", to, "lookup", "main"]);
    const before = await counted(pair);
    const c = await pair.connect(to);
    await becomes(pair, c, true, "applied");
    await rule("add");
    await becomes(pair, c, false, "failed");
    await becomes(pair, await pair.connect(to), false, "failed");
    await rule("del");
    await becomes(pair, c, true, "applied");
    const after = await counted(pair);
    const more = `${after.applied - before.applied}, ${after.no_routes - before.no_routes}`;
    check(more === "1, 1", `IPv${version}: counted as applied, and without routes: ${more}`);
  }
  return works("both families");
}
