// SPDX-License-Identifier: MIT
// The state of an extension in the kernel's record of a socket: read by the names of its members.
import { describe, expect, test } from "bun:test";
import { extensions } from "../../cli/extensions/index.ts";
import { Ext, Outcome, RequestState, RuleFlag } from "../../cli/layout/layout.generated.ts";
import { encode } from "../../cli/layout/struct.ts";
import { Listed } from "../../cli/observe/listed.ts";
import { type Fields, known, listed, rules, type States } from "../support/listed.ts";

const listOf = (fields: Fields) => new Listed(encode("tcpx_listed", listed(fields)), 4000);
const request = (state: number, asked: number, answer = 0) => ({ state, asked, answer });

describe("what a record has of an extension", () => {
  const { SET, FORCE } = RuleFlag;
  const ruled = (outcome: number) => rules({ ask: SET, local: SET | FORCE }, { outcome, id: 77 });
  const raw = (name: string, states: States, fields: Fields = {}) =>
    listOf(known(states, fields)).raw(0, extensions.find((extension) => extension.name === name)!);
  const rule = (flags: number, outcome: number) => ({ flags, id: 77, outcome });

  test("rules with the words of their values, exchanges, members of its own", () => {
    const [ours, peers] = [request(RequestState.GRANTED, 8, 4), request(RequestState.PENDING, 16)];
    const ack = { rules: ruled(Outcome.LATE), ask: 0x0408, local: 0x0202, local_us: 20_000 };
    const found = raw("ack", { ack: { ...ack, ours, peers, waits: 3 } }, { written: 1 << Ext.ACK });
    expect(found).toMatchObject({ ours, peers, written: true, own: { waits: 3, local_us: 20_000 } });
    expect(found.local).toEqual({ ...rule(SET | FORCE, Outcome.LATE), value: [0x0202, 20_000] });
    expect(found.ask).toEqual({ ...rule(SET, 0), value: [0x0408, 0] });
  });

  test("one exchange is either side's, or there is none", () => {
    const exchange = request(RequestState.ANSWERED, 40, 32);
    const found = raw("iw", { iw: { rules: ruled(0), exchange, local: 20 } }, { written: 1 << Ext.UTO });
    expect(found).toMatchObject({ ours: exchange, peers: exchange, written: false });
    expect(found.local.value).toEqual([20, 0]);
    const told = raw("uto", { uto: { rules: ruled(0), ask_ms: 30_000, ask_bits: 30, local_ms: 5 } });
    expect([told.ours, told.peers]).toEqual([undefined, undefined]);
    expect([told.ask.value, told.local.value]).toEqual([
      [30_000, 30],
      [5, 0],
    ]);
  });

  test("members of 64 bits stand by themselves", () => {
    const { own, wide } = raw("cc-request", { cc_request: { applied: 1, ours_sum: 1n << 63n } });
    expect([own.applied, own.ours_sum, wide]).toEqual([1, undefined, { ours_sum: 1n << 63n }]);
  });

  test("nothing of one that this record does not know", () => {
    const list = listOf(known({ iw: { rules: ruled(1), local: 20 } }, { written: 0xffff }));
    const { local, ask, written, own } = list.raw(0, { name: "hue", id: 4 });
    expect([local.flags, ask.flags, written, own]).toEqual([0, 0, false, {}]);
  });
});
