// SPDX-License-Identifier: MIT
// How often the receiver of a download acknowledges, with a rule and without: for the demo.

import { Exit, TcpxError } from "../errors.ts";
import { type Child, viewConnection } from "./children.ts";
import { ADDRESS } from "./sandbox.ts";
import type { Stage } from "./stage.ts";

const BYTES = 32_000_000;
const PATIENCE_MS = 30_000;

export interface Acks {
  /** Segments with data that the server has sent. */
  segments: number;
  /** ACKs that came back to it. */
  acks: number;
}

export const per100 = ({ segments, acks }: Acks): number => Math.round((acks / segments) * 100);

async function fetched(stage: Stage, client: Child): Promise<void> {
  if (await client.wait("fetched", PATIENCE_MS)) return;
  stage.check();
  throw new TcpxError(Exit.FAILED, "the download did not end");
}

/** Downloads from the server through a listener on this port, and looks at the server's socket. */
export async function download(stage: Stage, port: number): Promise<Acks> {
  const server = await stage.start("send", "server", "listening", ADDRESS.server, `${port}`, `${BYTES}`);
  const client = stage.launch("fetch", "client", ADDRESS.server, `${port}`, `${BYTES}`);
  await fetched(stage, client);
  const view = viewConnection(stage.lib, server.pid);
  await Promise.all([client, server].map((child) => child[Symbol.asyncDispose]()));
  if (!view) throw new TcpxError(Exit.FAILED, "the download's connection was not found");
  return { segments: view.dataSent, acks: view.acksReceived };
}
