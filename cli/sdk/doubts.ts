// SPDX-License-Identifier: MIT
// Why an option was not on the wire, or not as it is described: as far as a trial can tell. Pure.

import type { OptionSpec } from "../manifest/types.ts";
import { EXPERIMENT_KIND } from "../wire/request.ts";
import { ENDS } from "./network.ts";
import type { ConnectionSeen, Counted } from "./seen.ts";

/** What the extension has for it. */
export interface Means {
  /** Rules that ask: their connections say it without tcpx_speak(). */
  asks: boolean;
  /** Hooks that put something. */
  says: boolean;
  /** It calls tcpx_speak(). */
  speaks: boolean;
}

const isOwn = ({ kind = EXPERIMENT_KIND, exid }: OptionSpec, hex: string) => {
  const bytes = Uint8Array.fromHex(hex);
  return bytes[0] === kind && (exid === undefined || ((bytes[2]! << 8) | bytes[3]!) === exid);
};

const times = (n: number) => (n === 1 ? "once" : `${n} times`);

/** Lengths that are not those of the manifest. */
function misfits({ least, most }: OptionSpec, counted: Counted): string[] {
  const length = least === most ? `${most}` : `[${least}, ${most}]`;
  return ENDS.flatMap((end) => {
    const { tooLong, tooShort } = counted[end];
    return [
      ...(tooLong
        ? [
            `${end}: ${times(tooLong.times)} something was put that did not fit: it takes an option of ${tooLong.bytes} ` +
              `bytes with its head, and [option] has length = ${length}`,
          ]
        : []),
      ...(tooShort
        ? [
            `${end}: ${times(tooShort.times)} the option was too short for its peers: it had ${tooShort.bytes} bytes with ` +
              `its head, and [option] has length = ${length}`,
          ]
        : []),
    ];
  });
}

/** A line for each doubt. */
export function doubtsOf(
  option: OptionSpec | undefined,
  { asks, says, speaks }: Means,
  connections: readonly ConnectionSeen[],
  counted: Counted,
): string[] {
  if (!option) return [];
  const found = misfits(option, counted);
  const all = connections.flatMap(({ syn, syn_ack, later }) => [...syn, ...syn_ack, ...later]);
  if (all.some((hex) => isOwn(option, hex))) return found;
  if (!says) return [...found, "there is no hook say, and none say_syn_ack: nothing is put into [option]"];
  if (!speaks && !asks)
    return [
      ...found,
      "tcpx_speak() is never called: without ask rules [option] is said from tcpx_speak(1) on",
    ];
  if (found.length > 0) return found;
  return [
    `[option] was not said: ${asks ? "" : "tcpx_speak(1) was not reached, or "}the hook say has put nothing`,
  ];
}
