// SPDX-License-Identifier: MIT
// The kernel's records of sockets: what is read from them, chosen, and printed.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { formatMicros } from "../../cli/base/duration.ts";
import {
  Direction,
  Ext,
  Family,
  Keepalive,
  ListFlag,
  Outcome,
  Quickack,
  RequestState,
  RuleFlag,
  Silence,
  structs,
  TarrFlag,
} from "../../cli/layout/layout.generated.ts";
import { encode, encodeAll } from "../../cli/layout/struct.ts";
import { addressText, endpointText } from "../../cli/observe/address.ts";
import { connectionDocument } from "../../cli/observe/json.ts";
import { LISTEN, Listed, RECORD } from "../../cli/observe/listed.ts";
import { connectionLines } from "../../cli/observe/oneline.ts";
import { connectionTable, saidParts } from "../../cli/observe/rows.ts";
import { negotiated } from "../../cli/observe/said.ts";
import { parseStates, pick } from "../../cli/observe/select.ts";
import { parseSelectors } from "../../cli/policy/selector.ts";
import { type Fields, known, listed, rules, type States, sumOf } from "../support/listed.ts";

const bytesOf = (text: string) => {
  const parsed = ipaddr.parse(text);
  const bytes = parsed.toByteArray();
  return new Uint8Array(bytes.length === 4 ? [...new Array(10).fill(0), 255, 255, ...bytes] : bytes);
};

const ESTABLISHED = 1;
const LONG = "2001:db8:1111:2222:3333:4444:5555";

const usual: Fields = {
  local: bytesOf("10.0.0.1"),
  remote: bytesOf("10.0.0.2"),
  local_port: 40_000,
  remote_port: 443,
  netns: 7,
  family: Family.IPV4,
  state: ESTABLISHED,
  direction: Direction.TO,
  cwnd: 10,
  srtt_us: 12_345,
  delack_max: 50,
  congestion: "cubic",
};

const listOf = (...records: Fields[]) =>
  new Listed(
    encodeAll(
      "tcpx_listed",
      records.map((r) => listed({ ...usual, ...r })),
    ),
    4000,
  );
const all = parseSelectors({});
const request = (state: number, asked: number, answer = 0) => ({ state, asked, answer });
const ccRequest = (...args: Parameters<typeof request>): States => ({
  cc_request: { exchange: request(...args) },
});
const iw = (...args: Parameters<typeof request>): States => ({ iw: { exchange: request(...args) } });
/** A rule of ours that asks for this user timeout. */
const asksFor = (ask_ms: number, flags: number = RuleFlag.SET): States => ({
  uto: { rules: rules({ ask: flags }), ask_ms, ask_bits: ask_ms / 1000 },
});

const textOf = (states: States, fields: Fields = {}) =>
  saidParts(negotiated(listOf(known(states, fields)), 0)).join("; ");

describe("addresses", () => {
  test("are what the library makes of them", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), {
          minLength: 8,
          maxLength: 8,
        }),
        (groups) => {
          const bytes = new Uint8Array(groups.flatMap((g) => [g >> 8, g & 255]));
          expect(addressText(bytes, 0, 6)).toBe(new ipaddr.IPv6(groups).toRFC5952String());
        },
      ),
    );
  });

  test("with their ports", () => {
    expect(endpointText(bytesOf("10.1.2.3"), 0, 4, 80)).toBe("10.1.2.3:80");
    expect(endpointText(bytesOf("::"), 0, 6, 65_535)).toBe("[::]:65535");
    expect(endpointText(bytesOf("2001:db8::1"), 0, 6, 1)).toBe("[2001:db8::1]:1");
  });
});

