// SPDX-License-Identifier: MIT
// The agent's end of the socket.

import { unlinkSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { SOCKET } from "./run-dir.ts";
import { type AgentRequest, firstLine } from "./socket.ts";

/** Longest request, bytes; a real one is much shorter. */
const MOST = 65_536;

const replacer = (_: string, value: unknown) => (typeof value === "bigint" ? value.toString() : value);

/** Listens; the caller holds the agent's lock, so a socket that is there is a dead agent's. */
export class AgentServer {
  private readonly server = createServer((socket) => void this.serve(socket));
  private readonly open = new Set<Socket>();

  constructor(private readonly answer: (request: AgentRequest) => Promise<unknown>) {}

  async listen(path = SOCKET): Promise<void> {
    try {
      unlinkSync(path);
    } catch {
      // none was left
    }
    await new Promise<void>((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen(path, resolve);
    });
  }

  private async serve(socket: Socket): Promise<void> {
    this.open.add(socket);
    socket.on("close", () => this.open.delete(socket));
    try {
      const line = await firstLine(socket, MOST);
      if (line === undefined) return;
      const request = JSON.parse(line) as AgentRequest;
      socket.end(`${JSON.stringify(await this.answer(request), replacer)}\n`);
    } catch (error) {
      socket.on("error", () => {}); // whoever asked has gone
      socket.end(`${JSON.stringify({ error: (error as Error).message })}\n`);
    }
  }

  /** Nobody new gets in; answers that are under way still go out. */
  close(path = SOCKET): void {
    this.server.close();
    try {
      unlinkSync(path);
    } catch {
      // somebody removed it by hand
    }
  }

  /** Ends the connections of those who never asked. */
  drop(): void {
    for (const socket of this.open) if (!socket.writableEnded) socket.destroy();
  }
}
