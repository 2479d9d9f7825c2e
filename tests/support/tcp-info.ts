// SPDX-License-Identifier: MIT
// What TCP_INFO says of sockets of other processes.
import { buildSupport } from "./build.ts";
import { IPPROTO_TCP, TCP_INFO } from "./constants.ts";
import { run } from "./process.ts";

/** TCP_INFO of another process's socket. */
async function infoOf(pid: number, fd: number): Promise<Buffer> {
  const { peer } = await buildSupport();
  const hex = await run([peer, "sockopt", `${pid}`, `${fd}`, `${IPPROTO_TCP}`, `${TCP_INFO}`, "hex"]);
  return Buffer.from(hex.trim(), "hex");
}

/** The congestion window of another process's socket. */
export async function windowOf(pid: number, fd: number): Promise<number> {
  return (await infoOf(pid, fd)).readUInt32LE(80); // tcpi_snd_cwnd
}

/** Of BBR: 2/ln 2 of the window per round trip, and 1 % less. */
const BBR_FIRST_GAIN = 2.885 * 0.99;

/** The window by which BBR paces a connection that has sent nothing yet: what it found when it began. */
export async function pacedWindow(pid: number, fd: number): Promise<number> {
  const info = await infoOf(pid, fd);
  const [mss, rttUs, rate] = [info.readUInt32LE(16), info.readUInt32LE(68), info.readBigUInt64LE(104)];
  return (Number(rate) * rttUs) / 1e6 / mss / BBR_FIRST_GAIN;
}
