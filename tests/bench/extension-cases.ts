// SPDX-License-Identifier: MIT
// Rules of extensions whose cost is measured; the guest that measures it has nothing of cli/.

/** Where the guest has the packages. */
export const PACKAGES = "tcpx/packages";

const HERE = ["--to", "127.0.0.0/8"];
const ELSEWHERE = ["--to", "192.0.2.0/24"];
const BUILT_IN = ["uto", "set", "30s", "--no-advertise"];

interface Case {
  name: string;
  /** Packages that the host has when the rules are set. */
  has?: string;
  rules: string[][];
  /** The case that it is compared with. */
  base: string;
}

export const NONE = "no tcpx";
const IDLE = "uto, no match";
const LINKED = "prio, no match";
/**
 * `prio` sets SO_PRIORITY, which costs nothing by itself; `pace` a rate, whose timers are the kernel's. In the order in
 * which they are set up: nobody has an extension before it is named.
 */
export const EXTENSION_CASES: readonly Case[] = [
  { name: NONE, rules: [], base: NONE },
  { name: IDLE, rules: [[...BUILT_IN, ...ELSEWHERE]], base: NONE },
  { name: "uto matches", rules: [[...BUILT_IN, ...HERE]], base: IDLE },
  {
    name: `${IDLE}; the host has prio, no rule for it`,
    has: "prio",
    rules: [[...BUILT_IN, ...ELSEWHERE]],
    base: IDLE,
  },
  { name: LINKED, has: "prio", rules: [["prio", "set", "64k", ...ELSEWHERE]], base: IDLE },
  { name: "prio matches", has: "prio", rules: [["prio", "set", "64k", ...HERE]], base: LINKED },
  { name: "pace, no match", has: "pace", rules: [["pace", "set", "10G", ...ELSEWHERE]], base: IDLE },
  { name: "pace matches", has: "pace", rules: [["pace", "set", "10G", ...HERE]], base: "pace, no match" },
];
