// SPDX-License-Identifier: MIT
// Names of pins: which are links of programs of other types, and which are none.
import { expect, test } from "bun:test";
import { SOCK_TYPES, type SockType, sockName } from "../../cli/bridge/sock-types.ts";
import { sockPin, sockPinOf } from "../../cli/loader/pins.ts";

test.each(Object.keys(SOCK_TYPES) as SockType[])(
  "%s: a name that says whose it is, and of which type",
  (type) => {
    for (const ext of ["iw", "cc-request", "bind4", "a1-connect4"])
      expect(sockPinOf(sockPin(ext, type))).toEqual({ ext, type });
    expect(sockName(type).length).toBeLessThanOrEqual(15); // the kernel's limit
  },
);

test.each([
  "link",
  "reset",
  "counters",
  "gen-1234",
  "rules",
  "config",
  "before_iw-bind4",
  "-bind4",
  "iw-",
  "iw-toString",
  "iw-connect5",
  "IW-bind4",
  "x bind4",
])("%s is none", (name) => {
  expect(sockPinOf(name)).toBeUndefined();
});
