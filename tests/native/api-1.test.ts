// SPDX-License-Identifier: MIT
// What version 1 of tcpx_ext.h has promised: an object of it, compiled then, goes on being linked. This fails when a
// symbol or a hook goes, gets other arguments, or means another thing; version 2 is a file beside this one.
import { beforeAll, describe, expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { bridge } from "../../cli/bridge/bridge.ts";
import { linkObjects } from "../../cli/bridge/link.ts";
import { Hook } from "../../cli/layout/layout.generated.ts";
import { API } from "../../cli/manifest/types.ts";
import { readElf, STT_FUNC } from "../../cli/objects/elf.ts";
import { guardProblems } from "../../cli/packages/guard.ts";
import { hasTool, testIf } from "../support/requires.ts";
import { API_1_OBJECT, compileSlot } from "../support/slot-objects.ts";
import { dir } from "./bridge.ts";

const FROZEN = resolve(import.meta.dir, "../support/api-1");
const HOOKS =
  "listen start say say_syn_ack see promise decide answered established again rtt rto state reply".split(" ");
const CALLS =
  "rule value get put word set_word count error news outcome has_outcome exchange opened header speak listen want done".split(
    " ",
  );
const clang = hasTool("clang");
const withClang = testIf(clang.ok, clang.reason);

/** Constants and declarations, each on one line. */
async function promised(header: string): Promise<string[]> {
  const text = (await Bun.file(header).text()).replaceAll(/\/\*.*?\*\//gs, "");
  const lines = text.split("\n").map((line) => line.replaceAll(/\s+/g, " ").trim());
  return lines.filter((line) => /^#define TCPX_[A-Z_]+ -?\d+$|^extern int tcpx1_/.test(line));
}

describe("version 1 of tcpx_ext.h", () => {
  let bytes: Uint8Array;
  beforeAll(async () => {
    bytes = await Bun.file(API_1_OBJECT).bytes();
  });

  test("the object of then has every hook and every call of then", () => {
    const names = (defined: boolean) =>
      readElf(bytes)
        .symbols.filter(
          ({ bind, section, type }) =>
            bind === 1 && section > 0 === defined && (!defined || type === STT_FUNC),
        )
        .map(({ name }) => name)
        .sort();
    expect(names(true)).toEqual(HOOKS.map((hook) => `tcpx1_slot0_${hook}`).sort());
    expect(names(false)).toEqual(CALLS.map((call) => `tcpx1_${call}`).sort());
  });

  test("it is taken: it can be read, nothing speaks against it, and it is linked in any slot", async () => {
    expect(guardProblems(bytes)).toEqual([]);
    const lib = await bridge();
    for (const slot of [0, 5]) {
      const { hooks } = await linkObjects(lib, [{ name: "old", slot, bytes }]);
      const has = hooks.get(slot)!;
      const called = Object.entries(Hook).filter(([name, bit]) => name !== "COUNT" && (has >>> bit) & 1);
      expect(called.map(([name]) => name.toLowerCase()).sort()).toEqual([...HOOKS].sort());
    }
  });

  test("what its constants and declarations were, they are", async () => {
    const then = await promised(join(FROZEN, "tcpx_ext-1.h"));
    const now = await promised(resolve(FROZEN, "../../../embedded-bpf/tcpx_ext.h"));
    expect(then.length).toBeGreaterThan(35);
    for (const line of then) expect(now).toContain(line);
    expect(API).toBe(1);
  });

  withClang("its header of then still compiles, into what is linked", async () => {
    const compiled = await compileSlot(dir, join(FROZEN, "every-1.bpf.c"));
    const { hooks } = await linkObjects(await bridge(), [{ name: "old", slot: 3, bytes: compiled }]);
    expect(hooks.get(3)).toBeGreaterThanOrEqual(2 ** HOOKS.length - 1);
  });
});
