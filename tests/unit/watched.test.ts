// SPDX-License-Identifier: MIT
// The kernel's events: what is read from them, chosen, and printed.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import {
  Direction,
  Ext,
  Family,
  SlotEvent,
  structs,
  UtoEvent,
  UtoReason,
  WatchEvent,
  WatchReason,
} from "../../cli/layout/layout.generated.ts";
import { encode, type Struct } from "../../cli/layout/struct.ts";
import { extensionFrom } from "../../cli/manifest/extension.ts";
import { readManifest } from "../../cli/manifest/read.ts";
import { Clock, JsonLines, TextLines } from "../../cli/observe/watch-lines.ts";
import { Outcomes } from "../../cli/observe/watch-outcome.ts";
import { parseCount, parseExtensions, Report, type Wanted } from "../../cli/observe/watch-report.ts";
import { Watched } from "../../cli/observe/watched.ts";
import { parseSelectors } from "../../cli/policy/selector.ts";
import { EVERY } from "../support/manifests.ts";

/** A record with one piece of news. */
type Fields = Partial<Omit<Struct<"tcpx_watched">, "news">> & Partial<News>;
type News = Struct<"tcpx_watched_news">;

const bytesOf = (text: string) => {
  const bytes = ipaddr.parse(text).toByteArray();
  return new Uint8Array(bytes.length === 4 ? [...new Array(10).fill(0), 255, 255, ...bytes] : bytes);
};

const HEAD = structs.tcpx_watched.fields.news.offset;
const LONG = "2001:db8:1111:2222:3333:4444:5555";

const usual: Fields = {
  at_ns: 1_500_000_000n,
  scope: 2n ** 40n + 7n,
  local: bytesOf("10.0.0.1"),
  remote: bytesOf("10.0.0.2"),
  local_port: 40_000,
  remote_port: 443,
  netns: 7,
  family: Family.IPV4,
  direction: Direction.TO,
  ext: Ext.IW,
  event: WatchEvent.GRANTED,
  asked: 40,
  granted: 32,
};
const longest: Fields = {
  family: Family.IPV6,
  local: bytesOf(`${LONG}:6666`),
  remote: bytesOf(`${LONG}:7777`),
  local_port: 65_535,
  remote_port: 65_535,
};

/** One record, as long as it has to be. */
function record({ asked, granted, ext, event, reason, ...fields }: Fields, more: Partial<News>[] = []) {
  const first = { asked, granted, ext, event, reason } as News;
  const news = [first, ...more.map((other) => ({ ...first, ...other }))];
  const bytes = encode("tcpx_watched", { ...fields, count: news.length, news });
  return bytes.subarray(0, HEAD + news.length * structs.tcpx_watched_news.size);
}

const joined = (...records: Uint8Array[]) => new Watched(new Uint8Array(Buffer.concat(records)));
const listOf = (...records: Fields[]) => joined(...records.map((r) => record({ ...usual, ...r })));
const line = (fields: Fields, width?: number) => new TextLines(width).record(listOf(fields), 0, 1);
const said = (fields: Fields) =>
  line(fields)
    .trimEnd()
    .replace(/^.* (uto|cc-request|iw|ack) +/s, "$1 ");
const jsonLine = (fields: Fields, cgroup: string | null) =>
  new JsonLines(() => cgroup).record(listOf(fields), 0, 1);
const json = (fields: Fields) => JSON.parse(jsonLine(fields, "/a"));

