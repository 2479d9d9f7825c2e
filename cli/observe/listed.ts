// SPDX-License-Identifier: MIT
// The kernel's records of sockets (struct tcpx_listed), read in place: there may be 100,000 of them.

import type { Around, Raw, RawExchange, RawRule } from "../extensions/seen.ts";
import { FIRST_SLOT } from "../extensions/slots.ts";
import type { Extension } from "../extensions/types.ts";
import { Kind, ListFlag, Quickack, structs } from "../layout/layout.generated.ts";
import { decode, LITTLE, type Struct, type StructName } from "../layout/struct.ts";
import { DEFAULT_SITE, type Site } from "../wire/site.ts";
import { recordSize, slotRaw } from "./listed-slots.ts";

export const RECORD = structs.tcpx_listed.size;
const AT = structs.tcpx_listed.fields;
const PARTS = structs.tcpx_states.fields;

type Field = { offset: number; type: string };

/** What stands in the state of an extension (struct tcpx_NAME_conn of embedded-bpf/ext/NAME.h), and where. */
interface Place {
  at: number;
  struct: StructName;
  /** Words of the values of its rules: members whose names begin so. */
  local: string[];
  ask: string[];
}

function placeOf(name: string): Place | undefined {
  const key = name.replaceAll("-", "_");
  const field = (PARTS as Readonly<Record<string, Field>>)[key];
  if (!field) return undefined;
  const struct = field.type as StructName;
  const names = Object.keys(structs[struct].fields);
  const words = (of: string) => names.filter((member) => member === of || member.startsWith(`${of}_`));
  return { at: AT.states.offset + field.offset, struct, local: words("local"), ask: words("ask") };
}

const PLACES = new Map<string, Place | undefined>();
function place(name: string): Place | undefined {
  if (!PLACES.has(name)) PLACES.set(name, placeOf(name));
  return PLACES.get(name);
}

const NO_RULE: RawRule = { flags: 0, id: 0, outcome: 0, value: [0, 0] };
/** What is there of an extension that is not. */
const NOTHING: Raw = { local: NO_RULE, ask: NO_RULE, kinds: {}, written: false, own: {}, wide: {} };

type State = Readonly<Record<string, unknown>>;

const numbers = <T extends "number" | "bigint">(state: State, type: T) =>
  Object.fromEntries(Object.entries(state).filter(([, value]) => typeof value === type)) as Record<
    string,
    T extends "number" ? number : bigint
  >;

/** The rules of kinds of its own, by their names. */
function ownKinds({ kinds = [] }: Pick<Extension, "kinds">, rules: Struct<"tcpx_own_rules"> | undefined) {
  const has = (bits: number, i: number) => ((bits >>> (Kind.COUNT + i)) & 1) === 1;
  const held = kinds.filter((_, i) => rules && has(rules.taken, i));
  const what = (kind: string) => (has(rules!.active, kinds.indexOf(kind)) ? "active" : "exempt");
  return Object.fromEntries(held.map((kind) => [kind, what(kind)] as const));
}

/** As ss calls them, by the kernel's number; the others are no connections. */
export const STATES: Readonly<Record<number, string>> = {
  1: "established",
  2: "syn-sent",
  3: "syn-recv",
  4: "fin-wait-1",
  5: "fin-wait-2",
  7: "closed",
  8: "close-wait",
  9: "last-ack",
  11: "closing",
};
export const LISTEN = 10;

/** One buffer of records; `at` is where a record begins. */
export class Listed {
  private readonly view: DataView;
  /** Bytes from one record to the next. */
  readonly record: number;

