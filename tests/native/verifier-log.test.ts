// SPDX-License-Identifier: MIT
// What verifiers say, in a line: by logs as kernels have written them, and by lines of objects where kernels do not
// name them.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Errno } from "../../cli/bridge/bridge.ts";
import { slotLoadError } from "../../cli/loader/slots.ts";
import { refusalOf, verifierSummary } from "../../cli/objects/verifier-log.ts";
import { damagedCopies } from "../support/damaged.ts";
import { hasTool, testIf } from "../support/requires.ts";
import { compileSlot } from "../support/slot-objects.ts";

const clang = hasTool("clang");
const withClang = testIf(clang.ok, clang.reason);

/** As libbpf puts it. */
const logOf = (...lines: string[]) =>
  [
    "libbpf: prog 'on_received': relo #137: insn #491 (LDX/ST/STX) accesses field incorrectly. Make sure.",
    "libbpf: prog 'tcpx': BPF program load failed: Permission denied",
    "libbpf: prog 'tcpx': -- BEGIN PROG LOAD LOG --",
    ...lines,
    "processed 9635 insns (limit 1000000) max_states_per_insn 4 total_states 685 peak_states 679 mark_read 0",
    "-- END PROG LOAD LOG --",
    "libbpf: prog 'tcpx': failed to load: -13",
    "libbpf: failed to load object 'tcpx'",
    "",
  ].join("\n");

const NEW = logOf(
  "Func#107 ('slot_settle') is safe for any args that match its prototype",
  "Validating tcpx1_slot4_established() func#111...",
  "19117: R1=ctx() R2=scalar() R3=scalar() R10=fp0",
  "; int key = 1; @ wrong.bpf.c:4",
  "19117: (b4) w1 = 1                    ; R1=1",
  ";  @ wrong.bpf.c:0",
  "19120: (07) r2 += -4                  ; R2=fp-4",
  "; return *(int *)bpf_map_lookup_elem(&m, &key); @ wrong.bpf.c:5",
  "19123: (85) call bpf_map_lookup_elem#1        ; R0=map_value_or_null(id=415,map=m,ks=4,vs=4)",
  "19124: (61) r0 = *(u32 *)(r0 +0)",
  "R0 invalid mem access 'map_value_or_null'",
);
/** Before Linux 6.9. */
const OLD = NEW.replaceAll(/^(;.*) @ wrong\.bpf\.c:\d+$/gm, "$1");

