// SPDX-License-Identifier: MIT
// Requests and answers as bytes, and those bytes in words.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describeOwn, exidsOf } from "../../cli/extensions/options.ts";
import { Algorithm } from "../../cli/layout/layout.generated.ts";
import { EXPERIMENT_KIND, requestHex } from "../../cli/wire/request.ts";
import { ALGORITHMS, DEFAULT_SITE } from "../../cli/wire/site.ts";

const words = (hex: string) => describeOwn(Uint8Array.fromHex(hex));
const EXIDS = exidsOf(DEFAULT_SITE);
/** Those behind which 16 bits stand. */
const exid = fc.constantFrom(...Object.values(EXIDS).filter((id) => id !== EXIDS.tarr));
const u16 = fc.integer({ min: 0, max: 0xffff });

describe("numbers that travel", () => {
  test("are the places of the names, with no holes", () => {
    expect(ALGORITHMS).toHaveLength(Algorithm.COUNT);
    for (const [name, id] of Object.entries(Algorithm)) {
      if (name !== "COUNT") expect(ALGORITHMS[id]).toBe(name.toLowerCase());
    }
  });

  test("0 to 3 are those of the paper", () => {
    expect(ALGORITHMS.slice(0, 4)).toEqual(["vegas", "reno", "bbr", "cubic"]);
  });

  test("are those of the documentation", () => {
    const page = readFileSync(join(import.meta.dir, "../../docs/cc-request.md"), "utf8");
    const text = /The numbers that travel:([\s\S]*?)\.\n/.exec(page)?.[1] ?? "";
    const pairs = [...text.matchAll(/(\d+) ([a-z]+)/g)].map(([, id, name]) => [Number(id), name]);
    expect(pairs).toEqual([...ALGORITHMS.entries()]);
  });

  test("experiments: an answer is told from a request by its identifier alone", () => {
    expect(EXIDS).toEqual({
      "cc-ask": 0x7cc0,
      "cc-answer": 0x7cc1,
      "iw-ask": 0x7c10,
      "iw-answer": 0x7c11,
      "ack-ask": 0x7ca0,
      "ack-answer": 0x7ca1,
      tarr: 0x00ac,
    });
    expect(EXPERIMENT_KIND).toBe(254);
  });
});

describe("requestHex", () => {
  test("kind, length, identifier and value, in network byte order", () => {
    expect(requestHex(EXIDS["cc-ask"]!, 2)).toBe("fe067cc00002");
    expect(requestHex(EXIDS["cc-answer"]!, 0xffff)).toBe("fe067cc1ffff");
    expect(requestHex(EXIDS["iw-ask"]!, 1024)).toBe("fe067c100400");
    expect(requestHex(EXIDS["iw-answer"]!, 0)).toBe("fe067c110000");
  });

  test("six bytes that say what went in, whatever the value is", () => {
    fc.assert(
      fc.property(exid, u16, (id, value) => {
        const view = new DataView(Uint8Array.fromHex(requestHex(id, value)).buffer);
        expect([view.byteLength, view.getUint8(0), view.getUint8(1)]).toEqual([6, 254, 6]);
        expect([view.getUint16(2), view.getUint16(4)]).toEqual([id, value]);
      }),
    );
  });
});

describe("describeOwn", () => {
  test.each([
    ["fe067cc00002", "asks for bbr"],
    ["fe067cc00000", "asks for vegas"],
    ["fe067cc00010", "asks for highspeed"],
    ["fe067cc00011", "asks for congestion control 17"],
    ["fe067cc08000", "asks for congestion control 32768"],
    ["fe067cc0ffff", "asks for congestion control 65535"],
    ["fe067cc10003", "grants cubic"],
    ["fe067cc10011", "grants 17"],
    ["fe067cc1ffff", "congestion control refused"],
    ["fe067c100028", "asks for a window of 40 segments"],
    ["fe067c100000", "asks for a window of 0 segments"],
    ["fe067c10ffff", "asks for a window of 65535 segments"],
    ["fe067c110020", "grants a window of 32 segments"],
    ["fe067c110000", "window refused"],
  ])("%s", (hex, text) => expect(words(hex)).toBe(`${text} (${hex})`));

  test("every request and answer of ours has words, and ends with its bytes", () => {
    fc.assert(
      fc.property(exid, u16, (id, value) => {
        const hex = requestHex(id, value);
        expect(words(hex)).toEndWith(` (${hex})`);
        expect(words(hex)).not.toMatch(/undefined|NaN/);
      }),
    );
  });

  test.each([
    ["", "no bytes"],
    ["fe", "the kind alone"],
    ["fe02", "no identifier"],
    ["fe047cc0", "no value"],
    ["fe057cc002", "a byte short"],
    ["fe067cc000", "cut off"],
    ["fe077cc0000200", "a byte long"],
    ["fe08dead00000002", "eight bytes"],
    ["fe0600ac0002", "another experiment"],
    ["fe067cc20002", "an identifier next to ours"],
    ["fe067c120002", "an identifier next to ours"],
    ["fe06c07c0002", "the identifier in the other byte order"],
    ["fd067cc00002", "kind 253, the other one for experiments"],
    ["1c067cc00002", "another kind"],
  ])("%j is none of ours: %s", (hex) => expect(words(hex)).toBeUndefined());

  test("a view into a longer buffer is described by its own bytes", () => {
    const bytes = Uint8Array.fromHex("0101fe067c1000280101");
    expect(describeOwn(bytes.subarray(2, 8))).toBe("asks for a window of 40 segments (fe067c100028)");
  });

  test("other identifiers never get words", () => {
    fc.assert(
      fc.property(u16, u16, (id, value) => {
        fc.pre(!Object.values(EXIDS).includes(id as never));
        const option = new Uint8Array([254, 6, id >> 8, id & 255, value >> 8, value & 255]);
        expect(describeOwn(option)).toBeUndefined();
      }),
    );
  });
});