describe("records", () => {
  test("every field is read from its place", () => {
    const fields = { ...usual, mark: 0x80002000, user_timeout_ms: 30_000 };
    const record = encode("tcpx_listed", listed(fields));
    const list = new Listed(record, 4000);
    expect([list.localPort(0), list.remotePort(0), list.netns(0), list.family(0)]).toEqual([
      40_000, 443, 7, 4,
    ]);
    expect([list.state(0), list.cwnd(0), list.rttUs(0), list.delackUs(0)]).toEqual([1, 10, 12_345, 200_000]);
    expect([list.mark(0), list.timeoutMs(0), list.congestion(0)]).toEqual([0x80002000, 30_000, "cubic"]);
  });

  test("a name of all 16 bytes", () => {
    expect(listOf({ congestion: "abcdefghijklmnop" }).congestion(0)).toBe("abcdefghijklmnop");
  });
});

describe("selection", () => {
  const places = (list: Listed, picked: number[]) => picked.map((at) => list.localPort(at));

  test("an unknown direction is told by the listeners of the same namespace", () => {
    const list = listOf(
      { state: LISTEN, local_port: 80, netns: 7 },
      { local_port: 80, direction: Direction.BOTH },
      { local_port: 80, direction: Direction.BOTH, netns: 8 },
      { local_port: 80, direction: Direction.TO },
    );
    const picked = pick(list, all, undefined);
    expect(picked.map((at) => [list.netns(at), list.direction(at)])).toEqual([
      [7, Direction.FROM],
      [7, Direction.TO],
      [8, Direction.TO],
    ]);
  });

  test("neither listeners, nor TIME-WAIT, nor requests", () => {
    expect(pick(listOf({ state: LISTEN }, { state: 6 }, { state: 12 }), all, undefined)).toEqual([]);
  });

  test("--to, --from and --port, the port of the side that listens", () => {
    const list = listOf(
      { local_port: 1, remote: bytesOf("10.0.0.2") },
      { local_port: 2, remote: bytesOf("10.0.1.2"), remote_port: 80 },
      { local_port: 3, remote: bytesOf("10.0.0.2"), direction: Direction.FROM, remote_port: 999 },
      { local_port: 4, remote: bytesOf("2001:db8::1"), family: Family.IPV6 },
    );
    const ports = (args: Parameters<typeof parseSelectors>[0]) =>
      places(list, pick(list, parseSelectors(args), undefined));
    expect(ports({ to: "10.0.0.0/24" })).toEqual([1]);
    expect(ports({ to: "10.0.0.0/16" })).toEqual([1, 2]);
    expect(ports({ to: "10.0.0.0/15,2001:db8::/127" })).toEqual([1, 2, 4]);
    expect(ports({ to: "0.0.0.0/0" })).toEqual([1, 2]);
    expect(ports({ to: "::/0" })).toEqual([4]);
    expect(ports({ from: "10.0.0.2" })).toEqual([3]);
    expect(ports({ port: "3,80" })).toEqual([2, 3]);
    expect(ports({ from: "10.0.0.0/8", port: "999" })).toEqual([]);
  });

  test("states by name", () => {
    const list = listOf({ local_port: 1 }, { local_port: 2, state: 8 }, { local_port: 3, state: 2 });
    expect(places(list, pick(list, all, parseStates("close-wait, SYN-SENT")))).toEqual([2, 3]);
    expect(() => parseStates("listen")).toThrow("'listen'");
    expect(() => parseStates("established,")).toThrow("which is none");
  });

  test("the order does not depend on the kernel's", () => {
    const record = fc.record({
      local_port: fc.integer({ min: 1, max: 65_535 }),
      remote_port: fc.integer({ min: 1, max: 3 }),
      netns: fc.integer({ min: 0xf0000000, max: 0xffffffff }),
      local: fc.constantFrom("10.0.0.1", "200.0.0.1", "::1", "fe80::1").map(bytesOf),
    });
    fc.assert(
      fc.property(fc.array(record, { maxLength: 20 }), fc.nat(), (records, turn) => {
        const moved = records.map((_, i) => records[(i + turn) % records.length]!);
        const keys = (list: Listed) =>
          pick(list, all, undefined).map((at) => list.bytes.subarray(at, at + 56).toHex());
        expect(keys(listOf(...moved))).toEqual(keys(listOf(...records)));
      }),
    );
  });
});

