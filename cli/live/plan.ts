// SPDX-License-Identifier: MIT
// What is to be done with which socket. Pure: sockets and rules in, orders out.

import type { Extension } from "../extensions/types.ts";
import { Direction, LiveVerb } from "../layout/layout.generated.ts";
import { encodeSlot } from "../loader/records.ts";
import { type Kind, type Rule, ruleKey } from "../policy/rule.ts";
import type { Order, Target } from "./iterators.ts";
import type { Matcher, Seen } from "./match.ts";
import type { Socket } from "./sockets.ts";

/** enum tcp_state: those that still send. */
const ESTABLISHED = 1;
const CLOSE_WAIT = 8;
const LISTEN = 10;

export interface Plan {
  orders: Order[];
  /** By socket cookie. */
  targets: Map<bigint, Target>;
}

const isConnection = ({ state }: Pick<Socket, "state">) => state === ESTABLISHED || state === CLOSE_WAIT;

const portKey = ({ netns_cookie, local_port }: Socket) => `${netns_cookie} ${local_port}`;

/** Ports on which somebody listens, by namespace. */
function listeningPorts(sockets: Socket[]): Set<string> {
  return new Set(sockets.filter(({ state }) => state === LISTEN).map(portKey));
}

/**
 * Who opened it: what tcpx has seen itself, else whether somebody listens on its local port, which the
 * kernel does not keep for an accepted connection.
 */
export function seenOf(socket: Socket, listening: Set<string>): Seen {
  const accepted =
    socket.direction === Direction.BOTH
      ? listening.has(portKey(socket))
      : socket.direction === Direction.FROM;
  return {
    direction: accepted ? "from" : "to",
    family: socket.family as 4 | 6,
    remote: socket.remote,
    port: accepted ? socket.local_port : socket.remote_port,
    netnsCookie: socket.netns_cookie,
  };
}

/** The rules around a socket: of its innermost scope that has one, as for new connections. */
export interface Rules {
  /** The scope of the command. */
  scope: bigint;
  /** Every scope with rules, that one included, by cgroup id. */
  scopes: Map<bigint, Matcher>;
}

function owner(socket: Socket, seen: Seen, rules: Rules, ext: string, kind: Kind) {
  for (const id of socket.scopes) {
    const rule = rules.scopes.get(id)?.rule(seen, ext, kind);
    if (rule) return { id, rule };
  }
  return undefined;
}

/** An extension. */
type Named = Pick<Extension, "id" | "name">;

/** Looks up which of the command's rules a connection has. */
function finder(sockets: Socket[], rules: Rules, { name }: Named, wanted: Rule[]) {
  const keys = new Set(wanted.map(ruleKey));
  const listening = listeningPorts(sockets);
  return (socket: Socket, kind: Rule["kind"]): Rule | undefined => {
    const found = owner(socket, seenOf(socket, listening), rules, name, kind);
    return found?.id === rules.scope && keys.has(ruleKey(found.rule)) ? found.rule : undefined;
  };
}

/** One order for all sockets with the same rules. */
class Planner {
  readonly plan: Plan = { orders: [], targets: new Map() };
  private readonly numbers = new Map<string, number>();

  add(socket: Socket, key: string, order: () => Order): void {
    const { orders, targets } = this.plan;
    const number = this.numbers.get(key) ?? orders.push(order()) - 1;
    this.numbers.set(key, number);
    targets.set(socket.cookie, { order: number });
  }
}

/** Connections whose local rule is one of the command's. */
export function planSet(sockets: Socket[], rules: Rules, extension: Named, wanted: Rule[]): Plan {
  const planner = new Planner();
  const find = finder(sockets, rules, extension, wanted);
  const { scope } = rules;
  const { id: ext } = extension;
  for (const socket of sockets.filter(isConnection)) {
    const local = find(socket, "local");
    if (!local || local.none) continue;
    const ask = find(socket, "ask");
    planner.add(socket, `${ruleKey(local)} ${ask ? ruleKey(ask) : ""}`, () => {
      return { scope, verb: LiveVerb.SET, ext, local: encodeSlot(scope, local), ask: encodeSlot(scope, ask) };
    });
  }
  return planner.plan;
}

/**
 * Connections whose request is one of the command's.
 * @param silent those, too, that ask nothing so far
 */
export function planAsk(
  sockets: Socket[],
  rules: Rules,
  extension: Named,
  wanted: Rule[],
  silent: boolean,
): Plan {
  const planner = new Planner();
  const find = finder(sockets, rules, extension, wanted);
  const { scope } = rules;
  const { id: ext } = extension;
  for (const socket of sockets.filter(isConnection)) {
    const ask = silent || socket.ask_rules[ext] !== 0 ? find(socket, "ask") : undefined;
    if (!ask || ask.none) continue;
    planner.add(socket, ruleKey(ask), () => {
      return { scope, verb: LiveVerb.ASK, ext, ask: encodeSlot(scope, ask) };
    });
  }
  return planner.plan;
}

/** Connections that have a local rule with one of these ids. */
export function planUndo(sockets: Socket[], scope: bigint, ext: number, ids: Set<number>): Plan {
  const plan: Plan = { orders: [{ scope, verb: LiveVerb.UNDO, ext }], targets: new Map() };
  for (const socket of sockets) {
    const id = socket.local_rules[ext]!;
    if (isConnection(socket) && id !== 0 && ids.has(id)) plan.targets.set(socket.cookie, { order: 0 });
  }
  return plan;
}
