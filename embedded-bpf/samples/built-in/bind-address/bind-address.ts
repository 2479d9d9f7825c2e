// SPDX-License-Identifier: MIT
// `tcpx bind-address`: connections come from this address. A sample, to be copied: programs of other types.
// In cli/extensions/registry.ts: export { bindAddress } from "./bind-address.ts";

import { isIPv4 } from "node:net";
import { textArg } from "../base/args.ts";
import { usageError } from "../base/errors.ts";
import { Counter, Ext } from "../layout/layout.generated.ts";
import { exemption, orNone } from "./exemption.ts";
import type { Extension, RuleVerb } from "./types.ts";

/** As it lies in memory on the way to the wire. */
const word = (address: string) => new Uint32Array(Uint8Array.from(address.split("."), Number).buffer)[0]!;
const text = (value: number) => new Uint8Array(Uint32Array.of(value).buffer).join(".");

/** What no host can have as its own: 0.0.0.0/8, multicast and beyond. */
const isSource = (address: string) => {
  const first = Number(address.split(".")[0]);
  return isIPv4(address) && first > 0 && first < 224;
};

const set: RuleVerb = {
  summary: "Connect from this address",
  kinds: ["local"],
  args: { address: orNone("IPv4 address of this host") },
  examples: [["tcpx bind-address set 192.0.2.7 --to 198.51.100.0/24", "Connections to there come from it"]],
  directionNote: "Only connections that this side opens have a choice.",
  draft(args) {
    const address = textArg(args, "address") ?? "";
    if (address === "none") return { drafts: [exemption("local")], notices: [] };
    if (!isSource(address)) {
      const accepted = "accepted is an IPv4 address of this host, or none";
      throw usageError(`ADDRESS '${address}' is not one to come from`, address, accepted);
    }
    return { drafts: [{ kind: "local", none: false, force: false, value: [word(address), 0] }], notices: [] };
  },
};

const WITHOUT = "connections come from the address that the kernel chooses";

export const bindAddress: Extension = {
  name: "bind-address",
  id: Ext.BIND_ADDRESS,
  title: "Source address (bind(2))",
  summary: "Which address of this host connections come from",
  verbs: { set },
  examples: [
    ["tcpx bind-address set 192.0.2.7", "Connections over IPv4 come from it"],
    ["tcpx bind-address unset --all", "Take it back"],
  ],
  directions: { local: "to" },
  describe: ({ none, value: [address] }) => (none ? "none" : text(address)),
  json: ({ none, value: [address] }) => (none ? {} : { address: text(address) }),
  spell: ({ none, value: [address] }) => [{ verb: "set", args: { address: none ? "none" : text(address) } }],
  run: { valueHint: "ADDRESS", description: "Connect from this IPv4 address of the host" },
  trial: {
    rules: ["set 127.0.0.2"],
    shortfall: (_, count) => (count(Counter.APPLIED) ? undefined : "connect() was given no address"),
  },
  programs: {
    connect4: { without: WITHOUT },
    connect6: { without: WITHOUT },
    getsockopt: { without: "applications cannot ask for the address" },
  },
};