describe("negotiations", () => {
  test("nothing without a rule", () => {
    expect(saidParts(negotiated(listOf({}), 0))).toEqual([]);
    expect(textOf({})).toBe("");
  });

  test("requests of ours", () => {
    const cases: [number, number, string][] = [
      [RequestState.ASKED, 0, "cc-request asked cubic"],
      [RequestState.GRANTED, 3, "cc-request granted cubic"],
      [RequestState.REFUSED, 0xffff, "cc-request refused cubic"],
      [RequestState.UNANSWERED, 0, "cc-request unanswered cubic"],
      [RequestState.NO_ROOM, 0, "cc-request no room"],
    ];
    for (const [state, answer, text] of cases) {
      expect(textOf(ccRequest(state, 3, answer))).toBe(text);
    }
    const silent = Silence.WITHHELD;
    const unsaid = ccRequest(RequestState.NO_ROOM, 3);
    expect(textOf(unsaid, { silent })).toBe("cc-request withheld cubic");
    expect(textOf(unsaid, { silent, written: 1 << Ext.CC_REQUEST })).toBe("cc-request no room");
    expect(textOf(iw(RequestState.GRANTED, 40, 32))).toBe("iw granted 32 (asked 40)");
  });

  test("requests of the peer", () => {
    const { ANSWERED, PENDING } = RequestState;
    const two = { ...ccRequest(ANSWERED, 2, 0xffff), ...iw(ANSWERED, 40, 10) };
    expect(textOf(two)).toBe("cc-request denied bbr; iw gave 10 (asked 40)");
    expect(textOf(ccRequest(PENDING, 99))).toBe("cc-request pending number 99");
    expect(textOf(iw(ANSWERED, 40, 0))).toBe("iw denied 40");
  });

  test("user timeouts", () => {
    const ask = asksFor(30_000);
    const written = 1 << Ext.UTO;
    expect(textOf(ask, { written })).toBe("uto asked 30s");
    expect(textOf(ask)).toBe("uto no room");
    for (const direction of [Direction.TO, Direction.FROM]) {
      const silent = Silence.WITHHELD;
      expect(textOf(ask, { direction, silent })).toBe("uto withheld 30s");
      expect(textOf(ask, { direction, silent, written })).toBe("uto asked 30s");
      expect(textOf({}, { direction, silent })).toBe("");
    }
    expect(textOf(ask, { direction: Direction.FROM })).toBe("uto asked 30s");
    expect(textOf(ask, { established: 0 })).toBe("uto asked 30s");
    expect(textOf(asksFor(30_000, RuleFlag.SET | RuleFlag.NONE))).toBe("");
    const heard = (remote_ms: number, applied_ms: number) => textOf({ uto: { remote_ms, applied_ms } });
    expect(heard(10_000, 15_000)).toBe("uto gave 15s (asked 10s)");
    expect(heard(10_000, 0)).toBe("uto denied 10s");
    expect(heard(0, 15_000)).toBe("");
  });

  /** 2 s + 5 x 2 s */
  const keepalive: Fields = {
    flags: ListFlag.KNOWN | ListFlag.KEEPALIVE,
    ...{ keepalive_idle: 500, keepalive_interval: 500, keepalive_probes: 5 },
  };

  test("user timeouts beside keep-alive", () => {
    const beside = (ms: number, more: Fields = {}, uto: States["uto"] = {}) =>
      textOf({ uto: { applied_ms: ms, ...uto } }, { ...keepalive, user_timeout_ms: ms, ...more });
    expect(beside(4000)).toBe("uto 4s: the first lost keep-alive probe ends it");
    expect(beside(4000, { keepalive_probes: 1 })).toBe("");
    expect(beside(4001)).toBe("");
    expect(beside(12_000)).toBe("");
    expect(beside(12_000, {}, { keepalive: Keepalive.LOWERED })).toBe("uto 12s: keep-alive ends it then");
    expect(beside(12_001)).toBe("uto 12001ms: keep-alive would end it earlier");
    // the application's own, none, and keep-alive that is off
    expect(beside(12_001, {}, { applied_ms: 12_000 })).toBe("");
    expect(beside(0)).toBe("");
    expect(beside(12_001, { flags: ListFlag.KNOWN })).toBe("");
  });

  test("connections of one negotiation and other keep-alives are told apart", () => {
    const one = known({ uto: { applied_ms: 4000 } }, { ...keepalive, user_timeout_ms: 4000 });
    const list = listOf(one, { ...one, keepalive_idle: 100 }, { ...one, flags: ListFlag.KNOWN });
    const all = [0, 1, 2].map((i) => i * RECORD);
    const { connections } = JSON.parse([...connectionDocument(list, all, { schema: 1 })].join(""));
    expect(connections.map((c: Record<string, unknown>) => c.keepalive)).toEqual([
      { idle_ms: 2000, interval_ms: 2000, probes: 5, user_timeout: "short" },
      { idle_ms: 400, interval_ms: 2000, probes: 5, user_timeout: null },
      null,
    ]);
    const lines = [...connectionTable(list, all, false)].join("").match(/first lost/g);
    expect(lines).toHaveLength(1);
  });

  test("connections whose states differ at the very end are told apart", () => {
    const { waits } = structs.tcpx_ack_conn.fields;
    expect(
      structs.tcpx_listed.fields.states.offset + structs.tcpx_states.fields.ack.offset + waits.offset + 1,
    ).toBe(RECORD);
    const ack = { rules: rules({ local: RuleFlag.SET }), local: 1, rule: 1, every: 1 };
    const list = listOf(known({ ack }), known({ ack: { ...ack, waits: 1 } }));
    const lines = [...connectionLines(list, [0, RECORD])].join("").trim().split("\n");
    expect(lines.map((line) => line.split(", ").slice(1).join())).toEqual([
      "ack not set every 1: no routes for it",
      "ack not yet set every 1",
    ]);
  });

  const applied = rules({ local: RuleFlag.SET }, { outcome: Outcome.APPLIED });

  // all that outcomes are judged by has to be in the key
  test.each<[States, Fields, Fields, string]>([
    [
      { uto: { rules: applied, local_ms: 30_000 } },
      { user_timeout_ms: 30_000 },
      { user_timeout_ms: 29_999 },
      "uto kept (rule 30s)",
    ],
    [
      { cc_request: { rules: applied, local: 1, ours_sum: sumOf("reno") } },
      { congestion: "reno" },
      { congestion: "cubic" },
      "cc-request kept (rule reno)",
    ],
    [
      { ack: { rules: applied, local: 4 << 8, rule: 1, divisor: 4 } },
      {},
      { srtt_us: 0 },
      "ack not yet set rtt/4",
    ],
    [
      { ack: { rules: applied, local_us: 8000, rule: 1, delay_us: 8000, applied_us: 8000 } },
      { delack_max: 2 },
      { delack_max: 3 },
      "ack kept (rule 8ms)",
    ],
    [
      { ack: { rules: applied, local: 1 | (5 << 24), rule: 1, every: 1, marked: 6 } },
      { mark: 1 << 5, quickack: Quickack.ON },
      { mark: 0, quickack: Quickack.ON },
      "ack kept (rule every 1)",
    ],
    [
      { ack: { rules: applied, local: 1 | (5 << 24), rule: 1, every: 1, marked: 6 } },
      { mark: 1 << 5, quickack: Quickack.ON },
      { mark: 1 << 5, quickack: Quickack.OFF },
      "ack not set every 1: no routes for it",
    ],
  ])("connections of one state and other settings are told apart: %#", (states, fields, other, text) => {
    const one = known(states, fields);
    const list = listOf(one, { ...one, cwnd: 11 }, { ...one, ...other });
    const lines = [...connectionLines(list, [0, RECORD, 2 * RECORD])].join("").trim().split("\n");
    const [first, same, told] = lines.map((line) => line.split(", ").slice(1).join());
    expect(same).toBe(first!);
    expect(first).not.toBe(text);
    expect(told).toBe(text);
  });

  test("acknowledgments", () => {
    const ack = (fields: NonNullable<States["ack"]>) => textOf({ ack: fields });
    expect(ack({ rule: 1, every: 8, delay_us: 20_000 })).toBe("ack set every 8 20ms");
    const atOnce = { ack: { rule: 1, every: 1, local: 5 << 24, marked: 6 } };
    const mark = 1 << 5;
    expect(textOf(atOnce, { mark, quickack: Quickack.ON })).toBe("ack set at once");
    expect(textOf(atOnce, { mark, quickack: Quickack.UNKNOWN })).toBe("ack set every 1");
    const without = "ack set every 1; ack without effect: no routes for it";
    expect(textOf(atOnce, { mark, quickack: Quickack.OFF })).toBe(without);
    expect(ack({ rule: 1, divisor: 4 })).toBe("ack set rtt/4");
    const ours = request(RequestState.GRANTED, 0x0408, 0x0404);
    const peers = request(RequestState.ANSWERED, 0x0008, 0x0008);
    expect(ack({ ours, peers, rule: 1, every: 8 })).toBe(
      "ack granted every 4 rtt/4 (asked every 8 rtt/4); ack gave every 8",
    );
    const granted = { peers: request(RequestState.ANSWERED, 1, 1), rule: 1, bound: 1, every: 1 };
    const bound = { ack: { ...granted, accept: 5 << 24, marked: 6 } };
    expect(textOf(bound, { mark, quickack: Quickack.ON })).toBe("ack gave at once");
    expect(textOf(bound, { mark, quickack: Quickack.OFF })).toBe(
      "ack gave every 1; ack without effect: no routes for it",
    );
    expect(ack({ tarr: TarrFlag.ASKED, tarr_asked: 0 })).toBe("ack asked at once");
    expect(ack({ tarr: TarrFlag.TAKEN | TarrFlag.RULES, tarr_segments: 16, every: 8, rule: 1 })).toBe(
      "ack gave every 8 (asked every 16)",
    );
  });

  test("local rules, and what has come of them", () => {
    const set = (outcome: number, flags: number = RuleFlag.SET) => rules({ local: flags }, { outcome });
    const { APPLIED, APPLICATION, GRANTED, LOSS, LATE, KERNEL } = Outcome;
    const uto = { rules: set(APPLIED), local_ms: 30_000 };
    const cc_request = { rules: set(APPLIED), local: 1, ours_sum: sumOf("reno") };
    const settings: Fields = { user_timeout_ms: 30_000, congestion: "reno" };
    expect(textOf({ uto, cc_request, iw: { rules: set(APPLIED), local: 20 } }, settings)).toBe(
      "uto set 30s; cc-request set reno; iw set 20",
    );
    const heard = { remote_ms: 40_000, applied_ms: 40_000 };
    expect(textOf({ uto: { ...uto, ...heard } }, { user_timeout_ms: 40_000 })).toBe(
      "uto gave 40s; uto set 40s (rule 30s)",
    );
    const ends = { ...keepalive, user_timeout_ms: 12_000 };
    const lowered = { ...heard, applied_ms: 12_000, keepalive: Keepalive.LOWERED };
    expect(textOf({ uto: { ...uto, ...lowered } }, ends)).toBe(
      "uto gave 12s (asked 40s); uto set 12s (rule 30s): keep-alive ends it then",
    );
    expect(textOf({ uto: lowered }, ends)).toBe("uto gave 12s (asked 40s): keep-alive ends it then");
    const cases: [number, string][] = [
      [Outcome.NONE, "iw not yet set 20"],
      [APPLICATION, "iw kept (rule 20)"],
      [GRANTED, "iw kept (rule 20)"],
      [LOSS, "iw not set 20: a segment was lost"],
      [LATE, "iw not set 20: data was sent before"],
      [KERNEL, "iw not set 20: the kernel refused it"],
    ];
    for (const [outcome, text] of cases) {
      expect(textOf({ iw: { rules: set(outcome), local: 20 } })).toBe(text);
    }
    expect(textOf({ uto: { rules: set(APPLIED, RuleFlag.SET | RuleFlag.NONE) } })).toBe("uto exempt");
    const atOnce = { rules: set(Outcome.NONE), local: 1, rule: 1, every: 1 };
    expect(textOf({ ack: atOnce })).toBe("ack not set every 1: no routes for it");
  });

  test("states of a connection that no rule has matched are not read", () => {
    const states = { ...asksFor(30_000), ...iw(RequestState.GRANTED, 40, 32) };
    expect(saidParts(negotiated(listOf({ states, written: 15 }), 0))).toEqual([]);
  });

  test("silenced by a loss", () => {
    expect(textOf({}, { silent: Silence.SILENCED })).toBe("fallback");
  });

  test("plain from its first SYN on", () => {
    const asked = { ...asksFor(30_000), ...ccRequest(RequestState.ASKED, 3) };
    const silent = Silence.PLAIN;
    expect(textOf(asked, { silent })).toBe("uto not asked; cc-request not asked; fallback (path)");
    const list = listOf(known(asked, { silent }));
    const document = JSON.parse(
      [...connectionDocument(list, pick(list, all, undefined), { schema: 1 })].join(""),
    );
    expect(document.connections[0]).toMatchObject({
      ...{ fallback: true, fallback_reason: "path" },
      extensions: {
        uto: { ours: { status: "not-asked", asked: { timeout_ms: 30_000 }, granted: null } },
        "cc-request": { ours: { status: "not-asked", asked: { algorithm: "cubic" }, granted: null } },
        iw: { ours: { status: "none" } },
      },
    });
  });
});

