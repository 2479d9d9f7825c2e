// SPDX-License-Identifier: MIT
// The executable's first code: where the build puts it, and that it is the same wherever it is loaded.

import { describe, expect, test } from "bun:test";
import { openSync, readFileSync, readSync } from "node:fs";
import { plan, startCode } from "../../scripts/lib/start-code.ts";
import { hostArch } from "../../scripts/lib/targets.ts";
import { testIf } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";

const NOTE = 4;
const LOAD = 1;

interface Segment {
  type: number;
  flags: number;
  vaddr: bigint;
  filesz: bigint;
  memsz: bigint;
}

/** The program headers, read without the build's own code. */
function segments(head: Buffer): Segment[] {
  return Array.from({ length: head.readUInt16LE(56) }, (_, i) => {
    const at = 64 + i * 56;
    return {
      type: head.readUInt32LE(at),
      flags: head.readUInt32LE(at + 4),
      vaddr: head.readBigUInt64LE(at + 16),
      filesz: head.readBigUInt64LE(at + 32),
      memsz: head.readBigUInt64LE(at + 40),
    };
  });
}

function headOf(path: string): Buffer {
  const head = Buffer.alloc(4096);
  readSync(openSync(path, "r"), head, 0, head.length, 0);
  return head;
}

describe("the executable", () => {
  const head = headOf(tcpxPath());

  test("begins in a segment of its own, which can be read and executed", () => {
    const entry = head.readBigUInt64LE(24);
    const of = segments(head).find(({ vaddr, memsz }) => vaddr <= entry && entry < vaddr + memsz);
    expect(of).toMatchObject({ type: LOAD, flags: 5, vaddr: entry - 32n, filesz: of!.memsz });
  });

  test("has no segment that can be written and executed, and they do not overlap", () => {
    const loads = segments(head).filter(({ type }) => type === LOAD);
    expect(loads.filter(({ flags }) => (flags & 3) === 3)).toEqual([]);
    for (const [i, { vaddr }] of loads.slice(1).entries()) {
      expect(vaddr).toBeGreaterThanOrEqual(loads[i]!.vaddr + loads[i]!.memsz);
    }
  });

  test("is the runtime as it was but for this: the same entry comes next", async () => {
    const runtime = headOf(process.execPath).readBigUInt64LE(24);
    const code = readFileSync(tcpxPath());
    const at = code.lastIndexOf("tcpx start code\0");
    expect(code.readBigUInt64LE(at + 16)).toBe(runtime);
  });
});

describe("the code", () => {
  const cross = hostArch() === "x64" && Bun.which("aarch64-linux-gnu-gcc") !== null;

  test("runs at any page, and has no variables", async () => {
    expect((await startCode(hostArch())).length).toBeLessThan(8192);
  });

  testIf(cross, "gcc-aarch64-linux-gnu")("for arm64, too", async () => {
    expect((await startCode("arm64")).length).toBeLessThan(8192);
  });

  test("is not put into what is built in another way", async () => {
    const code = await startCode(hostArch());
    const plain = headOf(process.execPath);
    const changed = (change: (head: Buffer) => void) => {
      const head = Buffer.from(plain);
      change(head);
      return () => plan(head, 1 << 20, code);
    };
    const header = (type: number) => 64 + 56 * segments(plain).findLastIndex((one) => one.type === type);
    expect(changed(() => {})).not.toThrow();
    expect(changed((head) => head.write("MZ"))).toThrow("not of the form that is known");
    expect(changed((head) => head.writeUInt16LE(3, 16))).toThrow("no ELF at a fixed address");
    expect(changed((head) => head.writeUInt32LE(0, header(NOTE)))).toThrow("no note behind its segments");
    expect(changed((head) => head.writeUInt32LE(7, header(LOAD) + 4))).toThrow("not of data");
  });
});
