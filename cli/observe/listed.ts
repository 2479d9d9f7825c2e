// SPDX-License-Identifier: MIT
// The kernel's records of sockets (struct tcpx_listed), read in place: there may be 100,000 of them.

import type { Around, Raw, RawExchange, RawRule } from "../extensions/seen.ts";
import { ListFlag, structs } from "../layout/layout.generated.ts";
import { decode, LITTLE } from "../layout/struct.ts";
import { DEFAULT_SITE, type Site } from "../wire/site.ts";

export const RECORD = structs.tcpx_listed.size;
const AT = structs.tcpx_listed.fields;

interface Place {
  /** Those of its exchanges in `requests`. */
  requests?: [ours: number, peers: number];
  ask?: number;
  own?(bytes: Uint8Array, at: number): Record<string, number>;
}

/** This record has members of single extensions: where they stand, nobody else knows. */
const PLACES: Readonly<Record<string, Place>> = {
  uto: {
    ask: AT.uto_ask.offset,
    own: (bytes, at) => ({
      ...decode("tcpx_uto_conn", bytes, at + AT.uto.offset),
      keepalive: bytes[at + AT.keepalive.offset]!,
    }),
  },
  "cc-request": { requests: [0, 0] },
  iw: { requests: [1, 1] },
  ack: { requests: [2, 3], own: (bytes, at) => decode("tcpx_ack_conn", bytes, at + AT.ack.offset) },
};

const NO_RULE: RawRule = { flags: 0, outcome: 0, value: [0, 0] };
/** What is there of an extension that is not. */
const NOTHING: Raw = { local: NO_RULE, ask: NO_RULE, written: false, own: {} };

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

  /**
   * @param tickUs the kernel's tick
   * @param site whose names numbers have
   * @param lacks what could not be looked at: so many namespaces, and what tcpx knows of connections
   */
  constructor(
    readonly bytes: Uint8Array,
    private readonly tickUs: number,
    readonly site: Site = DEFAULT_SITE,
    readonly lacks = { refused: 0, blind: false },
  ) {
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

  /** What tells one negotiation from another, as a key; few differ. */
  negotiationKey(at: number): string {
    const from = at + AT.silent.offset;
    const bytes = Buffer.from(this.bytes.buffer, this.bytes.byteOffset + from, RECORD - AT.silent.offset);
    const keepalive = this.keepaliveOn(at) ? Object.values(this.keepalive(at)!).join(",") : "";
    const ms = this.timeoutMs(at); // byte by byte: as text the number would cost a third more
    const [a, b, c, d] = [ms & 255, (ms >> 8) & 255, (ms >> 16) & 255, (ms >> 24) & 255];
    const head = String.fromCharCode(this.direction(at), this.flags(at), a, b, c, d);
    return head + bytes.toString("latin1") + keepalive;
  }

  congestion(at: number): string {
    const from = at + AT.congestion.offset;
    let name = "";
    for (let i = from; i < from + 16 && this.bytes[i] !== 0; i++) name += String.fromCharCode(this.bytes[i]!);
    return name;
  }

  private rule(at: number): RawRule {
    const { flags, outcome, value } = decode("tcpx_rule", this.bytes, at);
    const [a = 0, b = 0] = value;
    return { flags, outcome, value: [a, b] };
  }

  private exchange(at: number, index: number): RawExchange {
    const from = at + AT.requests.offset + index * structs.tcpx_request_conn.size;
    return decode("tcpx_request_conn", this.bytes, from);
  }

  /** What there is of an extension. */
  raw(at: number, { name, id }: { name: string; id: number }): Raw {
    const place = PLACES[name];
    if (!place || !(this.flags(at) & ListFlag.KNOWN)) return NOTHING;
    const { requests, ask, own } = place;
    return {
      local: this.rule(at + AT.local_rules.offset + id * structs.tcpx_rule.size),
      ask: ask === undefined ? NO_RULE : this.rule(at + ask),
      ...(requests && { ours: this.exchange(at, requests[0]), peers: this.exchange(at, requests[1]) }),
      written: (this.u8(at + AT.written.offset) & (1 << id)) !== 0,
      own: own?.(this.bytes, at) ?? {},
    };
  }

  /** The connection as extensions look at it. */
  around(at: number): Around {
    return { site: this.site, timeoutMs: this.timeoutMs(at), keepalive: this.keepalive(at) };
  }
}