  /**
   * @param tickUs the kernel's tick
   * @param site whose names numbers have
   * @param lacks what could not be looked at: so many namespaces, and what tcpx knows of connections
   * @param slots those of extensions that tcpx does not ship, of which something may stand behind each record
   */
  constructor(
    readonly bytes: Uint8Array,
    private readonly tickUs: number,
    readonly site: Site = DEFAULT_SITE,
    readonly lacks = { refused: 0, blind: false },
    readonly slots: readonly number[] = [],
  ) {
    this.record = recordSize(slots);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  u8 = (at: number) => this.view.getUint8(at);
  u16 = (at: number) => this.view.getUint16(at, LITTLE);
  u32 = (at: number) => this.view.getUint32(at, LITTLE);

  /** The most significant bits first, as addresses are compared. */
  word = (at: number) => this.view.getUint32(at, false);

  /** Where the 16 bytes of an address begin. */
  localAt = (at: number) => at + AT.local.offset;
  remoteAt = (at: number) => at + AT.remote.offset;
  localPort = (at: number) => this.u16(at + AT.local_port.offset);
  remotePort = (at: number) => this.u16(at + AT.remote_port.offset);
  netns = (at: number) => this.u32(at + AT.netns.offset);
  family = (at: number) => this.u8(at + AT.family.offset);
  state = (at: number) => this.u8(at + AT.state.offset);
  /** enum tcpx_direction as the kernel's side knows it. */
  direction = (at: number) => this.u8(at + AT.direction.offset);
  boundIf = (at: number) => this.u32(at + AT.bound_if.offset);
  uid = (at: number) => this.u32(at + AT.uid.offset);
  tos = (at: number) => this.u8(at + AT.tos.offset);
  setQuickack = (at: number, quickack: number) => this.view.setUint8(at + AT.quickack.offset, quickack);
  setDirection = (at: number, direction: number) => this.view.setUint8(at + AT.direction.offset, direction);
  flags = (at: number) => this.u8(at + AT.flags.offset);
  cgroup = (at: number) => this.view.getBigUint64(at + AT.cgroup.offset, LITTLE);
  scope = (at: number) => this.view.getBigUint64(at + AT.scope.offset, LITTLE);
  mark = (at: number) => this.u32(at + AT.mark.offset);
  timeoutMs = (at: number) => this.u32(at + AT.user_timeout_ms.offset);
  cwnd = (at: number) => this.u32(at + AT.cwnd.offset);
  rttUs = (at: number) => this.u32(at + AT.srtt_us.offset);
  keepaliveOn = (at: number) => (this.flags(at) & ListFlag.KEEPALIVE) !== 0;
  delackUs = (at: number) => this.u32(at + AT.delack_max.offset) * this.tickUs;
  silent = (at: number) => this.u8(at + AT.silent.offset);
  established = (at: number) => this.u8(at + AT.established.offset) !== 0;

  /** Keep-alive as it is now, whatever it was when the timeout was set; undefined: it is off. */
  keepalive(at: number): Around["keepalive"] {
    if (!this.keepaliveOn(at)) return undefined;
    const ms = (ticks: number) => (ticks * this.tickUs) / 1000;
    return {
      idleMs: ms(this.u32(at + AT.keepalive_idle.offset)),
      intervalMs: ms(this.u32(at + AT.keepalive_interval.offset)),
      probes: this.u32(at + AT.keepalive_probes.offset),
    };
  }

  private text(from: number, to: number): string {
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + from, to - from).toString("latin1");
  }

  private quickack(at: number): boolean | undefined {
    const is = this.u8(at + AT.quickack.offset);
    return is === Quickack.UNKNOWN ? undefined : is === Quickack.ON;
  }

  /** What tells one negotiation from another, as a key; few differ. All that extensions look at is in it. */
  negotiationKey(at: number): string {
    const keepalive = this.keepaliveOn(at) ? Object.values(this.keepalive(at)!).join(",") : "";
    const measured = this.rttUs(at) > 0 ? 1 : 0;
    return (
      String.fromCharCode(this.direction(at), this.flags(at), measured) +
      this.text(at + AT.mark.offset, at + AT.cwnd.offset) + // and the timeout
      this.text(at + AT.delack_max.offset, at + AT.keepalive_idle.offset) + // and the congestion control
      this.text(at + AT.written.offset, at + this.record) +
      keepalive
    );
  }

  congestion(at: number): string {
    const from = at + AT.congestion.offset;
    let name = "";
    for (let i = from; i < from + 16 && this.bytes[i] !== 0; i++) name += String.fromCharCode(this.bytes[i]!);
    return name;
  }

  /** What there is of an extension. */
  raw(at: number, extension: Pick<Extension, "name" | "id" | "kinds" | "words">): Raw {
    const { id } = extension;
    if (!(this.flags(at) & ListFlag.KNOWN)) return NOTHING;
    const written = this.u16(at + AT.written.offset);
    if (id >= FIRST_SLOT) return slotRaw(this.bytes, at, this.slots, written, extension) ?? NOTHING;
    const where = place(extension.name);
    if (!where) return NOTHING;
    const state: State = decode(where.struct, this.bytes, at + where.at);
    const rules = state.rules as Struct<"tcpx_rules">;
    const own = numbers(state, "number");
    const valueIn = ([first = "", second = "", ...more]: string[]): RawRule["value"] => [
      own[first] ?? 0,
      own[second] ?? 0,
      ...more.map((word) => own[word]!),
    ];
    const rule = (kind: number) => ({ flags: rules.flags[kind]!, id: rules.ids[kind]! });
    const [ours, peers] = [state.ours ?? state.exchange, state.peers ?? state.exchange] as RawExchange[];
    return {
      local: { ...rule(Kind.LOCAL), outcome: rules.outcome, value: valueIn(where.local) },
      ask: { ...rule(Kind.ASK), outcome: 0, value: valueIn(where.ask) },
      kinds: ownKinds(extension, state.own_rules as Struct<"tcpx_own_rules"> | undefined),
      ...(ours && peers && { ours, peers }),
      written: (written & (1 << id)) !== 0,
      own,
      wide: numbers(state, "bigint"),
    };
  }

  /** The connection as extensions look at it. */
  around(at: number): Around {
    const { site, tickUs } = this;
    return {
      ...{ site, tickUs, timeoutMs: this.timeoutMs(at), keepalive: this.keepalive(at) },
      ...{ congestion: this.congestion(at), mark: this.mark(at), delackUs: this.delackUs(at) },
      isMeasured: this.rttUs(at) > 0,
      quickack: this.quickack(at),
    };
  }
}
