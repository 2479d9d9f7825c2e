// SPDX-License-Identifier: MIT
// ACKs of a paced transfer, thinned; with AccECN as well, where the kernel negotiates it.

import { SOL_SOCKET } from "../support/constants.ts";
import { connectPeers } from "../support/lab.ts";
import { degrades, type Result, works } from "./report.ts";
import { check, Pair, Unsupported } from "./support.ts";

const EVERY = 8;
/** The delay is what more than 8 segments take, which the RTT between two namespaces is not. */
const RULE = `ack set --every ${EVERY} --delay 60ms --min-acks-per-rtt 0`;
/** Sends at the pace of a link of 10 Mbit/s, segment by segment. */
const SO_MAX_PACING_RATE = 47;
const RATE = 1_250_000;
const BYTES = 1_000_000;
const TIMEOUT_MS = 60_000;
/** In TCP_INFO's options: ECN was negotiated. */
const TCPI_OPT_ECN = 8;
const ACCECN = 3;

/** Segments per ACK while a client receives, after as many bytes to warm up. */
async function segmentsPerAck({ client, server }: Pair): Promise<{ ratio: number; ecn: boolean }> {
  const c = await connectPeers(client.peer, server.peer, server.v4);
  await server.peer.setopt(c.server, SOL_SOCKET, SO_MAX_PACING_RATE, RATE);
  const transfer = async () => {
    const both = [
      server.peer.send(c.server, BYTES, TIMEOUT_MS),
      client.peer.recv(c.client, BYTES, TIMEOUT_MS),
    ] as const;
    const [sent, received] = await Promise.all(both);
    check(sent === received, "the bytes that arrived are others");
    return client.peer.tcpInfo(c.client);
  };
  const [before, after] = [await transfer(), await transfer()];
  const grown = (key: string) => after[key]! - before[key]!;
  return { ratio: grown("data_segs_in") / grown("segs_out"), ecn: (after.options! & TCPI_OPT_ECN) !== 0 };
}

async function negotiateAccEcn({ lab, client, server }: Pair): Promise<boolean> {
  try {
    for (const { netns } of [client, server]) await lab.sysctl(netns, "net.ipv4.tcp_ecn", ACCECN);
    return true;
  } catch {
    return false; // before Linux 7.0
  }
}

export async function thinnedAcks(): Promise<Result> {
  await using pair = await Pair.create();
  const { lab, client, server } = pair;
  await lab.exec(server.netns, ["ethtool", "-K", "to-client", "tso", "off", "gso", "off"]);
  const plain = await segmentsPerAck(pair);
  check(plain.ratio < 3, `${plain.ratio.toFixed(1)} segments per ACK without a rule`);
  try {
    await pair.rule(client, RULE);
  } catch (error) {
    if (error instanceof Unsupported) return degrades("refused, with exit 3");
    throw error;
  }
  const ratios: string[] = [];
  for (const accEcn of [false, true]) {
    if (accEcn && !(await negotiateAccEcn(pair))) break;
    const { ratio, ecn } = await segmentsPerAck(pair);
    ratios.push(`${ratio.toFixed(1)} segments per ACK${accEcn ? " with AccECN" : ""}`);
    check(ecn === accEcn, `ECN was ${ecn ? "" : "not "}negotiated`);
    check(ratio >= 6 && ratio <= EVERY + 1, ratios.at(-1)!);
  }
  return works(ratios.join(", "));
}
