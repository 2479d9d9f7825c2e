// SPDX-License-Identifier: MIT
// The linker for objects that others have made: what it links, and what it does not take. Nothing of the kernel is
// touched by it, so an object that is damaged anywhere may at most be refused.

import type { Pointer } from "bun:ffi";
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { join } from "node:path";
import type { TcpxError } from "../../cli/base/errors.ts";
import { bridge } from "../../cli/bridge/bridge.ts";
import { linkObjects } from "../../cli/bridge/link.ts";
import { buildObjects } from "../../scripts/build.ts";
import { run } from "../../scripts/lib/run.ts";
import { testIf } from "../support/requires.ts";
import { compileSlot, SLOT_NAMES, slotSource } from "../support/slot-objects.ts";
import { c, childArgv, clang, dir, EINVAL, so, z } from "./bridge.ts";

const withClang = testIf(clang !== null, "clang");
const HOOKS =
  "listen start say say_syn_ack see promise decide answered established again rtt rto state reply judge live_set live_undo";
const ROOM = 4 << 20;

describe("the linker", () => {
  let core: Uint8Array;
  let good: Uint8Array[];
  let linker: Pointer;

  beforeAll(async () => {
    core = await Bun.file(join(await buildObjects(), "tcpx-slots.bpf.o")).bytes();
    good = await Promise.all(SLOT_NAMES.map((name) => compileSlot(dir, slotSource(name))));
  }, 120_000);
  afterAll(() => c.tcpx_linker_close(null));

  function begin(): void {
    const out = new BigUint64Array(1);
    expect(c.tcpx_linker_new(core, BigInt(core.length), out)).toBe(0);
    linker = Number(out[0]) as Pointer;
  }

  function why(): string {
    const out = Buffer.alloc(600);
    return out.toString("utf8", 0, c.tcpx_linker_why(linker, out, out.length));
  }

  const has = new Uint32Array(1);
  const add = (bytes: Uint8Array, slot: number, name = "it") =>
    c.tcpx_linker_add(linker, bytes, BigInt(bytes.length), slot, z(name), z(HOOKS), has);

  function link(): Uint8Array {
    const out = new Uint8Array(ROOM);
    const size = c.tcpx_linker_link(linker, out, BigInt(ROOM));
    expect([size > 0, why()]).toEqual([true, ""]);
    return out.subarray(0, size);
  }

  /** Is refused for this; the linker goes on without it. */
  function refused(bytes: Uint8Array, text: string | RegExp, slot = 0): void {
    begin();
    try {
      expect(add(bytes, slot)).toBe(EINVAL);
      expect(why()).toMatch(text);
      expect(why()).not.toContain("\n");
      expect([add(good[0]!, slot), why()]).toEqual([0, ""]);
      link();
    } finally {
      c.tcpx_linker_close(linker);
    }
  }

  const source = (text: string) => `#include "tcpx_ext.h"\n${text}\n`;
  let files = 0;
  async function compiled(text: string, ...flags: string[]): Promise<Uint8Array> {
    const path = join(dir, `case${files++}.bpf.c`);
    await Bun.write(path, source(text));
    return compileSlot(dir, path, ...flags);
  }
  const HOOK = "TCPX_HOOK(established) { return 0; }";

  async function symbols(bytes: Uint8Array): Promise<string[]> {
    const path = join(dir, `linked${files++}.o`);
    await Bun.write(path, bytes);
    const out = await run(["llvm-objdump", "-t", path]);
    return out.split("\n").flatMap((line) => /g\s+F? .*?(tcpx1_slot\d\w+)$/.exec(line)?.[1] ?? []);
  }

  /** Where a constant begins in .rodata, and its bytes. */
  async function placeOf(object: string, name: string): Promise<[number, number]> {
    const out = await run(["llvm-objdump", "-t", object]);
    const [, offset, size] = new RegExp(`^(\\w+) g +O \\.rodata\\s+(\\w+) ${name}$`, "m").exec(out)!;
    return [Number.parseInt(offset!, 16), Number.parseInt(size!, 16)];
  }

  withClang("links objects, each in its slot, and says which hooks they have", async () => {
    begin();
    expect([add(good[0]!, 0, "pace"), has[0]]).toEqual([0, (1 << 8) | (1 << 9) | (1 << 15) | (1 << 16)]);
    expect([add(good[1]!, 7, "grade"), has[0]]).toEqual([0, (1 << 5) | (1 << 6) | (1 << 7)]);
    expect(add(good[0]!, 3, "pace again")).toBe(0);
    const names = await symbols(link());
    for (const hook of ["slot0_established", "slot7_decide", "slot3_again"])
      expect(names).toContain(`tcpx1_${hook}`);
    c.tcpx_linker_close(linker);
  });

  withClang(
    "what stands in .rodata of ours is first, and slots behind config: constants are put there",
    async () => {
      const path = join(dir, "core.o");
      await Bun.write(path, core);
      begin();
      add(
        await compiled(
          `static const volatile int table[9] = {1, 2, 3};\nTCPX_HOOK(established) { return table[arg & 7]; }`,
        ),
        1,
      );
      const linked = join(dir, "with-rodata.o");
      await Bun.write(linked, link());
      c.tcpx_linker_close(linker);
      for (const of of [path, linked]) {
        const [config, slots] = [await placeOf(of, "config"), await placeOf(of, "slots")];
        expect(config[0]).toBe(0);
        expect(slots[0]).toBe(config[1]!);
      }
    },
  );

  withClang("so they do for the listing, and for connections that exist", async () => {
    for (const [object, behind] of [
      ["list-slots", "slots"],
      ["live-slots", "slot"],
    ]) {
      const path = join(await buildObjects(), `${object}.bpf.o`);
      const [config, next] = [await placeOf(path, "config"), await placeOf(path, behind!)];
      expect([config[0], next[0]]).toEqual([0, config[1]!]);
    }
  });

  withClang("all hooks and all names that version 1 has, which may never go", async () => {
    begin();
    expect([add(await compileSlot(dir, slotSource("every")), 2), has[0]]).toEqual([0, (1 << 17) - 1]);
    link();
    c.tcpx_linker_close(linker);
  });

  withClang("what is no object for it", async () => {
    refused(new Uint8Array(1), /^it is no object file/);
    refused(Buffer.from("#!/bin/sh\nexit 0\n"), /^it is no object file/);
    refused(new Uint8Array((1 << 20) + 1), /^it is too large/);
    refused(await Bun.file(so).bytes(), /^it is for another machine/);
    refused(new Uint8Array(500 << 20), /^it is too large for an extension$/);
    const BPF = "BPF is needed \\(clang -target bpf\\)$";
    for (const [machine, what, ...flags] of [
      ["x86_64", "x86-64"],
      ["aarch64", "arm64"],
      ["armv7", "machine 40 with 32 bits"],
      ["riscv32", "machine 243 with 32 bits"],
      ["bpfeb", "BPF of big-endian hosts", "-g"],
    ]) {
      const path = join(dir, `${machine}.o`);
      await Bun.write(join(dir, "host.c"), "int x;\n");
      const how = ["-ffreestanding", "-nostdinc", ...flags];
      await run(["clang", "-target", machine!, ...how, "-c", join(dir, "host.c"), "-o", path]);
      refused(await Bun.file(path).bytes(), new RegExp(`^it is for another machine \\(${what}\\): ${BPF}`));
    }
    const [linked, narrow] = [Buffer.from(good[0]!), Buffer.from(good[0]!)];
    linked[16] = 2;
    refused(linked, /^it is no object of a compiler \(clang -c\)$/);
    narrow[4] = 1;
    refused(narrow, /^it is for another machine \(machine 247 with 32 bits\)/);
    refused(crypto.getRandomValues(new Uint8Array(65_536)), /^it is no object file/);
    begin();
    expect(c.tcpx_linker_add(linker, good[0]!, 0n, 0, z("empty"), z(HOOKS), has)).toBe(EINVAL);
    expect(why()).toBe("empty is empty");
    expect(add(good[0]!, 8)).toBe(EINVAL);
    c.tcpx_linker_close(linker);
  });

  withClang("an object without what it has to have", async () => {
    refused(await compiled("int nothing(void);\nint nothing(void) { return 0; }"), /^it has no hook/);
    const plain = join(dir, "stripped.o");
    await Bun.write(plain, good[0]!);
    await run(["llvm-objcopy", "--remove-section=.BTF", "--remove-section=.rel.BTF", plain]);
    refused(await Bun.file(plain).bytes(), /^it has no type information/);
    refused(good[0]!.subarray(0, good[0]!.length >> 1), /^it is (?:cut off|no object file)|damaged/);
  });

  withClang("programs, and names that are tcpx's or another's", async () => {
    refused(
      await compiled(`SEC("sockops") int mine(struct bpf_sock_ops *ctx) { return 1; }\n${HOOK}`),
      /section 'sockops'/,
    );
    refused(
      await compiled(`SEC("freplace/tcpx") int mine(void *ctx) { return 1; }\n${HOOK}`),
      /section 'freplace/,
    );
    refused(
      await compiled(`int settle(struct bpf_sock_ops *ctx) { return 0; }\n${HOOK}`),
      /^it has a name that tcpx has, too: settle/,
    );
    refused(
      await compiled(
        `struct { __uint(type, 1); __uint(max_entries, 1); __type(key, int); __type(value, int); } conns SEC(".maps");\n${HOOK}`,
      ),
      /^it has a name that tcpx has, too: conns/,
    );
    refused(await compiled(`int config;\n${HOOK}`), /tcpx has, too: config/);
    refused(
      await compiled(`int tcpx1_count(struct bpf_sock_ops *ctx, __u32 s, __u32 n) { return 0; }\n${HOOK}`),
      /^it has a function in the place of one of tcpx: tcpx1_count/,
    );
    refused(
      await compiled(
        `int tcpx1_slot5_say(struct bpf_sock_ops *ctx, __u32 s, __u32 n) { return 0; }\n${HOOK}`,
      ),
      /in the place of one of tcpx: tcpx1_slot5_say/,
    );
    refused(
      await compiled("TCPX_HOOK(establish) { return 0; }"),
      /^it has a hook that this tcpx does not call: establish$/,
    );
    refused(await compiled(`__attribute__((weak)) ${HOOK}`), /^it has a hook that is no ordinary function/);
    refused(await compiled(`char LICENSE[] SEC("license") = "GPL";\n${HOOK}`), /^it has a section 'license'/);
    refused(
      await compiled(
        `static struct { __uint(type, 2); __uint(max_entries, 1); __type(key, int); __type(value, int); } own SEC(".maps");\nTCPX_HOOK(established) { int z = 0; return bpf_map_lookup_elem(&own, &z) ? 1 : 0; }`,
      ),
      /^it has a static map/,
    );
    const used = (name: string) =>
      `extern int ${name}(struct bpf_sock_ops *ctx, __u32 slot);\nTCPX_HOOK(established) { return ${name}(ctx, slot); }`;
    refused(await compiled(used("tcpx1_new")), /^it is for another tcpx: this one does not have tcpx1_new/);
    for (const [name, version] of [
      ["tcpx2_new", "2"],
      ["tcpx2_count", "2"],
      ["tcpx10_count", "10"],
      ["tcpx0_count", "0"],
      ["tcpx123456789012_count", "123456789"],
    ])
      refused(
        await compiled(used(name!)),
        new RegExp(`^it needs api ${version} of tcpx_ext\\.h; this tcpx has 1$`),
      );
    refused(
      await compiled(
        "int tcpx2_slot0_established(void *ctx);\nint tcpx2_slot0_established(void *ctx) { return 0; }",
      ),
      /^it needs api 2 of tcpx_ext\.h; this tcpx has 1$/,
    );
    refused(await compiled(used("slot_renew")), /^it calls what nobody offers: slot_renew/);
    refused(await compiled(used("tcpx1_slot2_say")), /^it is for another tcpx/);
    begin();
    const twice = await compiled(`int shared;\n${HOOK}`);
    expect(add(twice, 0, "one")).toBe(0);
    expect(add(twice, 1, "two")).toBe(EINVAL);
    expect(why()).toBe("two has a name that one has, too: shared (make it static)");
    c.tcpx_linker_close(linker);
  });

  withClang("what to do about it is said, too", async () => {
    const lib = await bridge();
    const hint = async (text: string) => {
      const objects = [{ name: "it", slot: 1, bytes: await compiled(text) }];
      const error = await linkObjects(lib, objects).catch((thrown: unknown) => thrown);
      return [(error as TcpxError).code, (error as TcpxError).hint];
    };
    expect(await hint("TCPX_HOOK(establish) { return 0; }")).toEqual([
      1,
      expect.stringMatching(/^did you mean established\? hooks are listen, start, /),
    ]);
    expect(await hint("TCPX_HOOK(qqqqqq) { return 0; }")).toEqual([
      1,
      expect.stringMatching(/^hooks are listen/),
    ]);
    expect(await hint("int tcpx2_slot0_say(void *c);\nint tcpx2_slot0_say(void *c) { return 0; }")).toEqual([
      1,
      "upgrade tcpx, or get the extension for this api",
    ]);
    expect(await hint(`SEC("sockops") int mine(struct bpf_sock_ops *ctx) { return 1; }\n${HOOK}`)).toEqual([
      1,
      "whole programs are loaded by `tcpx ext load`",
    ]);
    expect(await hint("int nothing;")).toEqual([1, "build it anew with the tcpx_ext.h of this tcpx"]);
  });

  withClang("a hook with other arguments is refused with the linker's word, on one line", async () => {
    begin();
    expect(
      add(await compiled("int tcpx1_slot0_say(void);\nint tcpx1_slot0_say(void) { return 0; }"), 2, "odd"),
    ).toBe(0);
    const out = new Uint8Array(ROOM);
    expect(c.tcpx_linker_link(linker, out, BigInt(ROOM))).toBe(EINVAL);
    expect(why()).toMatch(/^odd cannot be linked: global 'tcpx1_slot2_say': .*params/);
    expect(why()).not.toContain("\n");
    c.tcpx_linker_close(linker);
  });

  withClang(
    "cut off or changed anywhere, an object is linked or refused, and nothing else happens",
    async () => {
      const [object, base] = [join(dir, "damage.o"), join(dir, "damage-core.o")];
      await Bun.write(object, good[2]!);
      await Bun.write(base, core);
      const child = Bun.spawn(
        childArgv(`
        const { readFileSync } = require("node:fs");
        const [core, whole] = [${JSON.stringify(base)}, ${JSON.stringify(object)}].map((path) => readFileSync(path));
        const room = new Uint8Array(${ROOM}), has = new Uint32Array(1), text = Buffer.alloc(600);
        let refused = 0, linked = 0, silent = 0;
        function tried(bytes) {
          const l = Number(u64((out) => c.tcpx_linker_new(core, BigInt(core.length), out)));
          let result = c.tcpx_linker_add(l, bytes, BigInt(bytes.length), 4, z("it"), z(${JSON.stringify(HOOKS)}), has);
          if (result >= 0) result = c.tcpx_linker_link(l, room, BigInt(room.length));
          if (result >= 0) linked++; else refused++;
          if (result < 0 && c.tcpx_linker_why(l, text, text.length) <= 0) silent++;
          c.tcpx_linker_close(l);
        }
        let state = 1;
        const random = (n) => (state = Math.imul(state, 1103515245) + 12345 >>> 0) % n;
        for (let n = 0; n < 100; n++) tried(whole.subarray(0, 1 + random(whole.length - 1)));
        for (let n = 0; n < 400; n++) {
          const bytes = Buffer.from(whole);
          for (let i = 0; i < 1 + n % 3; i++) bytes[random(bytes.length)] = [0, 255, 127, random(256)][n % 4];
          tried(bytes);
        }
        console.log(JSON.stringify({ refused, linked, silent }));`),
        { stdin: "ignore", stdout: "pipe", stderr: "inherit" },
      );
      const [out, code] = [await child.stdout.text(), await child.exited];
      expect([code, child.signalCode]).toEqual([0, null]);
      const { refused: no, linked, silent } = JSON.parse(out);
      expect(no + linked).toBe(500);
      expect([no > 100, linked > 0, silent]).toEqual([true, true, 0]);
    },
    180_000,
  );
});
