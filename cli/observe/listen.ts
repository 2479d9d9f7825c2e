// SPDX-License-Identifier: MIT
// Where the metrics are to be pulled from.

import ipaddr from "ipaddr.js";
import { usageError } from "../base/errors.ts";

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
