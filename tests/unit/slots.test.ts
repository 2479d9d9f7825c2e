// SPDX-License-Identifier: MIT
// Extensions that tcpx does not ship, as descriptions say them: what is wrong with one, and what programs are told.

import { describe, expect, test } from "bun:test";
import { extensionOf, storedAs } from "../../cli/extensions/index.ts";
import {
  encodeSlot,
  exidsOf,
  FIRST_SLOT,
  SLOTS,
  type SlotDescription,
  slotProblem,
} from "../../cli/extensions/slots.ts";
import { Ext, Hook, SlotFlag, structs } from "../../cli/layout/layout.generated.ts";
import { builtIn, slotsIn } from "../../cli/loader/slots.ts";
import { DESCRIPTIONS } from "../support/slot-objects.ts";

const LAST = FIRST_SLOT + SLOTS - 1;
const OWN: SlotDescription = { id: 8, name: "own", option: { kind: 77, least: 4, most: 8 } };
const ASKS: SlotDescription = {
  id: 9,
  name: "asks",
  exchange: { askExid: 0x7d00, answerExid: 0x7d01, refused: 0xffff },
};

describe("ids", () => {
  test("those of slots are behind those that are built in, and all have a place in a configuration", () => {
    expect(Object.values(Ext).every((id) => id < FIRST_SLOT)).toBe(true);
    expect<number>(structs.tcpx_config.fields.exids.dims[0]).toBe(LAST + 1);
  });

  test("of config.uses", () => {
    expect(slotsIn(0b1000_0001_0000_1111)).toEqual([0, 7]);
    expect(slotsIn(0xff)).toEqual([]);
    expect(builtIn(0xff0f)).toBe(0x0f);
  });

  test("a rule of one that nobody knows any more has a name and a text, and others have none", () => {
    expect(storedAs(LAST, 1)).toEqual({ ext: `ext-${LAST}`, kind: "local" });
    const extension = extensionOf({ ext: `ext-${LAST}` });
    const rule = { kind: "local", none: false, force: false, value: [7, 8] } as const;
    expect([extension.describe(rule), extension.json(rule)]).toEqual(["7 8", { words: [7, 8] }]);
    expect(() => storedAs(FIRST_SLOT - 1, 1)).toThrow(RangeError);
    expect(() => storedAs(LAST + 1, 1)).toThrow(RangeError);
  });
});

describe("a description", () => {
  test.each(Object.values(DESCRIPTIONS) as SlotDescription[])("$name is one", (description) => {
    expect(slotProblem(description)).toBeUndefined();
  });

  const option = (of: object) => ({ ...OWN, option: { ...OWN.option!, ...of } });
  const exchange = (of: object) => ({ ...ASKS, exchange: { ...ASKS.exchange!, ...of } });
  test.each<[SlotDescription, string]>([
    [{ ...OWN, id: FIRST_SLOT - 1 }, "number 7 is not 8 to 15"],
    [{ ...OWN, id: LAST + 1 }, "number 16 is not 8 to 15"],
    [{ ...OWN, id: 8.5 }, "number 8.5"],
    [{ ...OWN, name: "Own" }, "'Own' is no name"],
    [{ ...OWN, name: "" }, "'' is no name"],
    [{ ...OWN, name: "a".repeat(33) }, "is no name"],
    [{ ...OWN, words: 1 }, "2 to 16 words, not 1"],
    [{ ...OWN, words: 17 }, "2 to 16 words, not 17"],
    [option({ kind: 28 }), "option kind 28 is not free"],
    [option({ kind: 8 }), "option kind 8 is not free"],
    [option({ kind: 254 }), "option kind 254 is not free"],
    [option({ kind: 0 }), "option kind 0 is not free"],
    [option({ exid: 7 }), "a kind, or the identifier"],
    [option({ kind: undefined }), "a kind, or the identifier"],
    [option({ kind: undefined, exid: 0x1_0000 }), "identifier 65536 is not 1 to 65535"],
    [option({ least: 1 }), "has 2 to 40 bytes, not 1 to 8"],
    [option({ least: 9 }), "has 2 to 40 bytes, not 9 to 8"],
    [option({ most: 41 }), "has 2 to 40 bytes, not 4 to 41"],
    [option({ kind: undefined, exid: 7, least: 3 }), "has 4 to 40 bytes"],
    [option({ most: 21, onSynAck: "reply" }), "room for 20 bytes, not for 21"],
    [exchange({ askExid: 0 }), "identifier 0 is not 1 to 65535"],
    [exchange({ answerExid: 0x7d00 }), "differ"],
    [exchange({ refused: 65_536 }), "answer 65536 is not 16 bits"],
  ])("%j is none", (description, problem) => {
    expect(slotProblem(description)).toContain(problem);
  });
});

describe("what programs are told", () => {
  test("of an option of its own", () => {
    const hooks = (1 << Hook.SAY) | (1 << Hook.SEE);
    const slot = encodeSlot({ ...OWN, option: { kind: 77, least: 4, most: 8, onSynAck: "always" } }, hooks);
    expect(slot).toMatchObject({ hooks, kind: 77, least: 4, most: 8, syn_ack_kinds: 1, syn_ack_len: 8 });
    expect(slot.flags).toBe(SlotFlag.SAYS | SlotFlag.UNASKED);
    expect(encodeSlot(OWN, 0)).toMatchObject({ syn_ack_kinds: 0, syn_ack_len: 0, flags: SlotFlag.SAYS });
    expect(exidsOf(OWN)).toEqual([0, 0, 0]);
  });

  test("of an exchange", () => {
    expect(encodeSlot(ASKS, 0)).toMatchObject({ kind: 0, refused: 0xffff, syn_ack_kinds: 4, syn_ack_len: 6 });
    expect(encodeSlot(ASKS, 0).flags).toBe(SlotFlag.ASKS);
    expect(exidsOf(ASKS)).toEqual([0x7d00, 0x7d01, 0]);
  });

  test("whose state it is: another extension in the slot, or another version of it, has none of it", () => {
    const owner = (of: SlotDescription) => encodeSlot(of, 0).owner;
    expect(owner(OWN)).not.toBe(0);
    expect(owner({ ...OWN, id: 9 })).toBe(owner(OWN));
    expect(owner({ ...OWN, name: "other" })).not.toBe(owner(OWN));
    expect(owner({ ...OWN, stateVersion: 2 })).not.toBe(owner(OWN));
  });
});
