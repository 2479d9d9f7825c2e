// SPDX-License-Identifier: MIT

import {
  type Args,
  flagArg,
  globalArgs,
  netnsArgs,
  scopeArgs,
  scopeFlags,
  selectorArgs,
  textArg,
} from "../base/args.ts";
import { Exit, usageError } from "../base/errors.ts";
import { helpOf } from "../extensions/index.ts";
import { openHost } from "../flags/host-access.ts";
import { selectorsOf } from "../flags/selectors.ts";
import { listSockets } from "../observe/iterate.ts";
import { connectionDocument } from "../observe/json.ts";
import type { Listed } from "../observe/listed.ts";
import { connectionLines } from "../observe/oneline.ts";
import { connectionTable } from "../observe/rows.ts";
import { parseStates, pick } from "../observe/select.ts";
import { type Io, SCHEMA } from "../output/io.ts";
import { terminalWidth } from "../output/terminal.ts";
import { type Namespace, namespaces, ownNamespace } from "../system/netns.ts";
import { leaf } from "./types.ts";

const HELP = helpOf("connections");

const formArgs = {
  oneline: {
    type: "boolean",
    description: "A line per connection, for grep and awk; default where stdout is no terminal",
  },
  table: { type: "boolean", description: "The table, where stdout is no terminal, too" },
} as const;

/** A line each? @throws TcpxError (usage) */
function isOneline(args: Args): boolean {
  const [oneline, table] = [flagArg(args, "oneline"), flagArg(args, "table")];
  if (oneline && table) throw usageError("--oneline and --table exclude each other", "--table", "give one");
  return oneline || (!table && terminalWidth() === undefined);
}

/** The root scope is the caller's namespace; a named one is in all that its processes use. */
function wherever(isRoot: boolean, everywhere: boolean, cgroup: string, io: Io): Namespace[] {
  if (isRoot && !everywhere) return [ownNamespace()];
  const { found, hidden } = namespaces(everywhere ? undefined : cgroup);
  if (hidden > 0) {
    const what = `the network namespaces of ${hidden} processes may not be looked at from here`;
    io.messages.warn(`${what}: that needs CAP_SYS_PTRACE`);
  }
  return found;
}

/** What is missing from the list, for want of rights. */
function tellLacks({ refused, blind }: Listed["lacks"], io: Io): void {
  if (refused > 0) {
    io.messages.warn(`${refused} network namespaces could not be entered: that needs CAP_SYS_ADMIN`);
  }
  if (blind) {
    io.messages.warn("what was negotiated, and what rules have set, only root may read: it is left out");
  }
}

export const connections = leaf({
  summary: "TCP connections: their settings, and what they have negotiated.",
  args: {
    ...selectorArgs,
    state: {
      type: "string",
      valueHint: "STATE,...",
      description: "Connections in these states, such as established or fin-wait-1",
    },
    ...scopeArgs,
    ...netnsArgs,
    ...formArgs,
    ...globalArgs,
  },
  examples: [
    ["tcpx connections", "All connections of this network namespace"],
    ["tcpx connections --from 10.0.0.0/8 --port 443", "Those that our web server has accepted from there"],
    ["tcpx connections --unit nginx.service", "Those of one service, in all its namespaces"],
    ...HELP.examples,
    [
      "tcpx connections --json | jq '.connections[] | select(.fallback)'",
      "Those that went without options after a loss, or because of their path",
    ],
  ],
  notes: [
    "NEGOTIATED: asked, granted, refused, unanswered = what we wanted of the peer; gave, denied = what the peer " +
      "wanted of us; set = by our own rule, not set = it failed, kept = the application's own choice or what the " +
      "peer was granted stays; no room = it fitted on no segment; withheld = TCP-AO signs the options; not asked = the " +
      "path does not take our options, so the connection goes without; fallback = a segment was lost, and it " +
      [
        "went on without options, or the path (path) is the reason.",
        ...HELP.notes,
        "DELACK is the longest",
      ].join(" ") +
      " delay of an ACK.",
    "A line: state, local end, > (we opened it) or < (we accepted it), the peer, then netns, timeout, congestion, cwnd, " +
      "rtt and delack, each with its value (- is none); what was negotiated follows, with a comma before each.",
    "A connection that was there before its rule counts as accepted when a socket listens on its local port. " +
      "Sockets belong to the cgroup they were made in. Handshakes under way at a listener, and TIME-WAIT, are " +
      "not listed: see ss.",
  ],
  async run(args, io) {
    const oneline = isOneline(args);
    const { selectors } = selectorsOf(args, io);
    const states = parseStates(textArg(args, "state"));
    const host = await openHost(scopeFlags(args), "list");
    const scope = host.scope();
    for (const notice of scope.notices) io.messages.warn(notice);
    const isRoot = scope.name === "/";
    const where = wherever(isRoot, flagArg(args, "all-netns"), scope.path, io);
    const list = await listSockets(host.lib, isRoot ? 0n : scope.id, where);
    const picked = pick(list, selectors, states);
    const { refused, blind } = list.lacks;
    tellLacks(list.lacks, io);
    const head = {
      ...{ schema: SCHEMA, cgroup: scope.name, namespaces: where.length - refused },
      ...{ namespaces_refused: refused, rules_readable: !blind, count: picked.length },
    };
    if (io.flags.json) await io.parts(connectionDocument(list, picked, head));
    else if (oneline && picked.length > 0) await io.parts(connectionLines(list, picked));
    else if (oneline) io.messages.info("no connections");
    else if (picked.length > 0) await io.parts(connectionTable(list, picked, where.length > 1));
    else io.print("no connections");
    return Exit.DONE;
  },
});