describe("one event", () => {
  test("of an extension's own option has no value, as nobody answers it", () => {
    const every = extensionFrom(readManifest(EVERY, "extension.toml"), 8);
    const outcomes = new Outcomes([every]);
    const of = (fields: Fields) => {
      const list = listOf({ ext: 8, asked: 0, granted: 0, ...fields });
      return outcomes.of(list, list.news(0, 0));
    };
    expect(of({ event: SlotEvent.SAID }).text).toBe("every said");
    expect(JSON.parse(`{${of({ event: SlotEvent.SAID }).json}}`)).toEqual({
      ...{ extension: "every", event: "said", side: "ours", asked: null, granted: null, reason: null },
    });
    expect(of({ event: WatchEvent.WITHHELD, reason: WatchReason.SIGNED }).text).toBe(
      "every withheld: TCP-AO signs the options",
    );
    expect(of({ event: WatchEvent.FALLBACK }).text).toBe("every fallback");
    const list = listOf({ ext: 9, asked: 0, granted: 0, event: SlotEvent.SAID });
    expect(outcomes.of(list, list.news(0, 0)).text).toBe("ext-9 said"); // this host has none
  });

  test("as a line", () => {
    expect(line({})).toMatch(
      /^\d\d:\d\d:01\.500 :40000 > 10\.0\.0\.2:443 {9} iw {9}granted 32 \(asked 40\)\n$/,
    );
    expect(line({ direction: Direction.FROM, local_port: 80 })).toContain("    :80 < 10.0.0.2:443 ");
  });

  test("in words, extension by extension", () => {
    const { UTO, CC_REQUEST, ACK } = Ext;
    const e = WatchEvent;
    const cases: [Fields, string][] = [
      [{ ext: UTO, event: e.ASKED, asked: 90_000 }, "uto asked 90s"],
      [{ ext: UTO, event: e.GAVE, asked: 30_000, granted: 40_000 }, "uto gave 40s (asked 30s)"],
      [
        { ext: UTO, event: e.DENIED, asked: 30_000, reason: WatchReason.APPLICATION },
        "uto denied 30s: the application has chosen itself",
      ],
      [{ ext: UTO, event: e.FALLBACK }, "uto fallback"],
      [{ ext: UTO, event: e.FALLBACK, reason: WatchReason.PATH }, "uto fallback: the path does not take it"],
      [
        { ext: UTO, event: UtoEvent.KEEPALIVE, asked: 40_000, granted: 12_000, reason: UtoReason.KEEPALIVE },
        "uto set 12s, not 40s: keep-alive ends it then",
      ],
      [
        { ext: UTO, event: UtoEvent.KEEPALIVE, asked: 1000, granted: 1000, reason: UtoReason.SHORT },
        "uto set 1s: the first lost keep-alive probe ends it",
      ],
      [
        { ext: UTO, event: e.GAVE, asked: 40_000, granted: 12_000, reason: UtoReason.KEEPALIVE },
        "uto gave 12s (asked 40s): keep-alive ends it then",
      ],
      [{ ext: CC_REQUEST, asked: 0, granted: 0 }, "cc-request granted vegas"],
      [{ ext: CC_REQUEST, event: e.REFUSED, asked: 3, granted: 0xffff }, "cc-request refused cubic"],
      [
        { ext: CC_REQUEST, event: e.DENIED, asked: 99, reason: WatchReason.NOT_ALLOWED },
        "cc-request denied number 99: not allowed here",
      ],
      [{ event: e.UNANSWERED, reason: WatchReason.LOSS }, "iw unanswered 40: a segment was lost"],
      [{ event: e.NO_ROOM }, "iw no room 40"],
      [{ event: e.GAVE, reason: WatchReason.CLAMPED }, "iw gave 32 (asked 40)"],
      [{ event: e.DENIED, reason: WatchReason.LATE }, "iw denied 40: data was sent before"],
      [{ event: e.DENIED, reason: WatchReason.KERNEL }, "iw denied 40: the kernel refused it"],
      [{ event: e.WITHHELD, reason: WatchReason.SIGNED }, "iw withheld 40: TCP-AO signs the options"],
      [
        { ext: CC_REQUEST, event: e.WITHHELD, asked: 0, reason: WatchReason.SIGNED },
        "cc-request withheld vegas: TCP-AO signs the options",
      ],
      [
        { ext: ACK, event: e.WITHHELD, asked: 0, reason: WatchReason.SIGNED }, // the announcement of TARR
        "ack withheld: TCP-AO signs the options",
      ],
      [{ event: e.MALFORMED }, "iw malformed"],
      [{ ext: ACK, asked: 0x0410, granted: 0x0408 }, "ack granted every 8 rtt/4 (asked every 16 rtt/4)"],
      [{ ext: ACK, event: e.ASKED, asked: 1 }, "ack asked at once"],
      [
        { ext: ACK, asked: 0, granted: 0x0101, reason: WatchReason.APPLICATION }, // no kernel says so
        "ack granted at once rtt/1 (asked no limit)",
      ],
    ];
    for (const [fields, words] of cases) expect(said(fields)).toBe(words);
  });

  test("as a document", () => {
    const document = json({ ...longest, reason: WatchReason.CLAMPED });
    expect(document).toEqual({
      schema: 2,
      time: "1970-01-01T00:00:01.500Z",
      direction: "opened",
      family: 6,
      local: { address: `${LONG}:6666`, port: 65_535 },
      peer: { address: `${LONG}:7777`, port: 65_535 },
      ...{
        extension: "iw",
        event: "granted",
        side: "ours",
        asked: { segments: 40 },
        granted: { segments: 32 },
        reason: "clamped",
      },
      ...{ netns: 7, scope_id: "1099511627783", cgroup: "/a" },
    });
    expect(json({ event: WatchEvent.DENIED })).toMatchObject({
      ...{ event: "refused", side: "peers", asked: { segments: 40 }, granted: null },
    });
    expect(json({ event: WatchEvent.NO_ROOM })).toMatchObject({ event: "no-room", side: "ours" });
    expect(json({ event: WatchEvent.FALLBACK, reason: WatchReason.PATH })).toMatchObject({
      ...{ event: "fallback", side: null, asked: null, reason: "path" },
    });
    expect(json({ event: WatchEvent.WITHHELD, reason: WatchReason.SIGNED })).toMatchObject({
      ...{ event: "withheld", side: "ours", asked: { segments: 40 }, granted: null, reason: "signed" },
    });
    expect(json({ event: WatchEvent.MALFORMED })).toMatchObject({ side: null, asked: null, granted: null });
    expect(json({ ext: Ext.ACK, asked: 0x0410, granted: 8 })).toMatchObject({
      asked: { every: 16, divisor: 4 },
      granted: { every: 8, divisor: 0 },
    });
  });

  test("whatever the kernel says: at most 80 columns, and one document per line", () => {
    const u8 = fc.integer({ min: 0, max: 255 });
    const known = fc.integer({ min: 0, max: 10 }); // most of those that there are, and some that are none
    const u16 = fc.integer({ min: 0, max: 65_535 });
    const fields = fc.record({
      ext: fc.integer({ min: 0, max: Object.keys(Ext).length - 1 }),
      ...{
        event: fc.oneof(known, u8),
        reason: fc.oneof(known, u8),
        asked: u16,
        granted: u16,
        local_port: u16,
        remote_port: u16,
      },
      remote: fc.uint8Array({ minLength: 16, maxLength: 16 }),
      family: fc.constantFrom(Family.IPV4, Family.IPV6),
      direction: fc.constantFrom(Direction.TO, Direction.FROM),
    });
    fc.assert(
      fc.property(fields, (f) => {
        for (const part of line(f, 80).split("\n")) expect(part.length).toBeLessThanOrEqual(80);
        expect(jsonLine(f, null)).toMatch(/^\{[^\n]*\}\n$/);
        expect(json(f).scope_id).toBe("1099511627783");
      }),
      { numRuns: 2000 },
    );
  });

  test("on a terminal what does not fit goes on a line of its own", () => {
    const narrow = ` :65535 > [${LONG}:7777]:65535\n    iw granted 32 (asked 40)\n`;
    expect(line(longest, 80)).toEndWith(narrow);
    expect(line(longest, 132)).not.toEndWith(narrow);
  });

  test("where stdout is no terminal an event is a line", () => {
    expect(line(longest)).toEndWith(` :65535 > [${LONG}:7777]:65535 iw         granted 32 (asked 40)\n`);
  });
});

