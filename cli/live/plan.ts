// SPDX-License-Identifier: MIT
// What is to be done with which socket. Pure: sockets and rules in, orders out.

import { Direction, LiveVerb } from "../loader/layout.generated.ts";
import { encodeSlot } from "../loader/records.ts";
import { KINDS, type Rule, ruleId, ruleKey } from "../policy/rule.ts";
import type { Matcher, Seen } from "./match.ts";
import type { Order, Target } from "./object.ts";
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

export const isConnection = ({ state }: Pick<Socket, "state">) =>
  state === ESTABLISHED || state === CLOSE_WAIT;

const portKey = ({ netns_cookie, local_port }: Socket) => `${netns_cookie} ${local_port}`;

/** Ports on which somebody listens, by namespace. */
export function listeningPorts(sockets: Socket[]): Set<string> {
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

function owner(socket: Socket, seen: Seen, rules: Rules, slot: number) {
  for (const id of socket.scopes) {
    const rule = rules.scopes.get(id)?.rule(seen, slot);
    if (rule) return { id, rule };
  }
  return undefined;
}

const target = (order: number, direction: Seen["direction"]): Target => ({
  order,
  direction: direction === "from" ? Direction.FROM : Direction.TO,
});

/**
 * Connections whose local rule is one of the command's.
 * @param ext id of the extension
 */
export function planSet(sockets: Socket[], rules: Rules, ext: number, wanted: Rule[]): Plan {
  const plan: Plan = { orders: [], targets: new Map() };
  const keys = new Set(wanted.map(ruleKey));
  const numbers = new Map<string, number>();
  const listening = listeningPorts(sockets);
  const slot = (kind: Rule["kind"]) => ext * KINDS.length + KINDS.indexOf(kind);
  const ours = (found: ReturnType<typeof owner>) =>
    found?.id === rules.scope && keys.has(ruleKey(found.rule)) ? found.rule : undefined;
  for (const socket of sockets) {
    if (!isConnection(socket)) continue;
    const seen = seenOf(socket, listening);
    const local = ours(owner(socket, seen, rules, slot("local")));
    if (!local || local.none) continue;
    const ask = ours(owner(socket, seen, rules, slot("ask")));
    const key = `${ruleKey(local)} ${ask ? ruleKey(ask) : ""}`;
    let number = numbers.get(key);
    if (number === undefined) {
      number = plan.orders.length;
      numbers.set(key, number);
      const { scope } = rules;
      const [a, b] = [encodeSlot(scope, local), encodeSlot(scope, ask)];
      plan.orders.push({ scope, verb: LiveVerb.SET, ext, local: a, ask: b });
    }
    plan.targets.set(socket.cookie, target(number, seen.direction));
  }
  return plan;
}

/** Connections that ask by one of these rules, which has changed. */
export function planAsk(sockets: Socket[], scope: bigint, ext: number, changed: Rule[]): Plan {
  const numbers = new Map(changed.map((rule, i) => [ruleId(scope, rule), i]));
  const orders = changed.map((rule) => ({ scope, verb: LiveVerb.ASK, ext, ask: encodeSlot(scope, rule) }));
  const plan: Plan = { orders, targets: new Map() };
  for (const socket of sockets) {
    const number = isConnection(socket) ? numbers.get(socket.ask_rules[ext]!) : undefined;
    if (number !== undefined) plan.targets.set(socket.cookie, { order: number });
  }
  return plan;
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