describe("output", () => {
  const states: States = {
    uto: { ...asksFor(86_399_999).uto, ask_bits: 0, remote_ms: 1_966_020_000, applied_ms: 900_000 },
    ...ccRequest(RequestState.UNANSWERED, 16),
    ...iw(RequestState.GRANTED, 1024, 1000),
    ack: {
      ours: request(RequestState.GRANTED, 0xffff, 0xfffe),
      peers: request(RequestState.ANSWERED, 0xffff, 0xfffe),
    },
  };
  const everything = known(states, {
    local: bytesOf(`${LONG}:6666`),
    remote: bytesOf(`${LONG}:7777`),
    family: Family.IPV6,
    local_port: 65_535,
    remote_port: 65_534,
    user_timeout_ms: 900_000,
    congestion: "dctcp-reno",
    written: 15,
    silent: Silence.SILENCED,
  });

  const textTable = (list: Listed, netns = false) =>
    [...connectionTable(list, pick(list, all, undefined), netns)].join("");

  test("fits into 80 columns, also with the longest IPv6 addresses", () => {
    const lines = textTable(listOf(everything)).split("\n");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(lines.slice(3, 6)).toEqual([
      `established  [${LONG}:6666]:65535`,
      `             > [${LONG}:7777]:65534`,
      "    15min  dctcp-reno     10   12.3ms   200ms",
    ]);
  });

  test("looks like this", () => {
    const accepted = known(ccRequest(RequestState.ANSWERED, 3, 3), {
      direction: Direction.FROM,
      local_port: 443,
      remote_port: 50_000,
      user_timeout_ms: 30_000,
      netns: 8,
    });
    expect(textTable(listOf(accepted, { srtt_us: 0, delack_max: 0 }), true)).toBe(
      [
        "STATE        LOCAL > PEER (we opened it), LOCAL < PEER (we accepted it)",
        "  TIMEOUT  CONGESTION   CWND      RTT  DELACK",
        "    NEGOTIATED (where a rule matched)",
        "netns 7",
        "established  10.0.0.1:40000 > 10.0.0.2:443",
        "        -  cubic          10        -       -",
        "netns 8",
        "established  10.0.0.1:443 < 10.0.0.2:50000",
        "      30s  cubic          10   12.3ms   200ms",
        "    cc-request gave cubic",
        "",
      ].join("\n"),
    );
  });

  test("one line each: 16 words, then what was negotiated", () => {
    const plain: Fields = { srtt_us: 0, delack_max: 0, congestion: "" };
    const list = listOf(plain, { ...everything, netns: 8 });
    const lines = [...connectionLines(list, pick(list, all, undefined))].join("").split("\n");
    expect(lines.length).toBe(3);
    expect(lines[0]).toBe(
      "established 10.0.0.1:40000 > 10.0.0.2:443 netns 7 timeout - congestion - cwnd 10 rtt - delack -",
    );
    const [head = "", ...said] = lines[1]!.split(", ");
    expect(head.split(" ").length).toBe(16);
    expect(head).toStartWith(
      `established [${LONG}:6666]:65535 > [${LONG}:7777]:65534 netns 8 timeout 15min `,
    );
    expect(said).toContain("iw granted 1000 (asked 1024)");
    expect(said.at(-1)).toBe("fallback");
  });

  test("times", () => {
    const times = [1, 999, 1000, 9999, 12_345, 200_000, 10_000_000, 123_456_789];
    expect(times.map(formatMicros)).toEqual([
      "1us",
      "999us",
      "1ms",
      "10ms",
      "12.3ms",
      "200ms",
      "10s",
      "123s",
    ]);
  });

  test("JSON has every field for every connection, and is one document", () => {
    const list = listOf(everything, { flags: ListFlag.MAPPED, congestion: 'a"\\' });
    const text = [...connectionDocument(list, pick(list, all, undefined), { schema: 1, count: 2 })].join("");
    const document = JSON.parse(text);
    expect(document).toMatchObject({ schema: 1, count: 2 });
    const [plain, full] = document.connections;
    expect(Object.keys(plain)).toEqual(Object.keys(full));
    expect(plain).toMatchObject({
      direction: "opened",
      family: 4,
      mapped: true,
      local: { address: "10.0.0.1", port: 40_000 },
      scope_id: null,
      user_timeout_ms: null,
      congestion_control: 'a"\\',
      extensions: {
        iw: {
          ours: { status: "none", asked: null, granted: null },
          local: { status: "none", rule: null, applied: null, reason: null },
        },
        ack: { strategy: null },
      },
    });
    expect(full).toMatchObject({
      family: 6,
      user_timeout_ms: 900_000,
      fallback: true,
      fallback_reason: "loss",
      extensions: {
        uto: {
          ours: { status: "asked", asked: { timeout_ms: 86_399_999 } },
          peers: { status: "granted", granted: { timeout_ms: 900_000 } },
        },
        "cc-request": { ours: { status: "unanswered", asked: { algorithm: "highspeed" } } },
        iw: { ours: { status: "granted", asked: { segments: 1024 }, granted: { segments: 1000 } } },
        ack: { peers: { status: "granted", asked: { every: 255, divisor: 255 } } },
      },
    });
  });

  test("no connections are an empty list", () => {
    const list = new Listed(new Uint8Array(0), 4000);
    expect(JSON.parse([...connectionDocument(list, [], { schema: 1 })].join(""))).toEqual({
      schema: 1,
      connections: [],
    });
  });
});
