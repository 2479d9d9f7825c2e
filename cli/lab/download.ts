// SPDX-License-Identifier: MIT
// How often the receiver of a download acknowledges, with a rule and without: for the demo.

import { Exit, TcpxError } from "../base/errors.ts";
import { ADDRESS } from "./sandbox.ts";
import type { Stage } from "./stage.ts";

const DOWNLOAD_MS = 1000;
/**
 * Bytes per second, 200 Mbit/s, one segment at a time: a receiver that gets many at once, or that cannot keep
 * up, acknowledges less by itself.
 */
const PACE = 25_000_000;
const PATIENCE_MS = 30_000;
/** For what is still on its way. */
const REST_MS = 200;

export interface Acks {
  /** Segments with data that the server has sent. */
  segments: number;
  /** ACKs that came back to it. */
  acks: number;
}

export const per100 = ({ segments, acks }: Acks): number => Math.round((acks / segments) * 100);

/** Downloads from the server through a listener on this port, and looks at the server's socket. */
export async function download(stage: Stage, port: number): Promise<Acks> {
  const address = [ADDRESS.server, `${port}`];
  const server = await stage.start("send", "server", "listening", ...address, `${DOWNLOAD_MS}`);
  await server.pace(PACE);
  const client = stage.launch("read", "client", ...address);
  const sent = await server.wait("sent", PATIENCE_MS);
  stage.check();
  if (!sent) throw new TcpxError(Exit.FAILED, "the download did not end");
  await Bun.sleep(REST_MS);
  const view = await server.view();
  await Promise.all([client, server].map((child) => child[Symbol.asyncDispose]()));
  if (!view) throw new TcpxError(Exit.FAILED, "the download's connection was not found");
  return { segments: view.dataSent, acks: view.acksReceived };
}
