// SPDX-License-Identifier: MIT
// Options on the wire, whichever extension they are of, and the identifiers that a site may change.

import { describePlain } from "../wire/frame.ts";
import type { WireOption } from "../wire/request.ts";
import { DEFAULT_SITE, exidOf, type Identifier, type Site } from "../wire/site.ts";
import { extensions } from "./index.ts";

const allOptions = (): WireOption[] => extensions.flatMap(({ options = [] }) => options);

/** In the order of the registry. */
export const identifiers = (): Identifier[] => allOptions().flatMap(({ identifier }) => identifier ?? []);

/** Every identifier by name, as it travels at this site. */
export const exidsOf = (site: Site): Record<string, number> =>
  Object.fromEntries(identifiers().map((identifier) => [identifier.name, exidOf(identifier, site)]));

/** Identifiers that are others than at `base`. */
export const changedExids = (site: Site, base: Site = DEFAULT_SITE): Identifier[] =>
  identifiers().filter((identifier) => exidOf(identifier, site) !== exidOf(identifier, base));

/** Linux sends none of these by itself. */
export const ownKinds = (): Set<number> => new Set(allOptions().map(({ kind }) => kind));

export const hasOwnKind = (option: Uint8Array): boolean => ownKinds().has(option[0]!);

/** Which of ours these bytes are; undefined: none, or none at this site. */
export function ownOption(bytes: Uint8Array, site: Site): WireOption | undefined {
  const exid = bytes.length >= 4 ? (bytes[2]! << 8) | bytes[3]! : -1;
  return allOptions().find(
    ({ kind, identifier }) => kind === bytes[0] && (!identifier || exidOf(identifier, site) === exid),
  );
}

/** "user timeout 3s (1c040003)"; undefined when the option is none of ours, or says nothing that is defined. */
export function describeOwn(bytes: Uint8Array, site: Site = DEFAULT_SITE): string | undefined {
  const option = ownOption(bytes, site);
  const words = option?.words(bytes.subarray(option.identifier ? 4 : 2), site);
  return words && `${words} (${bytes.toHex()})`;
}

/** The same, and "mss 1460" for what is not ours. */
export const describeOption = (bytes: Uint8Array, site: Site = DEFAULT_SITE): string =>
  describeOwn(bytes, site) ?? describePlain(bytes);
