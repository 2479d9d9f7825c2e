// SPDX-License-Identifier: MIT
// The kernel's records of sockets (struct tcpx_listed), read in place: there may be 100,000 of them.

import { Keepalive, ListFlag, structs } from "../layout/layout.generated.ts";
import { LITTLE } from "../layout/struct.ts";
import { DEFAULT_SITE, type Site } from "../wire/site.ts";

export const RECORD = structs.tcpx_listed.size;
const AT = structs.tcpx_listed.fields;
const UTO = structs.tcpx_uto_conn.fields;
const RULE = structs.tcpx_rule.fields;
const ACK = structs.tcpx_ack_conn.fields;
const REQUEST = structs.tcpx_request_conn.fields;

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

/** struct tcpx_request_conn, as far as it is listed. */
export interface Request {
  state: number;
  asked: number;
  answer: number;
}

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
  written = (at: number) => this.u8(at + AT.written.offset);
  established = (at: number) => this.u8(at + AT.established.offset) !== 0;

  /** Keep-alive as it is now, whatever it was when the timeout was set; undefined: it is off. */
  keepalive(at: number): { idleMs: number; intervalMs: number; probes: number } | undefined {
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
    const keepalive = this.keepaliveOn(at)
      ? [this.timeoutMs(at), ...Object.values(this.keepalive(at)!)].join(",")
      : "";
    return String.fromCharCode(this.direction(at), this.flags(at)) + bytes.toString("latin1") + keepalive;
  }

  congestion(at: number): string {
    const from = at + AT.congestion.offset;
    let name = "";
    for (let i = from; i < from + 16 && this.bytes[i] !== 0; i++) name += String.fromCharCode(this.bytes[i]!);
    return name;
  }

  uto(at: number): { remoteMs: number; appliedMs: number } {
    const from = at + AT.uto.offset;
    return {
      remoteMs: this.u32(from + UTO.remote_ms.offset),
      appliedMs: this.u32(from + UTO.applied_ms.offset),
    };
  }

  /** Was the timeout lowered to what keep-alive needs? */
  lowered = (at: number) => (this.u8(at + AT.keepalive.offset) & Keepalive.LOWERED) !== 0;

  /** The rule by which we advertise: enum tcpx_rule_flag and milliseconds. */
  utoAsk(at: number): { flags: number; ms: number } {
    const from = at + AT.uto_ask.offset;
    return { flags: this.u8(from + RULE.flags.offset), ms: this.u32(from + RULE.value.offset) };
  }

  /** The local rule that it has: enum tcpx_rule_flag, what has come of it, and its two numbers. */
  localRule(at: number, ext: number) {
    const from = at + AT.local_rules.offset + ext * structs.tcpx_rule.size;
    const value = from + RULE.value.offset;
    return {
      flags: this.u8(from + RULE.flags.offset),
      outcome: this.u8(from + RULE.outcome.offset),
      value: [this.u32(value), this.u32(value + 4)] as [number, number],
    };
  }

  /** In the order of struct tcpx_conn. */
  request(at: number, index: number): Request {
    const from = at + AT.requests.offset + index * structs.tcpx_request_conn.size;
    return {
      state: this.u8(from + REQUEST.state.offset),
      asked: this.u16(from + REQUEST.asked.offset),
      answer: this.u16(from + REQUEST.answer.offset),
    };
  }

  ack(at: number) {
    const from = at + AT.ack.offset;
    return {
      rule: this.u32(from + ACK.rule.offset),
      delayUs: this.u32(from + ACK.delay_us.offset),
      appliedUs: this.u32(from + ACK.applied_us.offset),
      every: this.u8(from + ACK.every.offset),
      divisor: this.u8(from + ACK.divisor.offset),
      marked: this.u8(from + ACK.marked.offset),
      tarr: this.u8(from + ACK.tarr.offset),
      tarrAsked: this.u8(from + ACK.tarr_asked.offset),
      tarrSegments: this.u8(from + ACK.tarr_segments.offset),
    };
  }
}