test("times: the same second, the next one, and one before", () => {
  const clock = new Clock(true);
  clock.offsetMs = Date.parse("2026-11-22T23:59:58Z");
  const at = (ms: number) => clock.format(ms * 1e6);
  expect([0, 999, 1000, 2000, 1].map(at)).toEqual([
    "2026-11-22T23:59:58.000Z",
    "2026-11-22T23:59:58.999Z",
    "2026-11-22T23:59:59.000Z",
    "2026-11-23T00:00:00.000Z",
    "2026-11-22T23:59:58.001Z",
  ]);
  expect(listOf({ at_ns: 2n ** 45n + 5n }).atNs(0)).toBe(2 ** 45 + 5);
});

describe("a report", () => {
  const around = { bootNs: () => 3e9, wallMs: () => 3000, netns: 7, cgroupOf: () => null };
  const wanted: Wanted = { selectors: parseSelectors({}), count: Number.POSITIVE_INFINITY };
  const report = (more: Partial<Wanted> = {}, isJson = true) =>
    new Report({ ...wanted, ...more }, around, isJson);
  const ports = (text: string) => [...text.matchAll(/"peer":\{[^}]*"port":(\d+)/g)].map((m) => Number(m[1]));

  test("selectors, and the end after so many", () => {
    const list = listOf(
      { remote_port: 1 },
      { remote_port: 2, remote: bytesOf("192.0.2.1") },
      { remote_port: 3, ext: Ext.UTO, direction: Direction.FROM },
      { remote_port: 4, ext: Ext.ACK, ...{ family: Family.IPV6, remote: bytesOf("2001:db8::1") } },
    );
    const of = (more: Partial<Wanted>) => ports(report(more).events(list));
    expect(of({})).toEqual([1, 2, 3, 4]);
    expect(of({ selectors: parseSelectors({ to: "10.0.0.0/8,2001:db8::/32" }) })).toEqual([1, 4]);
    expect(of({ selectors: parseSelectors({ from: "0.0.0.0/0" }) })).toEqual([3]);
    expect(of({ selectors: parseSelectors({ port: "2,40000" }) })).toEqual([2, 3]);
    const short = report({ count: 5 });
    expect(ports(short.events(list) + short.events(list))).toEqual([1, 2, 3, 4, 1]);
    expect([short.done, short.shown]).toEqual([true, 5]);
  });

  test("all that is new with a connection in one record", () => {
    const news = [{ ext: Ext.UTO, event: WatchEvent.ASKED, asked: 30_000 }, { granted: 40 }];
    const list = joined(record(usual, news), record({ ...usual, remote_port: 80 }));
    const documents = (text: string) =>
      text
        .trim()
        .split("\n")
        .map((l) => JSON.parse(l))
        .map((e) => [e.peer.port, e.extension, e.event, e.asked, e.granted]);
    const all = [
      [443, "iw", "granted", { segments: 40 }, { segments: 32 }],
      [443, "uto", "asked", { timeout_ms: 30_000 }, null],
      [443, "iw", "granted", { segments: 40 }, { segments: 40 }],
      [80, "iw", "granted", { segments: 40 }, { segments: 32 }],
    ];
    expect(documents(report().events(list))).toEqual(all);
    const short = report({ count: 2 }); // it may end within a record
    expect(documents(short.events(list))).toEqual(all.slice(0, 2));
    expect([short.done, short.shown]).toEqual([true, 2]);
    const lines = report({}, false).events(list).trim().split("\n");
    expect(lines.map((l) => l.replace(/.*:(?=\d+ )/, "").replace(/ +/g, " "))).toEqual([
      "443 iw granted 32 (asked 40)",
      "443 uto asked 30s",
      "443 iw granted 40",
      "80 iw granted 32 (asked 40)",
    ]);
  });

  test("the path of a scope is asked for until it is known, and then no more", () => {
    const names = [null, "/a", "/b"];
    let asked = 0;
    const r = new Report(wanted, { ...around, cgroupOf: () => names[asked++]! }, true);
    const of = (list: Watched) => [...r.events(list).matchAll(/"cgroup":("\S+"|null)\}/g)].map((m) => m[1]);
    expect(of(listOf({}, {}, {}, { scope: 9n }))).toEqual(["null", '"/a"', '"/a"', '"/b"']);
    expect(asked).toBe(3);
  });

  test("one connection after another: each with its own ends", () => {
    const list = listOf(
      {},
      { ext: Ext.UTO },
      { local_port: 41_000 },
      { scope: 9n },
      { direction: Direction.FROM },
    );
    const shown = report()
      .events(list)
      .trim()
      .split("\n")
      .map((l) => JSON.parse(l));
    expect(shown.map((e) => [e.local.port, e.scope_id, e.direction])).toEqual([
      ...[0, 1].map(() => [40_000, "1099511627783", "opened"]),
      [41_000, "1099511627783", "opened"],
      [40_000, "9", "opened"],
      [40_000, "1099511627783", "accepted"],
    ]);
    const text = report({}, false).events(list).split("\n");
    expect(text.map((l) => l.slice(12, 21))).toEqual([
      " :40000 >",
      " :40000 >",
      " :41000 >",
      " :40000 >",
      " :40000 <",
      "",
    ]);
  });

  test("another namespace than the caller's is named, and where it changes", () => {
    const text = report({}, false).events(listOf({}, { netns: 8 }, { netns: 8 }, { netns: 7 }));
    const lines = text.split("\n").map((l) => (l.startsWith("netns") ? l : l.slice(12, 20)));
    expect(lines).toEqual([" :40000 ", "netns 8", " :40000 ", " :40000 ", "netns 7", " :40000 ", ""]);
  });

  test("what was lost is told and added up", () => {
    const r = report();
    r.note({ event: "lost", lost: 5 });
    expect(JSON.parse(r.note({ event: "lost", lost: 2 }))).toEqual({
      ...{ schema: 2, time: "1970-01-01T00:00:03.000Z", event: "lost", lost: 2, lost_total: 7 },
    });
    expect(JSON.parse(r.note({ event: "paused", ms: 9 }))).toMatchObject({ event: "paused", ms: 9 });
    expect([r.lost, r.shown]).toEqual([7, 0]);
    expect(report({}, false).note({ event: "lost", lost: 5 })).toMatch(/:03\.000 5 events lost: /);
    expect(report({}, false).note({ event: "paused", ms: 10 ** 9 }).length).toBeLessThanOrEqual(81);
  });
});

test("counts and extensions that are none", () => {
  expect(parseCount(undefined)).toBe(Number.POSITIVE_INFINITY);
  expect(parseCount("17")).toBe(17);
  for (const text of ["0", "-1", "1.5", "1e3", "", "99999999999"])
    expect(() => parseCount(text)).toThrow(`--count '${text}' is not a number of events`);
  expect(parseExtensions(undefined)).toBeUndefined();
  expect(parseExtensions("uto,ack")).toEqual(new Set([Ext.UTO, Ext.ACK]));
  expect(() => parseExtensions("uto,tarr")).toThrow("--ext 'uto,tarr' has 'tarr', which is none");
  expect(() => parseExtensions("")).toThrow("has ''");
});
