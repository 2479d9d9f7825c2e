// SPDX-License-Identifier: MIT
// An extension that no file but this one knows: it is seen wherever extensions are.
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { extensions } from "../../cli/extensions/index.ts";
import type { Raw, RawExchange, Seen } from "../../cli/extensions/seen.ts";
import type { Extension } from "../../cli/extensions/types.ts";
import {
  Counter,
  Direction,
  ListFlag,
  Outcome,
  RequestState,
  RuleFlag,
  Silence,
  structs,
  UtoEvent,
  UtoReason,
  WatchEvent,
  WatchReason,
} from "../../cli/layout/layout.generated.ts";
import { encode, encodeAll, type Struct } from "../../cli/layout/struct.ts";
import { COUNTER_NAMES } from "../../cli/loader/counters.ts";
import { countersJson, countersText } from "../../cli/observe/counted.ts";
import { familiesOf } from "../../cli/observe/families.ts";
import { connectionDocument } from "../../cli/observe/json.ts";
import { Listed } from "../../cli/observe/listed.ts";
import { connectionLines } from "../../cli/observe/oneline.ts";
import { openMetrics } from "../../cli/observe/openmetrics.ts";
import { connectionTable } from "../../cli/observe/rows.ts";
import { JsonLines, TextLines } from "../../cli/observe/watch-lines.ts";
import { Outcomes } from "../../cli/observe/watch-outcome.ts";
import { parseExtensions } from "../../cli/observe/watch-report.ts";
import { Watched } from "../../cli/observe/watched.ts";

/** It asks, is asked, and has rules of its own; nothing is said of how it is seen. */
const hue: Extension = {
  name: "hue",
  id: extensions.length,
  title: "Hue",
  summary: "A colour for a connection",
  verbs: {},
  examples: [],
  describe: ({ value: [degrees] }) => `${degrees} degrees`,
  json: ({ value: [degrees] }) => ({ degrees }),
  spell: () => [],
};
const degrees = (n: number) => ({ text: `${n}deg`, json: { degrees: n } });
const withSeen = (seen: Seen): Extension[] => [...extensions, { ...hue, seen }];
const five = [...extensions, hue];

const rule = (value: number, outcome: number = Outcome.NONE, flags: number = RuleFlag.SET) => ({
  flags,
  id: 1,
  outcome,
  value: [value, 0] as const,
});
const no = rule(0, 0, 0);
const exchange = (state: number, asked = 0, answer = 0): RawExchange => ({ state, asked, answer });
const silence = { ours: exchange(RequestState.NONE), peers: exchange(RequestState.NONE) };
const raw = (fields: Partial<Raw>): Raw => ({
  local: no,
  ask: no,
  kinds: {},
  written: true,
  own: {},
  wide: {},
  ...fields,
});

/** A connection of which the kernel's side tells this of the extension. */
class Coloured extends Listed {
  constructor(
    private readonly hue: Raw,
    fields: Partial<Struct<"tcpx_listed">> = {},
  ) {
    const usual = { family: 4, state: 1, direction: Direction.TO, flags: ListFlag.KNOWN, established: 1 };
    super(encodeAll("tcpx_listed", [{ ...usual, ...fields }]), 4000);
  }

  override raw(at: number, extension: Extension): Raw {
    return extension.id === hue.id ? this.hue : super.raw(at, extension);
  }
}

const lineOf = (list: Listed, among = five) =>
  [...connectionLines(list, [0], among)]
    .join("")
    .trim()
    .replace(/^.* delack \S+?(, |$)/, "");
const textOf = (fields: Partial<Raw>, among = five, more = {}) =>
  lineOf(new Coloured(raw(fields), more), among);
const jsonOf = (fields: Partial<Raw>, among = five) =>
  JSON.parse([...connectionDocument(new Coloured(raw(fields)), [0], { schema: 2 }, among)].join(""))
    .connections[0];

