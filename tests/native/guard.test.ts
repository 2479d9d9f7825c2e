// SPDX-License-Identifier: MIT
// What is looked for in objects of others before they are loaded: what it finds, and that no object harms it.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { guarded, guardProblems } from "../../cli/packages/guard.ts";
import { damagedCopies } from "../support/damaged.ts";
import { hasTool, testIf } from "../support/requires.ts";
import { compileSlot, slotSource } from "../support/slot-objects.ts";

const clang = hasTool("clang");
const withClang = testIf(clang.ok, clang.reason);

describe("the guard for objects of others", () => {
  let dir: string;
  let extension: Uint8Array;
  let program: Uint8Array;

  const compiled = async (name: string, text: string) => {
    const path = join(dir, `${name}.bpf.c`);
    await Bun.write(path, text);
    return compileSlot(dir, path);
  };
  const hook = (text: string) => `#include "tcpx_ext.h"\n${text}\n`;
  const sockops = (cases: string, before = "") => `#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
${before}
SEC("sockops") int prog(struct bpf_sock_ops *ctx)
{
	int one = 1, op = ctx->op;
	(void)one;
	switch (op) {
${cases}
	}
	return 1;
}
char LICENSE[] SEC("license") = "GPL";
`;
  const NODELAY = "bpf_setsockopt(ctx, 6, 1, &one, sizeof(one));";

  beforeAll(async () => {
    if (!clang.ok) return;
    dir = mkdtempSync(join(tmpdir(), "tcpx-guard-"));
    extension = await compiled(
      "bad",
      hook(`struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __type(key, int); __type(value, long); } few SEC(".maps");
static __attribute__((noinline)) int helper(struct bpf_sock_ops *ctx)
{
	int one = 1, key = 0;
	bpf_map_lookup_elem(&few, &key);
	return ${NODELAY}
}
TCPX_HOOK(say) { return arg > 5 ? helper(ctx) : bpf_store_hdr_opt(ctx, &arg, 4, 0); }
TCPX_HOOK(established)
{
	if (arg)
		tcpx_setsockopt(6, 1, 1);
	else
		tcpx_setsockopt(0, 1, 4);
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | 1);
	return 0;
}`),
    );
    program = await compiled(
      "mine",
      sockops(`	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		bpf_sock_ops_cb_flags_set(ctx, 0x40);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		${NODELAY}
		break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		return 2;`),
    );
  }, 60_000);
  afterAll(() => dir && rmSync(dir, { recursive: true }));

  withClang("extensions that do nothing of it have no problems", async () => {
    for (const name of ["pace", "grade", "note", "every"])
      expect([name, guardProblems(await compileSlot(dir, slotSource(name)))]).toEqual([name, []]);
  });

  withClang(
    "in an extension: nodelay, the mask, options past tcpx, each with function, line and way out",
    () => {
      expect(guardProblems(extension)).toEqual([
        expect.stringMatching(/^bad\.bpf\.c:7: helper\(\) sets TCP_NODELAY: .*; leave it to applications$/),
        expect.stringMatching(
          /^bad\.bpf\.c:9: hook say calls bpf_store_hdr_opt\(\), .*: use tcpx_put8\(\) and/,
        ),
        expect.stringMatching(/^bad\.bpf\.c:13: hook established sets TCP_NODELAY: /),
        expect.stringMatching(
          /^bad\.bpf\.c:16: hook established sets the callback flags, .*: use tcpx_want\(\) and/,
        ),
      ]);
      expect(() => guarded("extension bad", extension)).toThrow(
        /^extension bad: bad\.bpf\.c:7: helper\(\) sets/,
      );
    },
  );

  withClang("in a whole program: a mask that is a constant, and nodelay beside header options", async () => {
    expect(guardProblems(program)).toEqual([
      expect.stringMatching(
        /^mine\.bpf\.c:\d+: prog\(\) sets TCP_NODELAY in a program that has callbacks for header/,
      ),
      expect.stringMatching(
        /^mine\.bpf\.c: prog\(\) overwrites the callback flags of other programs with 0x40: |^mine\.bpf\.c:\d+: prog\(\) overwrites/,
      ),
    ]);
  });

  withClang("what a whole program may do", async () => {
    const kept = "bpf_sock_ops_cb_flags_set(ctx, (ctx->bpf_sock_ops_cb_flags & ~4) | 0x40);";
    const cases = [
      sockops(`	case BPF_SOCK_OPS_TCP_CONNECT_CB: ${kept} break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB: return bpf_store_hdr_opt(ctx, &one, 4, 0);`),
      sockops(`	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB: ${NODELAY} break;
	case BPF_SOCK_OPS_STATE_CB: return 3;`),
      sockops(
        `	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB: bpf_setsockopt(ctx, op > 13 ? 0 : 6, op > 13 ? 1 : 2, &one, 4);`,
      ),
    ];
    for (const [i, text] of cases.entries())
      expect([i, guardProblems(await compiled(`may${i}`, text))]).toEqual([i, []]);
  });

  withClang("nodelay in a function that a program with header options calls", async () => {
    const helper = `static __attribute__((noinline)) int deep(struct bpf_sock_ops *ctx) { int one = 1; return ${NODELAY} }
static __attribute__((noinline)) int shallow(struct bpf_sock_ops *ctx) { return deep(ctx) + 1; }`;
    const text = sockops(
      `	case BPF_SOCK_OPS_RTT_CB: return shallow(ctx);
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB: return bpf_reserve_hdr_opt(ctx, 4, 0);`,
      helper,
    );
    expect(guardProblems(await compiled("deep", text))).toEqual([
      expect.stringMatching(/^deep\.bpf\.c:3: deep\(\) sets TCP_NODELAY in a program/),
    ]);
  });

  withClang(
    "maps: too many, too large, too much of each socket, pinned; at the limit they are taken",
    async () => {
      const map = (name: string, type: string, entries: number, value: string, more = "") =>
        `struct { __uint(type, ${type}); __uint(max_entries, ${entries}); __type(key, int); __type(value, ${value}); ${more} } ${name} SEC(".maps");`;
      const storage = (bytes: number, more = "") =>
        `struct v { char x[${bytes}]; };\n${map("kept", "BPF_MAP_TYPE_SK_STORAGE", 0, "struct v", `__uint(map_flags, 1); ${more}`)}`;
      const many = (n: number) =>
        Array.from({ length: n }, (_, i) => map(`m${i}`, "BPF_MAP_TYPE_ARRAY", 1, "int")).join("\n");
      const MIB = (64 << 20) / 16;
      const HOOK = "TCPX_HOOK(established) { return 0; }";
      for (const [i, [text, problem]] of (
        [
          [many(16), undefined],
          [many(17), /^it has 17 maps, and 16 are the most: put several into one$/],
          [map("big", "BPF_MAP_TYPE_HASH", MIB, "struct { long x; int y[0]; }"), undefined],
          [
            map("big", "BPF_MAP_TYPE_HASH", 2 * MIB, "long"),
            /^its maps have 96\.0 MiB \(entries by key and value\), and 64\.0 MiB are the most: lower max_entries of big$/,
          ],
          [map("cpus", "BPF_MAP_TYPE_PERCPU_ARRAY", MIB >> 1, "long"), /^its maps have 72\.0 MiB/],
          [
            `struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 134217728); } ring SEC(".maps");`,
            /^its maps have 128\.0 MiB/,
          ],
          ["char table[65 << 20];", /^its maps have 65\.0 MiB/],
          [storage(2048), undefined],
          [storage(2049), /^map kept keeps 2049 bytes of each socket, and 2048 are the most/],
          [storage(8, "__uint(pinning, 1);"), /^map kept is pinned by its name/],
        ] as const
      ).entries()) {
        const found = guardProblems(await compiled(`maps${i}`, hook(`${text}\n${HOOK}`)), "extension", 4);
        expect([i, found]).toEqual([i, problem ? [expect.stringMatching(problem)] : []]);
      }
    },
  );

  test("what is no object for BPF is one problem", async () => {
    for (const bytes of [new Uint8Array(0), new Uint8Array(1 << 20), Buffer.from("\x7fELF\x02\x01\x01")])
      expect(guardProblems(bytes)).toEqual(["it is no object file (ELF)"]);
    expect(guardProblems(await Bun.file("/proc/self/exe").slice(0, 4096).bytes())).toEqual([
      expect.stringMatching(/^it is for another machine/),
    ]);
    expect(guardProblems(new Uint8Array((16 << 20) + 1))).toEqual(["it has more than 16 MiB"]);
  });

  withClang(
    "damaged anywhere, an object is a list of lines in a short time, and nothing else happens",
    () => {
      let unreadable = 0;
      let slowest = 0;
      for (const bytes of damagedCopies([extension, program], 4000)) {
        const begin = performance.now();
        const problems = guardProblems(bytes);
        slowest = Math.max(slowest, performance.now() - begin);
        for (const line of problems) expect(line).toMatch(/^[\x20-\x7e]+$/);
        if (problems[0]?.startsWith("it ")) unreadable++;
      }
      expect(unreadable).toBeGreaterThan(400);
      expect(unreadable).toBeLessThan(3600);
      expect(slowest).toBeLessThan(2000);
    },
  );

  withClang("code that is looked at without an end is given up", () => {
    // each symbol is a function in one long chain of branches
    const bytes = Buffer.from(program);
    const size = 1 << 20;
    const grown = Buffer.concat([bytes, Buffer.alloc(size, Buffer.from([0x55, 2, 2, 0, 7, 0, 0, 0]))]);
    const sections = Number(grown.readBigUInt64LE(40));
    const headers = Array.from({ length: grown.readUInt16LE(60) }, (_, i) => sections + i * 64);
    const isCode = (at: number) =>
      (grown.readUInt32LE(at + 8) & 4) !== 0 && grown.readBigUInt64LE(at + 32) > 0n;
    const code = headers.findIndex(isCode);
    grown.writeBigUInt64LE(BigInt(bytes.length), headers[code]! + 24);
    grown.writeBigUInt64LE(BigInt(size), headers[code]! + 32);
    const table = headers.find((at) => grown.readUInt32LE(at + 4) === 2)!;
    const symbols = Number(grown.readBigUInt64LE(table + 24));
    for (let i = 1; i < Number(grown.readBigUInt64LE(table + 32)) / 24; i++) {
      grown[symbols + i * 24 + 4] = 2;
      grown.writeUInt16LE(code, symbols + i * 24 + 6);
      grown.writeBigUInt64LE(BigInt(i * 8), symbols + i * 24 + 8);
    }
    const begin = process.cpuUsage();
    expect(guardProblems(grown)).toEqual(["it has more code than can be looked at"]);
    expect(process.cpuUsage(begin).user / 1000).toBeLessThan(10_000);
  });
});
