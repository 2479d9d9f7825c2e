// SPDX-License-Identifier: MIT
// The metrics to be pulled: GET /metrics, and nothing else.

import ipaddr from "ipaddr.js";
import { Exit, TcpxError, usageError } from "../errors.ts";
import { CONTENT_TYPE } from "./openmetrics.ts";

export interface Listen {
  address: string;
  port: number;
}

const LOOPBACK = "127.0.0.1";
const ACCEPTED = "accepted is PORT on 127.0.0.1, or ADDRESS:PORT, such as 9101, 10.0.0.1:9101 or [::1]:9101";

/** @throws TcpxError (usage): nothing is listened on by accident, so ":9101" is none */
export function parseListen(text: string): Listen {
  const refuse = (why: string) => usageError(`--listen '${text}' ${why}`, text, ACCEPTED);
  const [, bracketed, plain, digits] = /^(?:(?:\[([^\]]*)\]|([^:[\]]*)):)?(\d+)$/.exec(text) ?? [];
  if (digits === undefined) throw refuse("is not an address and a port");
  const address = bracketed ?? plain ?? LOOPBACK;
  const valid =
    bracketed === undefined
      ? ipaddr.IPv4.isValidFourPartDecimal(address)
      : ipaddr.IPv6.isValid(address) && address.includes(":") && !address.includes("%");
  if (!valid) {
    throw refuse(address === "" ? "has no address before the colon" : "does not begin with an address");
  }
  const port = digits.length > 5 ? 0 : Number(digits);
  if (port < 1 || port > 65535) throw refuse("has no port from 1 to 65535");
  return { address, port };
}

export function formatListen({ address, port }: Listen): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

const PLAIN = { "content-type": "text/plain; charset=utf-8" };

/** The answer to one request. */
export async function respond(request: Request, text: () => Promise<string>): Promise<Response> {
  if (new URL(request.url).pathname !== "/metrics") {
    return new Response("tcpx has /metrics only\n", { status: 404, headers: PLAIN });
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    return new Response("GET only\n", { status: 405, headers: { ...PLAIN, allow: "GET, HEAD" } });
  }
  try {
    return new Response(await text(), { headers: { "content-type": CONTENT_TYPE } });
  } catch (error) {
    return new Response(`${(error as Error).message}\n`, { status: 500, headers: PLAIN });
  }
}

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

/**
 * Serves until SIGTERM or SIGINT.
 * @param ready called when it listens
 * @throws TcpxError when it cannot listen there
 */
export async function serveMetrics(
  where: Listen,
  text: () => Promise<string>,
  ready: () => void,
): Promise<void> {
  const end = Promise.withResolvers<void>();
  let server: ReturnType<typeof Bun.serve>;
  try {
    server = Bun.serve({
      hostname: where.address,
      port: where.port,
      idleTimeout: 10,
      maxRequestBodySize: 4096,
      fetch: (request) => respond(request, text),
    });
  } catch (error) {
    throw listenError(where, error);
  }
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => end.resolve());
  ready();
  await end.promise;
  await server.stop(true);
}
