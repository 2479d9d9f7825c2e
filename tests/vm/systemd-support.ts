// SPDX-License-Identifier: MIT
// Services under a real systemd, and what their sockets have, asked by a process that is not of them.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { IPPROTO_TCP, TCP_USER_TIMEOUT } from "../support/constants.ts";
import { cgroupMount, processesOf, run, sockoptOf, until } from "../support/lab.ts";
import { check } from "./support.ts";

/** A program of the user, with a session's environment. */
export const ADA = [
  ...["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", "--"],
  ...["env", "HOME=/home/ada", "XDG_RUNTIME_DIR=/run/user/1000"],
];

export const systemctl = (...args: string[]): Promise<string> => run(["systemctl", ...args]);

/** A property of a unit, as systemd says it. */
export async function property(unit: string, name: string): Promise<string> {
  return (await systemctl("show", "--property", name, "--value", "--", unit)).trim();
}

/** Sockets of /proc/net/tcp that are established and whose peer has this port, by inode. */
function establishedWith(port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const lines = readFileSync("/proc/net/tcp", "utf8").trim().split("\n").slice(1);
  const rows = lines.map((line) => line.trim().split(/\s+/));
  return rows
    .filter(([, , peer, state]) => peer?.endsWith(`:${hex}`) && state === "01")
    .map((row) => row[9]!);
}

/** The descriptor of a socket in a process below the cgroup. */
function holderOf(cgroup: string, inode: string): { pid: number; fd: number } | undefined {
  for (const pid of processesOf(cgroup)) {
    try {
      const fd = readdirSync(`/proc/${pid}/fd`).find(
        (name) => readlinkSync(`/proc/${pid}/fd/${name}`) === `socket:[${inode}]`,
      );
      if (fd !== undefined) return { pid, fd: Number(fd) };
    } catch {
      // it has just ended
    }
  }
  return undefined;
}

/** A service that has been started may not listen yet. */
async function connect(port: number) {
  for (let tries = 0; ; tries++) {
    try {
      return await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
    } catch (error) {
      if (tries === 100) throw error;
      await Bun.sleep(100);
    }
  }
}

/** TCP_USER_TIMEOUT of a new connection to a service, at the service's end; milliseconds. */
export async function timeoutAt(cgroup: string, port: number): Promise<number> {
  const socket = await connect(port);
  let value: number | undefined;
  try {
    await until(async () => {
      const [inode] = establishedWith(socket.localPort);
      const at = inode === undefined ? undefined : holderOf(join(cgroupMount(), cgroup), inode);
      if (at === undefined) return false;
      // whoever accepted it may just have handed it to a child
      const asked = sockoptOf(at.pid, at.fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
      value = await asked.catch(() => undefined);
      return value !== undefined;
    }, 15_000);
  } finally {
    socket.end();
  }
  check(value !== undefined, `no process below ${cgroup} has accepted the connection to port ${port}`);
  return value!;
}

export async function expectTimeout(
  cgroup: string,
  port: number,
  wanted: number,
  when: string,
): Promise<void> {
  const seen = await timeoutAt(cgroup, port);
  check(seen === wanted, `${when}: a timeout of ${seen}, not ${wanted}`);
}