describe("connections", () => {
  const { ASKED, GRANTED, REFUSED, UNANSWERED, NO_ROOM, PENDING, ANSWERED } = RequestState;
  const ours = (...args: Parameters<typeof exchange>) => ({ ...silence, ours: exchange(...args) });
  const peers = (...args: Parameters<typeof exchange>) => ({ ...silence, peers: exchange(...args) });

  test("what was asked, and what came of it", () => {
    const cases: [Partial<Raw>, string][] = [
      [silence, ""],
      [ours(ASKED, 7), "hue asked 7"],
      [ours(GRANTED, 7, 5), "hue granted 5 (asked 7)"],
      [ours(REFUSED, 7), "hue refused 7"],
      [ours(UNANSWERED, 7), "hue unanswered 7"],
      [ours(NO_ROOM, 7), "hue no room"],
      [peers(PENDING, 7), "hue pending 7"],
      [peers(ANSWERED, 7, 7), "hue gave 7"],
      [peers(ANSWERED, 7, 0), "hue denied 7"],
    ];
    for (const [fields, text] of cases) expect(textOf(fields)).toBe(text);
    expect(textOf({ ...ours(NO_ROOM, 7), written: false }, five, { silent: Silence.WITHHELD })).toBe(
      "hue withheld 7",
    );
    expect(textOf(ours(ASKED, 7), five, { silent: Silence.PLAIN })).toBe("hue not asked, fallback (path)");
  });

  test("what is only told, to peers that answer nothing", () => {
    const ask = rule(30);
    expect(textOf({ ask })).toBe("hue asked 30 degrees");
    expect(textOf({ ask, written: false })).toBe("hue no room");
    expect(textOf({ ask, ...silence })).toBe("");
    expect(textOf({ ask: rule(30, 0, RuleFlag.SET | RuleFlag.NONE) })).toBe("");
  });

  test("its own rule, and what has come of it", () => {
    const local = (outcome: number) => textOf({ local: rule(30, outcome) });
    expect(local(Outcome.NONE)).toBe("hue not yet set 30 degrees");
    expect(local(Outcome.APPLIED)).toBe("hue set 30 degrees");
    expect(local(Outcome.APPLICATION)).toBe("hue kept (rule 30 degrees)");
    expect(local(Outcome.KERNEL)).toBe("hue not set 30 degrees: the kernel refused it");
    expect(textOf({ local: rule(0, 0, RuleFlag.SET | RuleFlag.NONE) })).toBe("hue exempt");
  });

  test("in the table and in JSON, beside the others", () => {
    const fields = { ...ours(GRANTED, 7, 5), local: rule(30, Outcome.APPLIED) };
    const table = [...connectionTable(new Coloured(raw(fields)), [0], false, five)].join("");
    expect(table).toContain("\n    hue granted 5 (asked 7), hue set 30 degrees\n");
    const { extensions: all, ...connection } = jsonOf(fields);
    expect(Object.keys(all)).toEqual(five.map(({ name }) => name));
    expect(all.hue).toEqual({
      ours: { status: "granted", asked: { bits: 7 }, granted: { bits: 5 } },
      peers: { status: "none", asked: null, granted: null },
      local: { status: "applied", rule: { degrees: 30 }, applied: { degrees: 30 }, reason: null },
    });
    expect(connection).toMatchObject({ ack_at_once: false, fallback: false });
  });

  test("what it adds: values, a refusal, an outcome, state and members of its own", () => {
    const among = withSeen({
      value: degrees,
      refusal: 0xffff,
      rule: ([n]) => degrees(n),
      outcomes: { 99: { status: "failed", reason: "faded", why: "it has faded" } },
      complete: (said, { own }) => ({
        ...said,
        members: { shade: own.shade ?? null },
        connection: { coloured: Boolean(own.shade) },
        complete: (parts) => (own.shade ? [...parts, `hue shade ${own.shade}`] : parts),
      }),
    });
    const fields = { ...peers(ANSWERED, 0, 0), local: rule(30, 99), own: { shade: 3 } };
    expect(textOf(fields, among)).toBe("hue gave 0deg, hue not set 30deg: it has faded, hue shade 3");
    expect(textOf(peers(ANSWERED, 7, 0xffff), among)).toBe("hue denied 7deg");
    expect(jsonOf(fields, among)).toMatchObject({
      coloured: true,
      extensions: { hue: { shade: 3, local: { reason: "faded", rule: { degrees: 30 } } } },
    });
    expect(jsonOf(silence, among)).toMatchObject({ coloured: false, extensions: { hue: { shade: null } } });
  });

  test("of a connection that no rule has matched there is nothing, and every member", () => {
    const list = new Listed(encode("tcpx_listed", { family: 4, state: 1, direction: Direction.TO }), 4000);
    expect(lineOf(list)).toBe("");
    const [text] = connectionDocument(list, [0], { schema: 2 }, five);
    const { hue: none, ack } = JSON.parse(`${text}`).connections[0].extensions;
    expect(none).toEqual({ ...ack, strategy: undefined });
  });
});

