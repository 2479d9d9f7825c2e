// SPDX-License-Identifier: MIT
// What keep-alive makes of a user timeout in the guest: its fields are found by name, and one has changed its size.

import { KEEPALIVE_ON, keepalive as on, setAll } from "../support/keepalive.ts";
import { tcpx } from "../support/tcpx.ts";
import { type Result, works } from "./report.ts";
import { check, Pair, tcpxOk } from "./support.ts";

const OWN = { options: on(2, 2, 5), ms: 12_000 };
/** 5 s + 4 x 3 s */
const SYSCTLS = { time: 5, intvl: 3, probes: 4 };
const OF_SYSCTLS = { options: [KEEPALIVE_ON], ms: 17_000 };

export async function keepalive(): Promise<Result> {
  await using pair = await Pair.create();
  const { client, server } = pair;
  for (const { netns } of [client, server]) {
    for (const [name, value] of Object.entries(SYSCTLS))
      await pair.lab.sysctl(netns, `net.ipv4.tcp_keepalive_${name}`, value);
  }
  await pair.rule(client, "uto set 40s");
  await pair.rule(server, "uto accept --min 1s --max 1h");
  for (const family of ["v4", "v6"] as const) {
    for (const { options, ms } of [OWN, OF_SYSCTLS, { options: [], ms: 40_000 }]) {
      const { fd: listener, port } = await server.peer.listen(server[family]);
      await setAll(server.peer, listener, options);
      const fd = await client.peer.connect(server[family], port, { options });
      const accepted = await server.peer.accept(listener);
      const c = { listener, port, client: fd, server: accepted.fd };
      await pair.expectTimeouts(c, { client: ms, server: ms });
      const args = ["connections", "--cgroup", client.cgroup, "--port", `${port}`];
      const { json } = await tcpx(args, { netns: client.netns, json: true });
      const [{ keepalive }] = json.connections;
      const said = JSON.stringify([keepalive?.probes ?? 0, keepalive?.user_timeout ?? null]);
      const probes = options === OWN.options ? 5 : SYSCTLS.probes;
      const wanted = JSON.stringify(options.length > 0 ? [probes, "lowered"] : [0, null]);
      check(said === wanted, `connections, ${family}: ${said}, not ${wanted}`);
    }
  }
  const { json } = await tcpxOk(["status", "--cgroup", client.cgroup]);
  const { keepalive_lowered, errors } = json.scopes[0].counters.uto;
  check(keepalive_lowered === 4 && errors === 0, `lowered ${keepalive_lowered}, errors ${errors}`);
  return works("12 s and 17 s at both ends, v4 and v6");
}
