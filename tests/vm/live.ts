// SPDX-License-Identifier: MIT
// What existed before the rules: a listener, and a connection.

import { IPPROTO_TCP, TCP_USER_TIMEOUT } from "../support/constants.ts";
import { tcpx } from "../support/tcpx.ts";
import { degrades, type Result, works } from "./report.ts";
import { check, Pair, tcpxOk } from "./support.ts";

const EXIT_UNSUPPORTED = 3;

/** A changed request: is it made on the connection that exists, or is that told? */
async function askedAnew(pair: Pair): Promise<boolean> {
  await pair.rule(pair.server, "ack accept --max-every 1");
  const request = (every: number) =>
    tcpxOk(["ack", "request", "--every", `${every}`, "--cgroup", pair.client.cgroup]);
  await request(10);
  const c = await pair.connect(pair.server.v4);
  await pair.server.peer.echo(c.server);
  await pair.client.peer.exchange(c.client, 3, 100);
  const { json, stderr } = await request(4);
  await pair.client.peer.exchange(c.client, 3, 100);
  const args = ["connections", "--cgroup", pair.client.cgroup, "--port", `${c.port}`];
  const seen = await tcpx(args, { netns: pair.client.netns, json: true });
  const { status, asked } = seen.json.connections[0].extensions.ack.ours;
  const anew = json.live?.announced === 1;
  check(anew || /announces nothing/.test(stderr), `neither announced nor told: ${stderr}`);
  check(status === "granted" && asked.every === (anew ? 4 : 10), `${status}, ${JSON.stringify(asked)}`);
  await pair.client.peer.reset(c.client); // else it is the second one of what follows
  for (const side of [pair.client, pair.server]) await tcpxOk(["ack", "unset", "--cgroup", side.cgroup]);
  return anew;
}

/** One connection changes, its value is given back, and a new value reaches the peer where it can. */
export async function live(): Promise<Result> {
  await using pair = await Pair.create();
  const anew = await askedAnew(pair);
  await pair.rule(pair.server, "uto accept --min 1s --max 1h");
  const c = await pair.connect(pair.server.v4);
  const place = ["--cgroup", pair.client.cgroup];
  const set = await tcpx(["uto", "set", "30s", "--live", ...place], { json: true, timeoutMs: 80_000 });
  if (set.code === EXIT_UNSUPPORTED) {
    await pair.expectTimeouts(c, { client: 0, server: 0 });
    const { json } = await tcpxOk(["uto", "show", ...place]);
    check(json.rules.length === 0, "the rule was set all the same");
    return degrades("new connections only, with exit 3");
  }
  check(
    set.code === 0 && set.json.live.changed_connections === 1,
    `exit ${set.code}: ${set.stderr} ${set.stdout}`,
  );
  await pair.client.peer.exchange(c.client, 3, 100);
  const announced = set.json.live.announced === 1;
  check(announced === anew, `announced: ${announced}, a changed request: ${anew}`);
  await pair.expectTimeouts(c, { client: 30_000, server: announced ? 30_000 : 0 });
  await tcpxOk(["cc-request", "set", "reno", "--local", "--live", ...place]);
  check((await pair.client.peer.getcc(c.client)) === "reno", "the congestion control has not changed");
  for (const name of ["uto", "cc-request"]) {
    const { json } = await tcpxOk([name, "unset", "--live", ...place]);
    check(json.live.changed_connections === 1, `${name} unset --live: ${JSON.stringify(json.live)}`);
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
