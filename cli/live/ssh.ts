// SPDX-License-Identifier: MIT
// The SSH session that the command was given in: its end would be noticed.

import { readFileSync } from "node:fs";
import { parseSelectors } from "../policy/selector.ts";
import { ancestors } from "../system/viewpoint.ts";
import type { Socket } from "./sockets.ts";

const NAME = "SSH_CONNECTION";

/** sudo drops the variable: the shell before it still has it. */
function inherited(): string | undefined {
  for (const pid of ancestors()) {
    try {
      const found = readFileSync(`/proc/${pid}/environ`, "latin1")
        .split("\0")
        .find((entry) => entry.startsWith(`${NAME}=`));
      if (found) return found.slice(NAME.length + 1);
    } catch {
      // gone, or not ours to look at
    }
  }
  return undefined;
}

export interface SshSession {
  address: string;
  remotePort: number;
  localPort: number;
}

/** Undefined: the command was not given over SSH. */
export function sshSession(text = process.env[NAME] || inherited()): SshSession | undefined {
  const [address = "", remotePort, , localPort] = text?.split(" ") ?? [];
  if (!remotePort || !localPort) return undefined;
  return { address, remotePort: Number(remotePort), localPort: Number(localPort) };
}

export function isSession(socket: Socket, session: SshSession | undefined): boolean {
  if (socket.remote_port !== session?.remotePort || socket.local_port !== session.localPort) return false;
  try {
    const to = session.address.replace(/%.*$/, "");
    const [from] = parseSelectors({ to, from: undefined, port: undefined });
    return from!.address.every((byte, i) => byte === socket.remote[i]);
  } catch {
    return true; // an address of an unusual form: the ports say enough
  }
}
