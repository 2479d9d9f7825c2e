// SPDX-License-Identifier: MIT
// What `tcpx ack` takes behind its flags.

import { durationMs, hintedDuration, type Range, rangeText } from "../base/duration.ts";
import { usageError } from "../base/errors.ts";

/** The kernel's TCP_DELACK_MAX: it never delays an ACK longer. */
export const MOST_DELAY_MS = 200;
export const MOST_EVERY = 255;
const MOST_DIVISOR = 255;

export const DELAY: Range = { least: 1, most: MOST_DELAY_MS, unit: "ms" };
export const EVERY: Range = { least: 1, most: MOST_EVERY };
/** Of ACKs per RTT. */
export const FLOOR: Range = { least: 0, most: 255 };
/** Of SO_MARK. */
export const BIT: Range = { least: 0, most: 31 };

const FRACTION = `rtt/1 to rtt/${MOST_DIVISOR}`;
const DURATION = rangeText(DELAY);

/**
 * @param when under which condition this range holds, for the error
 * @throws TcpxError (usage) unless the text is an integer within the range
 */
export function parseCount(text: string, what: string, range: Range, when = ""): number {
  const n = /^\d{1,9}$/.test(text) ? Number(text) : -1;
  if (n >= range.least && n <= range.most) return n;
  const why = /^-?\d+$/.test(text) ? "is out of range" : "is not a number";
  throw usageError(`${what} '${text}' ${why}`, text, `accepted is ${rangeText(range)}${when}`);
}

/** K of "rtt/K"; undefined when the text is no such thing. */
function parseFraction(text: string, what: string, accepted: string): number | undefined {
  if (!text.startsWith("rtt")) return undefined;
  const match = /^rtt\/(\d{1,9})$/.exec(text);
  const divisor = Number(match?.[1] ?? 0);
  if (divisor >= 1 && divisor <= MOST_DIVISOR) return divisor;
  const why = /^rtt\/-?\d+$/.test(text) ? "is out of range" : "is not a fraction of the RTT";
  throw usageError(`${what} '${text}' ${why}`, text, `accepted is ${accepted}`);
}

/**
 * Milliseconds of a delay that the kernel can be told.
 * @param also what else is accepted, for the error: ", or rtt/1 to rtt/255"
 * @throws TcpxError (usage)
 */
export function parseDelayMs(text: string, what: string, also = ""): number {
  const ms = durationMs(text);
  if (ms === undefined) {
    const hint = hintedDuration(text, 1, MOST_DELAY_MS, `accepted is ${DURATION}, such as 20ms${also}`, 1);
    throw usageError(`${what} '${text}' is not a delay`, text, hint);
  }
  if (ms >= 1 && ms <= MOST_DELAY_MS) return ms;
  const why = ms > 0 ? "; the kernel never delays an ACK longer than 200 ms" : "";
  throw usageError(`${what} '${text}' is out of range`, text, `accepted is ${DURATION}${also}${why}`);
}

export interface Delay {
  divisor: number;
  delayUs: number;
}

/** "20ms" or "rtt/4". @throws TcpxError (usage) */
export function parseDelay(text: string, what: string): Delay {
  const also = `, or ${FRACTION}`;
  const divisor = parseFraction(text, what, `${FRACTION}, or ${DURATION}`);
  if (divisor !== undefined) return { divisor, delayUs: 0 };
  return { divisor: 0, delayUs: parseDelayMs(text, what, also) * 1000 };
}

/** K of "rtt/K", the only delay that can be asked of a peer. @throws TcpxError (usage) */
export function parseAskedDelay(text: string, what: string): number {
  const divisor = parseFraction(text, what, FRACTION);
  if (divisor !== undefined) return divisor;
  const why =
    durationMs(text) === undefined
      ? "is not a fraction of the RTT"
      : "cannot be asked for: the option carries a fraction of the RTT";
  throw usageError(`${what} '${text}' ${why}`, text, `accepted is ${FRACTION}`);
}

/** At once leaves nothing to delay. */
export function checkAtOnce(every: number | undefined, delay: unknown): void {
  if (every !== 1 || delay === undefined) return;
  throw usageError(
    "--every 1 and --delay exclude each other",
    "--delay",
    "--every 1 delays nothing: give one",
  );
}

/** A flag that says something only together with some values of --every. */
export function onlyWith(flag: string, given: number | undefined, fits: boolean, accepted: string): void {
  if (given === undefined || fits) return;
  throw usageError(`--${flag} is only for --every ${accepted}`, `--${flag}`, "leave it out");
}
