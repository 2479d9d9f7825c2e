// SPDX-License-Identifier: MIT
// Connections over paths that refuse our options, and what SYNs had of them.
import { expect } from "bun:test";
import type { Packet } from "./lab.ts";
import { optionsOf, type RequestLab } from "./request-lab.ts";
import { trace } from "./uto-lab.ts";

export type Family = "v4" | "v6";
export const FAMILIES: Family[] = ["v4", "v6"];

export const SYN = "tcp flags syn / fin,syn,rst,ack";
/** What a firewall does with SYNs that have an option of this kind. */
export const reset = (kind: number) => `${SYN} tcp option ${kind} exists reject with tcp reset`;
export const drop = (kind: number) => `${SYN} tcp option ${kind} exists drop`;

/** Extension, words of a rule, the kind of its option, and the option in hex. */
export const RULES: [string, string, number, string][] = [
  ["uto", "uto set 30s", 28, "1c04001e"],
  ["cc-request", "cc-request set cubic", 254, "fe067cc00003"],
  ["iw", "iw set 40", 254, "fe067c100028"],
  ["ack", "ack request --every 10", 254, "fe067ca0000a"],
];
export const TARR = ["ack", "ack request --every 10 --tarr", 254, "fe0400ac"] as const;

/** Of a lab that is there when they are called. */
export function pathActions(lab: () => RequestLab) {
  const ours = (packet: Packet) => optionsOf(packet, 28, 254);

  /** An application that gives up after less than a second, should nobody tell it before. */
  async function fails(port: number, family: Family = "v4", timeoutMs = 700): Promise<void> {
    const { client, server } = lab();
    const fd = await client.peer.socket(family === "v4" ? 4 : 6);
    await expect(client.peer.connectFd(fd, server[family], port, timeoutMs)).rejects.toThrow();
    await client.peer.close(fd);
  }

  /** A connection that has to come about before a second SYN would go out, and work. */
  async function opens(listener: number, port: number, family: Family = "v4", timeoutMs = 700) {
    const r = lab();
    const client = await r.client.peer.connect(r.server[family], port, { timeoutMs });
    const { fd: server } = await r.server.peer.accept(listener);
    const c = { listener, port, client, server };
    await r.exchange(c, 1);
    return c;
  }

  /** What each SYN to a port had of ours, and everything that stood on later segments. */
  async function said(port: number, work: () => Promise<unknown>) {
    const { capture } = await lab().record(work);
    const { client } = await trace(capture, port);
    const syns = client.filter(({ flags }) => flags === "S").map(ours);
    return { syns, later: client.filter(({ flags }) => flags !== "S").map(ours) };
  }

  return { ours, fails, opens, said };
}
