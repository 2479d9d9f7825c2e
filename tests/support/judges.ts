// SPDX-License-Identifier: MIT
// Independent views of the sockets of other processes: what getsockopt and ss say.
import { buildSupport } from "./build.ts";
import { IPPROTO_TCP, TCP_CONGESTION } from "./constants.ts";
import { run } from "./process.ts";

/** Reads an option of another process's socket, in a process of its own: the independent judge. */
export async function sockoptOf(pid: number, fd: number, level: number, name: number): Promise<number> {
  const { peer } = await buildSupport();
  return Number(await run([peer, "sockopt", `${pid}`, `${fd}`, `${level}`, `${name}`]));
}

export async function congestionOf(pid: number, fd: number): Promise<string> {
  const { peer } = await buildSupport();
  const option = [`${IPPROTO_TCP}`, `${TCP_CONGESTION}`, "str"];
  return (await run([peer, "sockopt", `${pid}`, `${fd}`, ...option])).trim();
}

export interface SsSocket {
  state: string;
  recvQ: number;
  sendQ: number;
  local: string;
  peer: string;
  /** "key:value" words such as rto, cwnd, timer; a bare word (cubic, ts, sack) has the value "". */
  info: Record<string, string>;
  raw: string;
}

/** TCP sockets of a namespace; the filter is ss's own, for example ["dport", "=", "80"]. */
export async function ssInfo(netns: string, filter: readonly string[] = []): Promise<SsSocket[]> {
  const text = await run(["ss", "-tinoHO", ...filter], { netns });
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((raw) => {
      const [state = "", recvQ, sendQ, local = "", peer = "", ...rest] = raw.trim().split(/\s+/);
      const info = rest.map((word): [string, string] => {
        const colon = word.indexOf(":");
        return colon < 0 ? [word, ""] : [word.slice(0, colon), word.slice(colon + 1)];
      });
      return {
        state,
        recvQ: Number(recvQ),
        sendQ: Number(sendQ),
        local,
        peer,
        info: Object.fromEntries(info),
        raw,
      };
    });
}
