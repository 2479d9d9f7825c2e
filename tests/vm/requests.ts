// SPDX-License-Identifier: MIT
// cc-request and iw in the guest: a client asks, a server grants, and the client learns the answer.

import { CONTROL, TestControl } from "../support/congestion.ts";
import { connectPeers } from "../support/lab.ts";
import { pacedWindow } from "../support/tcp-info.ts";
import { type Result, works } from "./report.ts";
import { check, Pair, type Side, tcpxOk } from "./support.ts";

const ASKED = { algorithm: "reno", segments: 40, most: 32 };

async function counter({ cgroup }: Side, extension: string, name: string): Promise<number> {
  const { json } = await tcpxOk(["status", "--cgroup", cgroup]);
  return json.scopes[0]?.counters[extension][name] ?? 0;
}

/** A new connection: the server's socket as it is right after accept(), then a few exchanges. */
async function negotiate(pair: Pair, address: string): Promise<{ algorithm: string; cwnd: number }> {
  const { client, server } = await connectPeers(pair.client.peer, pair.server.peer, address);
  const algorithm = await pair.server.peer.getcc(server);
  const cwnd = Number((await pair.server.peer.tcpInfo(server)).snd_cwnd);
  await pair.server.peer.echo(server);
  await pair.client.peer.exchange(client, 3, 100);
  return { algorithm, cwnd };
}

async function expectGrant(pair: Pair, address: string): Promise<void> {
  const seen = await negotiate(pair, address);
  const wanted = { algorithm: ASKED.algorithm, cwnd: ASKED.most };
  check(Bun.deepEquals(seen, wanted), `${address}: ${JSON.stringify(seen)}, not ${JSON.stringify(wanted)}`);
}

/** Over IPv4 and IPv6; `total`: of how many grants the client knows then. */
async function expectGrants(pair: Pair, total: number): Promise<void> {
  for (const address of [pair.server.v4, pair.server.v6]) await expectGrant(pair, address);
  for (const extension of ["cc-request", "iw"]) {
    const granted = await counter(pair.client, extension, "granted");
    check(granted === total, `${extension}: the client knows of ${granted} grants, not of ${total}`);
  }
}

async function setRules(pair: Pair): Promise<void> {
  await pair.rule(pair.client, `cc-request set ${ASKED.algorithm}`);
  await pair.rule(pair.client, `iw set ${ASKED.segments}`);
  await pair.rule(pair.server, `cc-request accept ${ASKED.algorithm}`);
  await pair.rule(pair.server, `iw accept --max ${ASKED.most}`);
}

/** Both requests over IPv4 and IPv6, the client's knowledge of the answer, and silence without accept. */
export async function requests(): Promise<Result> {
  await using pair = await Pair.create();
  const before = await negotiate(pair, pair.server.v4);
  check(before.algorithm !== ASKED.algorithm && before.cwnd === 10, `not stock: ${JSON.stringify(before)}`);
  await setRules(pair);
  await expectGrants(pair, 2);
  // whose option takes 12 of the 20 bytes of the SYN-ACK
  const accEcn = await pair.useAccEcn();
  if (accEcn) await expectGrants(pair, 4);
  await tcpxOk(["cc-request", "unset", "--all", "--cgroup", pair.server.cgroup]);
  await tcpxOk(["iw", "unset", "--all", "--cgroup", pair.server.cgroup]);
  const after = await negotiate(pair, pair.server.v4);
  check(Bun.deepEquals(after, before), `without accept: ${JSON.stringify(after)}`);
  return works(`granted, answered, v4 and v6${accEcn ? ", with AccECN too" : ""}`);
}

/** A server that remembers nothing of the SYN, and a listener that is older than the rules. */
export async function lateRequests(): Promise<Result> {
  await using pair = await Pair.create();
  const port = 7300;
  const { fd } = await pair.server.peer.listen(pair.server.v4, port);
  await setRules(pair);
  const client = await pair.client.peer.connect(pair.server.v4, port);
  const old = await pair.server.peer.accept(fd);
  check(
    (await pair.server.peer.getcc(old.fd)) === ASKED.algorithm,
    "an old listener's connection is not granted",
  );
  await pair.server.peer.echo(old.fd);
  await pair.client.peer.exchange(client, 3, 100);
  await pair.lab.sysctl("server", "net.ipv4.tcp_syncookies", 2);
  for (const address of [pair.server.v4, pair.server.v6]) await expectGrant(pair, address);
  check(
    (await counter(pair.client, "cc-request", "granted")) === 3,
    "the client does not know of all grants",
  );
  return works("old listener, SYN cookies v4 and v6");
}

