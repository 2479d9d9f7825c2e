// SPDX-License-Identifier: MIT
// Options with constant bytes keep TSO and GRO merging: one header, with the option, for many segments.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import type { Packet } from "../support/lab.ts";
import { Merging, MSS } from "../support/merging.ts";
import { CUBIC, ccAsk, iwAsk, optionsOf } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement, requirement } from "../support/requires.ts";

const ethtool = requirement("ethtool", Bun.which("ethtool") !== null, "the program ethtool");
const needs = every("all", labRequirement, captureRequirement, ethtool);

/** The option of every rule that a client can set. */
const RULES = ["uto set 30s", "cc-request set cubic", "iw set 40"];
const OPTIONS = `1c04001e,${ccAsk(CUBIC)},${iwAsk(40)}`;
const ours = (packet: Packet) => optionsOf(packet, 28, 254);

describeIf(needs.ok, needs.reason)("merging of segments with options", () => {
  let m: Merging;

  beforeAll(async () => {
    m = await Merging.create();
  });
  afterEach(() => m.r.clear());
  afterAll(() => m[Symbol.asyncDispose]());

  const setAll = async () => {
    for (const words of RULES) await m.r.rule(m.r.client, words);
  };

  test("TSO: one header with our options leaves for several segments", async () => {
    await m.use("TSO");
    await setAll();
    const { sent } = await m.flights(1, 10 * MSS);
    const merged = sent.filter((packet) => packet.length > MSS && ours(packet) !== "");
    expect(merged.length).toBeGreaterThanOrEqual(1);
    expect(new Set(merged.map(ours))).toEqual(new Set([OPTIONS]));
  });

  test("GRO: segments that arrive one by one with our options become one", async () => {
    await m.use("GRO");
    await setAll();
    const { sent, received } = await m.flights(1, 10 * MSS);
    // nothing was merged before GRO, and every segment had its options
    expect(sent.filter(({ length }) => length > MSS)).toEqual([]);
    expect(sent.filter((packet) => ours(packet) !== "").length).toBeGreaterThanOrEqual(8);
    const merged = received.filter((packet) => packet.length > MSS && ours(packet) !== "");
    expect(merged.length).toBeGreaterThanOrEqual(1);
    expect(new Set(merged.map(ours))).toEqual(new Set([OPTIONS]));
    expect(received.length).toBeLessThan(sent.length);
  });
});
