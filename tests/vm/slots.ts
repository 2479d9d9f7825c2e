// SPDX-License-Identifier: MIT
// The program with an extension that tcpx does not ship in every slot, linked on the host (tests/support/slot-kit.ts):
// verifiers take it, and three of the eight are tried.

import { dlopen, FFIType, type Pointer } from "bun:ffi";
import { closeSync, openSync, readFileSync } from "node:fs";
import { SO_MARK, SOL_SOCKET } from "../support/constants.ts";
import { type Connection, until } from "../support/lab.ts";
import { type Result, works } from "./report.ts";
import { check, Pair } from "./support.ts";

const KIT = process.env.TCPX_SLOT_KIT ?? "/tcpx/slots";
const SOCK_OPS = 3;
const SO_PRIORITY = 12;
const SO_MAX_PACING_RATE = 47;
/** What the rules of the kit give a connection: rate, request granted at both ends, and what the peer said. */
const WANTED = {
  pacing: 1_500_000,
  priorities: [4, 4],
  mark: 0x01020304,
  timeouts: { client: 20_000, server: 20_000 },
};

const { i32, u32, u64, ptr } = FFIType;
const SYMBOLS = {
  tcpx_raise_memlock: { args: [], returns: i32 },
  tcpx_log_take: { args: [ptr, i32], returns: i32 },
  tcpx_object_open: { args: [ptr, u64, ptr, ptr], returns: i32 },
  tcpx_object_rodata_begin: { args: [ptr, ptr, u64], returns: i32 },
  tcpx_object_max_entries: { args: [ptr, ptr, u32], returns: i32 },
  tcpx_object_value_size: { args: [ptr, ptr, u32], returns: i32 },
  tcpx_object_autoload: { args: [ptr, ptr, i32], returns: i32 },
  tcpx_object_load: { args: [ptr], returns: i32 },
  tcpx_object_prog_fd: { args: [ptr, ptr], returns: i32 },
  tcpx_object_map_fd: { args: [ptr, ptr], returns: i32 },
  tcpx_object_close: { args: [ptr], returns: FFIType.void },
  tcpx_map_update_batch: { args: [i32, ptr, ptr, u32, u64], returns: i32 },
  tcpx_link_create: { args: [i32, i32, i32], returns: i32 },
  tcpx_close: { args: [i32], returns: i32 },
} as const;

const z = (text: string) => Buffer.from(`${text}\0`);

/** Loads the kit's program with its rules. */
function load() {
  const { symbols: c } = dlopen(`${KIT}/libtcpx.so`, SYMBOLS);
  const kit = JSON.parse(readFileSync(`${KIT}/kit.json`, "utf8"));
  const [bytes, rodata] = [readFileSync(`${KIT}/linked.o`), Buffer.from(kit.rodata, "hex")];
  const out = new BigUint64Array(1);
  c.tcpx_raise_memlock();
  check(c.tcpx_object_open(bytes, BigInt(bytes.length), z("tcpx"), out) === 0, "the object does not open");
  const object = Number(out[0]) as Pointer;
  c.tcpx_object_rodata_begin(object, rodata, BigInt(rodata.length));
  c.tcpx_object_autoload(object, z("hold_reset"), 0);
  const [numbers, profiles] = [new Uint32Array(kit.numbers), Buffer.from(kit.profiles, "hex")];
  const count = profiles.length / kit.profile;
  c.tcpx_object_value_size(object, z("profiles"), kit.profile);
  c.tcpx_object_max_entries(object, z("profiles"), count);
  c.tcpx_object_max_entries(object, z("policies"), numbers.length);
  const before = performance.now();
  const result = c.tcpx_object_load(object);
  const ms = performance.now() - before;
  if (result < 0) {
    const log = Buffer.alloc(1 << 20);
    console.log(log.toString("utf8", 0, c.tcpx_log_take(log, log.length)).slice(-4000));
    throw new Error(`the kernel refused it (${result})`);
  }
  const map = (name: string) => c.tcpx_object_map_fd(object, z(name));
  const indexes = Uint32Array.from({ length: count }, (_, i) => i);
  check(c.tcpx_map_update_batch(map("profiles"), indexes, profiles, count, 0n) === 0, "no profiles");
  const keys = Buffer.from(kit.keys, "hex");
  check(c.tcpx_map_update_batch(map("policies"), keys, numbers, numbers.length, 0n) === 0, "no policies");
  const program = c.tcpx_object_prog_fd(object, z("tcpx"));
  const verified = readFileSync(`/proc/self/fdinfo/${program}`, "utf8").match(/verified_insns:\s*(\d+)/)?.[1];
  return { c, object, program, ms, verified };
}

async function seen(pair: Pair, { client, server }: Connection) {
  const read = (side: "client" | "server", fd: number, name: number) =>
    pair[side].peer.getopt(fd, SOL_SOCKET, name);
  return {
    pacing: await read("client", client, SO_MAX_PACING_RATE),
    priorities: [await read("client", client, SO_PRIORITY), await read("server", server, SO_PRIORITY)],
    mark: await read("server", server, SO_MARK),
    timeouts: await pair.timeouts({ client, server } as Connection),
  };
}

export async function slots(): Promise<Result> {
  await using pair = await Pair.create();
  const { c, object, program, ms, verified } = load();
  const links = [pair.client, pair.server].map(({ cgroup }) => {
    const fd = openSync(cgroup, "r");
    const link = c.tcpx_link_create(program, fd, SOCK_OPS);
    closeSync(fd);
    return link;
  });
  try {
    check(
      links.every((link) => link >= 0),
      `attaching failed: ${links}`,
    );
    for (const family of ["v4", "v6"] as const) {
      const connection = await pair.connect(pair.server[family]);
      let found: unknown;
      await until(async () => {
        found = await seen(pair, connection);
        return Bun.deepEquals(found, WANTED);
      });
      check(Bun.deepEquals(found, WANTED), `${family}: ${JSON.stringify(found)}`);
    }
  } finally {
    for (const link of links) if (link >= 0) c.tcpx_close(link);
    c.tcpx_object_close(object);
  }
  return works(`8 objects, ${verified ?? "?"} instructions verified in ${ms.toFixed(0)} ms`);
}