describe("a verifier's log in a line", () => {
  test("its last words, with the line that it stood at", () => {
    expect(verifierSummary(NEW)).toBe("wrong.bpf.c:5: R0 invalid mem access 'map_value_or_null'");
  });

  test("older kernels name no line: the source is quoted", () => {
    expect(verifierSummary(OLD)).toBe(
      `"return *(int *)bpf_map_lookup_elem(&m, &key);": R0 invalid mem access 'map_value_or_null'`,
    );
  });

  test.each([
    ["BPF program is too large. Processed 1000001 insn", []],
    ["back-edge from insn 19120 to 19118", []],
    ["combined stack size of 5 calls is 560. Too large", []],
    ["the call stack of 9 frames is too deep !", []],
    ["invalid func unknown#999", []],
    ["unknown func bpf_tcp_send_ack#116", []],
    ["program of this type cannot use helper bpf_xdp_adjust_head#44", []],
    ["The sequence of 8193 jumps is too complex.", []],
    [
      "infinite loop detected at insn 19119",
      ["cur state: R1=ctx() R3=scalar(umax=7) R10=fp0", "old state: R1=ctx() R2=Pscalar() R10=fp0"],
    ],
    ["R1 type=scalar expected=fp", ["last_idx 5 first_idx 0", "parent didn't have regs=4 stack=0 marks"]],
  ])("%s", (words, behind) => {
    const before = ["; while (i < 10) @ loop.bpf.c:7", "3: (a6) if w3 < 0xa goto pc-2  ; R3=scalar(umax=7)"];
    const place = /stack/.test(words) ? "" : "loop.bpf.c:7: ";
    expect(verifierSummary(logOf(...before, words, ...behind))).toBe(`${place}${words}`);
    expect(verifierSummary(logOf(words, ...behind))).toBe(words);
  });

  test("a complaint in two lines is both of them", () => {
    const words = ["invalid access to map value, value_size=4 off=8 size=4", "R0 min value is outside"];
    expect(verifierSummary(logOf("; x[i] @ a.bpf.c:2", "4: (61) r0 = *(u32 *)(r0 +8)", ...words))).toBe(
      `a.bpf.c:2: ${words.join("; ")}`,
    );
  });

  test("the last program of several; and a long log of which the end alone was kept", () => {
    const other = logOf("; other @ other.bpf.c:1", "1: (95) exit", "R0 !read_ok");
    expect(verifierSummary(other + NEW)).toStartWith("wrong.bpf.c:5: ");
    expect(verifierSummary(NEW.slice(NEW.indexOf("19120:")))).toStartWith("wrong.bpf.c:5: ");
  });

  test("without a verifier's words, what libbpf says; nothing where nobody says anything", () => {
    const map = [
      "libbpf: Error in bpf_create_map_xattr(m):Invalid argument(-22). Retrying without BTF.",
      "libbpf: map 'm': failed to create: Invalid argument(-22)",
      "libbpf: failed to load object 'tcpx'",
    ];
    expect(verifierSummary(`${map.join("\n")}\n`)).toBe("map 'm': failed to create: Invalid argument(-22)");
    expect(verifierSummary("")).toBeUndefined();
    expect(verifierSummary("libbpf: failed to load object 'tcpx'\n")).toBeUndefined();
  });

  test("text of others is one short line, whatever it has", () => {
    const log = logOf(
      `; \x1b[31mred\u202e @ ../../\x1b[2Jx y.c:3`,
      "1: (95) exit",
      `R0 \x07 ${"long ".repeat(200)}`,
    );
    const line = verifierSummary(log)!;
    expect(line).toMatch(/^\?\[2Jx\?y\.c:3|^\??\?2Jx\?y\.c:3/);
    expect(line).toMatch(/^[\x20-\x7e]{40,300}$/);
    for (const bytes of damagedCopies([Buffer.from(NEW), Buffer.from(OLD)], 2000)) {
      const said = verifierSummary(new TextDecoder().decode(bytes));
      if (said !== undefined) expect(said).not.toMatch(/\p{Cc}/u);
    }
  });

  describe("with the object", () => {
    let dir: string;
    let bytes: Uint8Array;
    beforeAll(async () => {
      if (!clang.ok) return;
      dir = mkdtempSync(join(tmpdir(), "tcpx-lines-"));
      const path = join(dir, "wrong.bpf.c");
      await Bun.write(
        path,
        `#include "tcpx_ext.h"
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1); __type(key, int); __type(value, int); } m SEC(".maps");
TCPX_HOOK(established) {
	int key = 1;
	return *(int *)bpf_map_lookup_elem(&m, &key);
}
TCPX_HOOK(again) {
	int key = 1;
	return bpf_map_lookup_elem(&m, &key) ? 1 : 0;
}
`,
      );
      bytes = await compileSlot(dir, path);
    });
    afterAll(() => dir && rmSync(dir, { recursive: true }));

    withClang("the line is found by its text, first in the function that was looked at", () => {
      const suspects = [{ name: "wrong", slot: 4, bytes }];
      expect(verifierSummary(OLD, suspects)).toBe("wrong.bpf.c:5: R0 invalid mem access 'map_value_or_null'");
      const twice = (hook: string) =>
        logOf(`Validating tcpx1_slot4_${hook}() func#3...`, "; int key = 1;", "1: (b4) w1 = 1", "no");
      expect(verifierSummary(twice("established"), suspects)).toBe("wrong.bpf.c:4: no");
      expect(verifierSummary(twice("again"), suspects)).toBe("wrong.bpf.c:8: no");
      expect(verifierSummary(twice("elsewhere"), suspects)).toBe('"int key = 1;": no');
    });

    withClang("it is told whose it was: by the slot, or by the file alone", () => {
      const suspects = [
        { name: "before", slot: 3, bytes },
        { name: "wrong", slot: 4, bytes },
        { name: "damaged", slot: 5, bytes: bytes.subarray(0, 3000) },
      ];
      expect(refusalOf(OLD, suspects)?.suspect?.name).toBe("wrong");
      const ours = NEW.replace("tcpx1_slot4_established", "slot_settle");
      expect(refusalOf(ours, suspects)?.suspect).toBeUndefined();
      const loose = NEW.replace(/^Validating.*\n/m, "");
      expect(refusalOf(loose, suspects)?.suspect).toBeUndefined();
      expect(refusalOf(loose, suspects.slice(1))?.suspect?.name).toBe("wrong");
    });

    withClang("the error of every command that loads it says both", () => {
      const objects = [
        { id: 8, name: "pace", bytes: new Uint8Array(0) },
        { id: 12, name: "wrong", bytes },
      ];
      const error = new Errno("load", 13);
      expect(slotLoadError({ objects }, error, OLD).message).toBe(
        "the kernel refused extension wrong (EACCES): wrong.bpf.c:5: R0 invalid mem access 'map_value_or_null'",
      );
      expect(slotLoadError({ objects }, error, "").message).toBe(
        "the kernel refused the program with the extensions pace, wrong (EACCES)",
      );
    });
  });
});
