// SPDX-License-Identifier: MIT
// What existed before the rules: a listener, and a connection.

import { IPPROTO_TCP, TCP_USER_TIMEOUT } from "../support/constants.ts";
import { tcpx } from "../support/tcpx.ts";
import { degrades, type Result, works } from "./report.ts";
import { check, Pair, tcpxOk } from "./support.ts";

const EXIT_UNSUPPORTED = 3;

/** One connection changes, its value is given back, and a new value reaches the peer where it can. */
export async function live(): Promise<Result> {
  await using pair = await Pair.create();
  await pair.rule(pair.server, "uto accept --min 1s --max 1h");
  const c = await pair.connect(pair.server.v4);
  const place = ["--cgroup", pair.client.cgroup];
  const set = await tcpx(["uto", "set", "30s", "--live", ...place], { json: true, timeoutMs: 80_000 });
  if (set.code === EXIT_UNSUPPORTED) {
    await pair.expectTimeouts(c, { client: 0, server: 0 });
    return degrades("new connections only, with exit 3");
  }
  check(set.code === 0 && set.json.live.changed === 1, `exit ${set.code}: ${set.stderr} ${set.stdout}`);
  await pair.client.peer.exchange(c.client, 3, 100);
  const announced = set.json.live.announced === 1;
  await pair.expectTimeouts(c, { client: 30_000, server: announced ? 30_000 : 0 });
  await tcpxOk(["cc-request", "set", "reno", "--local", "--live", ...place]);
  check((await pair.client.peer.getcc(c.client)) === "reno", "the congestion control has not changed");
  for (const name of ["uto", "cc-request"]) {
    const { json } = await tcpxOk([name, "unset", "--live", ...place]);
    check(json.live.changed === 1, `${name} unset --live: ${JSON.stringify(json.live)}`);
  }
  check((await pair.client.peer.getopt(c.client, IPPROTO_TCP, TCP_USER_TIMEOUT)) === 0, "not given back");
  check((await pair.client.peer.getcc(c.client)) !== "reno", "the congestion control is not given back");
  return announced
    ? works("changed, announced, given back")
    : degrades("changed and given back, not announced");
}

/** A listener is armed by the first rule, as far as the kernel goes. */
export async function oldListener(): Promise<Result> {
  await using pair = await Pair.create();
  const { fd, port } = await pair.server.peer.listen(pair.server.v4);
  await pair.rule(pair.client, "uto set 30s");
  const cgroup = ["--cgroup", pair.server.cgroup];
  const { json } = await tcpxOk(["uto", "accept", "--min", "1s", ...cgroup]);
  const client = await pair.client.peer.connect(pair.server.v4, port);
  const server = (await pair.server.peer.accept(fd)).fd;
  await pair.server.peer.echo(server);
  await pair.client.peer.exchange(client, 3, 100);
  await pair.expectTimeouts({ listener: fd, port, client, server }, { client: 30_000, server: 30_000 });
  await tcpxOk(["uto", "unset", ...cgroup]);
  const { supported, armed, answer_in_syn_ack } = json.listeners;
  if (!supported) return degrades("not armed, learns from the third ACK");
  check(armed === 1, `armed ${armed} listeners`);
  return answer_in_syn_ack === 1 ? works("answers in the SYN-ACK") : degrades("reads the SYN");
}
