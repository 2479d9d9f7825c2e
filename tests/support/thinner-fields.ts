// SPDX-License-Identifier: MIT
// What an ACK looks like on the wire: one that was held has to look as those that the kernel sends itself.
import { run } from "./lab.ts";

/** The same in all ACKs of a connection, unless something changes. */
const LOOK = [
  "eth.src",
  "eth.dst",
  "vlan.id",
  "vlan.priority",
  "ip.src",
  "ip.dst",
  "ip.dsfield",
  "ip.ttl",
  "ip.flags.df",
  "ip.hdr_len",
  "ipv6.src",
  "ipv6.dst",
  "ipv6.tclass",
  "ipv6.flow",
  "ipv6.hlim",
  "ipv6.nxt",
  "tcp.srcport",
  "tcp.dstport",
  "tcp.option_kind",
] as const;
const NUMBERS = ["tcp.seq_raw", "tcp.ack_raw", "tcp.options.timestamp.tsval", "tcp.checksum.status"] as const;
const CHECKSUM_GOOD = 1;

export type Look = Partial<Record<(typeof LOOK)[number], string>>;

export interface Ack {
  look: Look;
  /**
   * Sent by the agent: over a link that computes no checksums, as veth, it is the only one who does. Where all
   * have one, all are.
   */
  isLate: boolean;
  seq: number;
  ack: number;
  /** NaN without timestamps. */
  tsval: number;
}

/** The pure ACKs of a recording that go to a port, but for those with SACK. */
export async function acksOf(file: string, port: number): Promise<Ack[]> {
  const names = [...LOOK, ...NUMBERS];
  const filter = `tcp.dstport == ${port} && tcp.len == 0 && tcp.flags == 0x010 && !tcp.options.sack`;
  const read = ["tshark", "-n", "-r", file, "-o", "tcp.check_checksum:TRUE", "-Y", filter, "-T", "fields"];
  const text = await run([...read, ...names.flatMap((name) => ["-e", name])]);
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const words = line.split("\t");
    const number = (name: (typeof NUMBERS)[number]) => Number(words[names.indexOf(name)] || "NaN");
    const look = LOOK.map((name, i) => [name, words[i] ?? ""] as const).filter(([, word]) => word !== "");
    return {
      look: Object.fromEntries(look),
      isLate: number("tcp.checksum.status") === CHECKSUM_GOOD,
      seq: number("tcp.seq_raw"),
      ack: number("tcp.ack_raw"),
      tsval: number("tcp.options.timestamp.tsval"),
    };
  });
}

/** Each once. */
export function looksOf(acks: readonly Ack[]): Look[] {
  const texts = new Set(acks.map(({ look }) => JSON.stringify(look)));
  return [...texts].map((text) => JSON.parse(text));
}
