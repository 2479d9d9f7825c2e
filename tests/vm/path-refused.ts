// SPDX-License-Identifier: MIT
// SYNs with an option that are answered by a reset, or by nothing that the application waits for: the next one
// is plain, and what comes of it decides. The reset is that of a port where nobody listens yet; who waits for the
// second SYN does not hear of it.

import { type Result, works } from "./report.ts";
import { check, Pair, tcpxOk } from "./support.ts";

async function fails(pair: Pair, addr: string, port: number): Promise<void> {
  const fd = await pair.client.peer.socket(addr.includes(":") ? 6 : 4);
  const failed = await pair.client.peer.connectFd(fd, addr, port, 300).then(
    () => false,
    () => true,
  );
  await pair.client.peer.close(fd);
  check(failed, `${addr} port ${port}: connected`);
}

/** What the client's uto did with a new connection: asked or not-asked, and why not. */
async function outcome(pair: Pair, addr: string, port: number): Promise<string> {
  const { fd: listener } = await pair.server.peer.listen(addr, port);
  return outcomeOf(pair, port, listener, await pair.client.peer.connect(addr, port));
}

async function outcomeOf(pair: Pair, port: number, listener: number, fd: number): Promise<string> {
  await pair.server.peer.accept(listener);
  const { json } = await tcpxOk(["connections", "--cgroup", pair.client.cgroup, "--port", `${port}`]);
  await pair.client.peer.close(fd);
  const [c] = json.connections;
  return `${c?.extensions.uto.ours.status} ${c?.fallback_reason}`;
}

/** Nobody listens until after the first SYN. */
async function savedOutcome(pair: Pair, addr: string, port: number): Promise<string> {
  const connecting = pair.client.peer.connect(addr, port, { timeoutMs: 20_000 });
  await Bun.sleep(200);
  const { fd: listener } = await pair.server.peer.listen(addr, port);
  return outcomeOf(pair, port, listener, await connecting);
}

async function expectOutcome(pair: Pair, addr: string, port: number, wanted: string): Promise<void> {
  const seen = await outcome(pair, addr, port);
  check(seen === wanted, `${addr} port ${port}: ${seen}, not ${wanted}`);
}

export async function pathRefused(): Promise<Result> {
  await using pair = await Pair.create();
  await pair.rule(pair.client, "uto set 30s");
  for (const addr of [pair.server.v4, pair.server.v6]) {
    const saved = await savedOutcome(pair, addr, 7000);
    check(saved === "not-asked path", `${addr}, a reset that was held back: ${saved}`);
    await fails(pair, addr, 7001);
    await expectOutcome(pair, addr, 7001, "not-asked path");
    for (let i = 0; i < 2; i++) await fails(pair, addr, 7002);
    await expectOutcome(pair, addr, 7002, "asked null");
  }
  // what is for an address that nobody has is dropped, and nobody hears of it
  const { v4, netns, device } = pair.server;
  const address = (verb: string) => pair.lab.exec(netns, ["ip", "addr", verb, `${v4}/24`, "dev", device]);
  await address("del");
  await fails(pair, v4, 7003);
  await address("add");
  await expectOutcome(pair, v4, 7003, "not-asked path");
  const { counters } = (await tcpxOk(["status", "--cgroup", pair.client.cgroup])).json.scopes[0];
  const { fallback, path, errors } = counters.uto;
  check(fallback === 5 && path === 5 && errors === 0, `counters: ${JSON.stringify(counters.uto)}`);
  return works("reset and silence, v4 and v6");
}