const IDENTIFIERS = `exid = { cc-ask = 0x7d00, cc-answer = 0x7d01, iw-ask = 0x7d10, iw-answer = 0x7d11 }\n`;

/** A policy with the site's table and rules of both sides, put in force. */
async function applySite({ client, server }: Pair): Promise<void> {
  const scope = (side: Side, cc: string, iw: string) =>
    `[[scope]]\ncgroup = "${side.cgroup}"\n[[scope.cc-request]]\n${cc}\n[[scope.iw]]\n${iw}\n`;
  const text = [
    `${IDENTIFIERS}[algorithms]\n${CONTROL} = 0x8001\n`,
    scope(client, `set = "${CONTROL}"`, `set = ${ASKED.segments}`),
    scope(server, `accept = "${CONTROL}"`, `accept = true\nmax = ${ASKED.most}`),
  ];
  await tcpxOk(["apply", "-"], { stdin: text.join("") });
}

/** Other identifiers, and a number for a congestion control that has none of ours; and back to what is documented. */
export async function siteRequests(): Promise<Result> {
  await using pair = await Pair.create();
  await using _ = await TestControl.load();
  await applySite(pair);
  for (const address of [pair.server.v4, pair.server.v6]) {
    const seen = await negotiate(pair, address);
    const wanted = { algorithm: CONTROL, cwnd: ASKED.most };
    check(Bun.deepEquals(seen, wanted), `${address}: ${JSON.stringify(seen)}, not ${JSON.stringify(wanted)}`);
  }
  for (const extension of ["cc-request", "iw"]) {
    const granted = await counter(pair.client, extension, "granted");
    check(granted === 2, `${extension}: the client knows of ${granted} grants`);
  }
  await tcpxOk(["apply", "-"], { stdin: "scope = []" });
  const { algorithm } = await negotiate(pair, pair.server.v4);
  check(algorithm !== CONTROL, "the rules are gone, and the grants are not");
  return works("granted, answered, v4 and v6");
}

/** A pause before the first data costs no window. */
async function windowAfterPause({ client, server }: Pair): Promise<number> {
  const c = await connectPeers(client.peer, server.peer, server.v4);
  await Bun.sleep(1000);
  await server.peer.send(c.server, 20);
  return Number((await server.peer.tcpInfo(c.server)).snd_cwnd);
}

/** BBR paces its first flight by the window that it finds when it begins: our own of both, and granted ones. */
export async function bbrWindow(): Promise<Result> {
  await using pair = await Pair.create();
  const scope = ({ cgroup }: Side, cc: string, iw: string) =>
    `[[scope]]\ncgroup = "${cgroup}"\ncc-request = [{ ${cc} }]\niw = [{ ${iw} }]\n`;
  const asks = scope(pair.client, 'set = "bbr"', `set = ${ASKED.segments}`);
  const grants = scope(pair.server, 'accept = "bbr"', `accept = true, max = ${ASKED.most}`);
  const ours = scope(pair.server, 'set = "bbr", local = true', `set = ${ASKED.most}, local = true`);
  try {
    for (const text of [ours, asks + grants]) {
      await tcpxOk(["apply", "-"], { stdin: text });
      const { server } = await connectPeers(pair.client.peer, pair.server.peer, pair.server.v4);
      check((await pair.server.peer.getcc(server)) === "bbr", "BBR is not in use");
      const paced = await pacedWindow(pair.server.peer.pid, server);
      check(paced > ASKED.most * 0.9 && paced < ASKED.most * 1.1, `paced by ${paced}: ${text}`);
    }
    const iw = `[[scope]]\ncgroup = "${pair.server.cgroup}"\niw = [{ set = ${ASKED.most}, local = true }]\n`;
    await tcpxOk(["apply", "-"], { stdin: iw });
    const after = await windowAfterPause(pair);
    check(after >= ASKED.most && after < ASKED.most + 2, `a window of ${after} after a pause`);
  } finally {
    await tcpxOk(["apply", "-"], { stdin: "scope = []" });
  }
  return works(`paced by ${ASKED.most}, kept before the first data`);
}