describe("watch", () => {
  type News = Struct<"tcpx_watched_news">;
  const listOf = (news: Partial<News>) => {
    const head = { family: 4, direction: Direction.TO, count: 1 };
    const bytes = encode("tcpx_watched", { ...head, news: [{ ext: hue.id, ...news } as News] });
    const { offset } = structs.tcpx_watched.fields.news;
    return new Watched(bytes.subarray(0, offset + structs.tcpx_watched_news.size));
  };
  const said = (news: Partial<News>, among = five) =>
    new TextLines(200, new Outcomes(among))
      .record(listOf(news), 0, 1)
      .trim()
      .replace(/^.*:0 +/, "");
  const document = (news: Partial<News>, among = five) =>
    JSON.parse(new JsonLines(() => null, new Outcomes(among)).record(listOf(news), 0, 1));
  const { ASKED, GRANTED, GAVE, DENIED, MALFORMED, WITHHELD } = WatchEvent;

  test("events, in the words of all", () => {
    expect(said({ event: ASKED, asked: 7 })).toBe("hue        asked 7");
    expect(said({ event: GRANTED, asked: 7, granted: 5 })).toBe("hue        granted 5 (asked 7)");
    expect(said({ event: GAVE, asked: 7, granted: 7 })).toBe("hue        gave 7");
    expect(said({ event: DENIED, asked: 7, reason: WatchReason.NOT_ALLOWED })).toBe(
      "hue        denied 7: not allowed here",
    );
    expect(said({ event: WITHHELD, asked: 0, reason: WatchReason.SIGNED })).toBe(
      "hue        withheld 0: TCP-AO signs the options",
    );
    expect(said({ event: MALFORMED })).toBe("hue        malformed");
    expect(document({ event: GRANTED, asked: 7, granted: 5 })).toMatchObject({
      ...{ extension: "hue", event: "granted", side: "ours" },
      ...{ asked: { bits: 7 }, granted: { bits: 5 }, reason: null },
    });
  });

  test("nothing of what is another one's own", () => {
    const news = { event: UtoEvent.KEEPALIVE, asked: 7, granted: 5, reason: UtoReason.SHORT };
    expect(said(news)).toBe("hue        ?");
    expect(document(news)).toMatchObject({ event: "?", asked: null, granted: null, reason: null });
    expect(said({ ext: 200, event: ASKED, asked: 7 })).toBe("extension 200 asked 7");
  });

  test("values, events and reasons of its own", () => {
    const among = withSeen({
      value: degrees,
      reasons: { 99: { code: "faded", words: "it has faded" } },
      event: (event) =>
        event === 99
          ? { word: "faded", event: "faded", side: "peers", asked: false, granted: true }
          : undefined,
    });
    expect(said({ event: 99, granted: 5 }, among)).toBe("hue        faded 5deg");
    expect(said({ event: GAVE, asked: 7, granted: 5, reason: 99 }, among)).toBe(
      "hue        gave 5deg (asked 7deg): it has faded",
    );
    expect(document({ event: 99, granted: 5, reason: 99 }, among)).toMatchObject({
      ...{ event: "faded", side: "peers", asked: null, granted: { degrees: 5 }, reason: "faded" },
    });
  });

  test("it can be chosen", () => {
    expect(parseExtensions("hue,iw", five)).toEqual(new Set([hue.id, 2]));
    expect(() => parseExtensions("hue")).toThrow("has 'hue', which is none");
  });
});

describe("counters", () => {
  const count = five.map(({ id }) => COUNTER_NAMES.map((_, i) => (id === hue.id ? i + 1 : 0)));
  const counters = { count, error: null };
  const state = { id: 9n, name: "/a", alive: true, visible: true, rules: [] };

  test("in metrics", () => {
    const text = openMetrics(familiesOf([{ state, counters }], undefined, five)).split("\n");
    const labels = 'cgroup="/a",extension="hue"';
    expect(text).toContain(`tcpx_rules{${labels},kind="ask"} 0`);
    expect(text).toContain(`tcpx_granted_requests_total{${labels}} ${Counter.GRANTED + 1}`);
    expect(text.some((line) => line.includes('extension="iw"'))).toBe(false);
  });

  test("in status", () => {
    expect(countersJson(counters, five)).toMatchObject({ hue: { sent: 1, granted: 5 }, iw: { sent: 0 } });
    expect(countersText(counters, five)).toMatch(/^\nCOUNTER +hue\nsent +1\n/);
    expect(countersText(counters, extensions)).toBe("");
    const among = withSeen({ notice: ({ granted }) => `${granted} were granted` });
    expect(countersText(counters, among)).toEndWith("\n\nnotice: 5 were granted\n");
  });

  test("every counter has a family", () => {
    const names = familiesOf([{ state, counters }], undefined, five).map(({ samples }) => samples);
    const counted = names.filter(([first]) => first && Object.keys(first.labels).length === 2);
    expect(counted.length).toBe(COUNTER_NAMES.length);
  });
});

test("no room that shows extensions knows one by its name", () => {
  const cli = join(import.meta.dir, "..", "..", "cli");
  const rooms = ["observe", "live", "output"].flatMap((room) =>
    readdirSync(join(cli, room)).map((file) => join(room, file)),
  );
  const commands = ["connections", "metrics", "status", "watch"].map((name) => `commands/${name}.ts`);
  const names = extensions.map(({ name }) => name).join("|");
  const known = new RegExp(`\\bExt\\.|["'\`](${names})["'\`]|["'\` ](${names}) (set|granted|refused)`);
  const code = (file: string) =>
    readFileSync(join(cli, file), "utf8").replace(/^\s*(\/\/|\/\*\*| \*).*$/gm, "");
  const found = [...rooms, ...commands].filter((file) => known.test(code(file)));
  expect(found).toEqual([]);
});
