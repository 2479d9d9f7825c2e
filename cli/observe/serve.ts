// SPDX-License-Identifier: MIT
// GET /metrics over HTTP, and nothing else. Whoever reaches the port may send anything: a connection has one
// request and a few seconds, connections are few, and no answer repeats a request or tells of this program.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Exit, TcpxError } from "../base/errors.ts";
import { formatListen, type Listen } from "./listen.ts";
import { CONTENT_TYPE } from "./openmetrics.ts";

/** All that a connection has, from its first byte to the last one of the answer. */
const LIFE_MS = 10_000;
/** Further ones are closed at once. */
const MOST_CONNECTIONS = 64;
/** Bytes of a request line and its headers. */
const MOST_HEADER = 8192;

/** What of a request counts. */
export interface Asked {
  method: string;
  /** As it stands in the request line. */
  target: string;
  /** Every Host header. */
  hosts: string[];
}

export interface Answer {
  status: number;
  headers: Record<string, string>;
  text: string;
}

const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::\d*)?$/;
/** A path, and a query, in which programs put more than RFC 3986 allows. */
const ORIGIN = /^(\/(?:[\w.~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)(?:\?[!-"$-~]*)?$/;
const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/i;

const isHost = (text: string) => HOST.test(text) && URL.canParse(`http://${text}/`);

/** The path of a target; undefined for what is none (RFC 9112, 3.2). */
function pathOf(target: string): string | undefined {
  const [, host, rest] = ABSOLUTE.exec(target) ?? [];
  if (host === undefined || rest === undefined) return ORIGIN.exec(target)?.[1];
  return isHost(host) ? ORIGIN.exec(rest.startsWith("/") ? rest : `/${rest}`)?.[1] : undefined;
}

const plain = (status: number, text: string, headers = {}): Answer => ({
  status,
  headers: { "content-type": "text/plain; charset=utf-8", ...headers },
  text: `${text}\n`,
});

/**
 * The answer to one request.
 * @param failed is told why there are no metrics
 */
export async function answerTo(
  { method, target, hosts }: Asked,
  metrics: () => Promise<string>,
  failed: (error: Error) => void,
): Promise<Answer> {
  const path = pathOf(target);
  const [host, second] = hosts;
  if (path === undefined || host === undefined || second !== undefined || !isHost(host)) {
    return plain(400, "bad request");
  }
  if (path !== "/metrics") return plain(404, "tcpx has /metrics only");
  if (method !== "GET" && method !== "HEAD") return plain(405, "GET and HEAD only", { allow: "GET, HEAD" });
  try {
    return { status: 200, headers: { "content-type": CONTENT_TYPE }, text: await metrics() };
  } catch (error) {
    failed(error as Error);
    return plain(500, "tcpx cannot read its counters; its own messages say why");
  }
}

function askedOf({ method = "", url = "", rawHeaders }: IncomingMessage): Asked {
  const hosts = rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]!.toLowerCase() === "host");
  return { method, target: url, hosts };
}

/** What is no HTTP, too long, or asks for a tunnel. */
const BAD_REQUEST =
  "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 12\r\nConnection: close\r\n\r\nbad request\n";

const REASONS: Record<string, string> = {
  EADDRINUSE: "another program listens there",
  EADDRNOTAVAIL: "the address is not one of this host",
  EACCES: "not permitted",
};

function listenError(where: Listen, error: unknown): TcpxError {
  const { code = "", message } = error as NodeJS.ErrnoException;
  const exit = code === "EACCES" ? Exit.PERMISSION : Exit.FAILED;
  return new TcpxError(exit, `cannot listen on ${formatListen(where)}: ${REASONS[code] ?? message}`, {
    value: formatListen(where),
    cause: error,
  });
}

/** A server that answers with these metrics, and is not listening yet. */
async function metricsServer(metrics: () => Promise<string>, failed: (error: Error) => void) {
  const { createServer } = await import("node:http"); // Bun.serve drips with whoever drips, and has no limits
  const answered = new WeakSet<Duplex>();
  const respond = async (request: IncomingMessage, response: ServerResponse) => {
    answered.add(request.socket);
    const { status, headers, text } = await answerTo(askedOf(request), metrics, failed);
    const length = String(Buffer.byteLength(text));
    response.writeHead(status, { ...headers, "content-length": length, connection: "close" });
    response.end(request.method === "HEAD" ? undefined : text);
  };
  const refuse = (socket: Duplex) => {
    socket.on("error", () => {}); // it has gone
    if (answered.has(socket) || !socket.writable) socket.destroy();
    else socket.end(BAD_REQUEST);
    answered.add(socket);
  };
  // our own time is for all of a connection, so the server's look at its clock is not needed
  const limits = {
    maxHeaderSize: MOST_HEADER,
    requireHostHeader: false,
    headersTimeout: 0,
    requestTimeout: 0,
  };
  const server = createServer(limits, (request, response) => void respond(request, response));
  server.maxConnections = MOST_CONNECTIONS;
  server.on("connection", (socket: Socket) => {
    const timer = setTimeout(() => socket.resetAndDestroy(), LIFE_MS);
    socket.once("close", () => clearTimeout(timer));
  });
  server.on("clientError", (_, socket) => refuse(socket));
  server.on("connect", (_, socket) => refuse(socket));
  return server;
}

/**
 * Serves until SIGTERM or SIGINT.
 * @param ready called when it listens
 * @param failed is told why there are no metrics
 * @throws TcpxError when it cannot listen there
 */
export async function serveMetrics(
  where: Listen,
  metrics: () => Promise<string>,
  ready: () => void,
  failed: (error: Error) => void,
): Promise<void> {
  const server = await metricsServer(metrics, failed);
  try {
    const listening = Promise.withResolvers<void>();
    server.once("error", listening.reject);
    server.listen(where.port, where.address, listening.resolve);
    await listening.promise;
  } catch (error) {
    throw listenError(where, error);
  }
  server.on("error", failed);
  const end = Promise.withResolvers<void>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => end.resolve());
  ready();
  await end.promise;
  server.close();
  server.closeAllConnections();
}
