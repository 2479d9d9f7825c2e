// SPDX-License-Identifier: MIT
// What `tcpx connections` and `tcpx metrics` say in the guest: how the state of a connection is found depends on
// the kernel.

import { connectPeers } from "../support/lab.ts";
import { tcpx } from "../support/tcpx.ts";
import { type Result, works } from "./report.ts";
import { check, Pair, type Side, tcpxOk } from "./support.ts";

const WANTED = {
  client: {
    direction: "opened",
    user_timeout_ms: 30_000,
    delayed_ack_max_us: 20_000,
    uto: "asked none applied",
    "cc-request": "granted none none",
    iw: "granted none none",
    ack: "none none applied",
  },
  server: {
    direction: "accepted",
    user_timeout_ms: 30_000,
    congestion_control: "reno",
    uto: "none granted none",
    "cc-request": "none granted kept",
    iw: "none granted kept",
  },
} as const;

/** The side's only connection to or from a listener, in a line per field of WANTED. */
async function seen(side: Side, netns: string, port: number, fields: readonly string[]): Promise<unknown> {
  const args = ["connections", "--cgroup", side.cgroup, "--port", `${port}`];
  const { code, json, stderr } = await tcpx(args, { netns, json: true });
  check(code === 0, `exit ${code}: ${stderr}`);
  check(json.count === 1, `${json.count} connections instead of one`);
  const [row] = json.connections;
  const status = (name: string) => {
    const { ours, peers, local } = row.extensions[name];
    return `${ours.status} ${peers.status} ${local.status}`;
  };
  return Object.fromEntries(fields.map((name) => [name, row[name] ?? status(name)]));
}

export async function connections(): Promise<Result> {
  await using pair = await Pair.create();
  for (const words of ["uto set 30s", "cc-request set reno", "iw set 40", "ack set --delay 20ms"]) {
    await pair.rule(pair.client, words);
  }
  const local = ["cc-request set reno --local", "iw set 20 --local"]; // they give way to what is asked for
  for (const words of ["uto accept --min 1s", "cc-request accept reno", "iw accept --max 32", ...local]) {
    await pair.rule(pair.server, words);
  }
  for (const family of ["v4", "v6"] as const) {
    const c = await connectPeers(pair.client.peer, pair.server.peer, pair.server[family]);
    await pair.server.peer.echo(c.server);
    await pair.client.peer.exchange(c.client, 3, 100);
    for (const name of ["client", "server"] as const) {
      const found = await seen(pair[name], pair[name].netns, c.port, Object.keys(WANTED[name]));
      check(Bun.deepEquals(found, WANTED[name]), `${name}, ${family}: ${JSON.stringify(found)}`);
    }
  }
  const { stdout } = await tcpx(["metrics", "--cgroup", pair.client.cgroup]);
  check(/tcpx_granted_requests_total\{.*"iw"\} 2\n/.test(stdout), `metrics: ${stdout}`);
  await tcpxOk(["ack", "unset", "--all", "--cgroup", pair.client.cgroup]);
  return works("both sides, v4 and v6");
}
