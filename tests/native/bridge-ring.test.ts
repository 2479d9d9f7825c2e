// SPDX-License-Identifier: MIT
// Reading a BPF ring buffer now and then, the clock of its records, and an output that may have no reader.

import type { Pointer } from "bun:ffi";
import { expect, test } from "bun:test";
import { closeSync, constants, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { asRoot, c, clang, dir, EBADF, EINVAL, objects, withBpf, z } from "./bridge.ts";

const EPIPE = -32;

/** An iterator that writes, per socket and once at its end, a number, something longer, and the next number. */
const SOURCE = `
#define SEC(n) __attribute__((section(n), used))
struct bpf_iter__tcp;
struct { int (*type)[27]; int (*max_entries)[4096]; } ring SEC(".maps");
static long (*output)(void *ring, void *data, unsigned long size, unsigned long flags) = (void *)130;
unsigned long number = 0;
SEC("iter/tcp") int emit(struct bpf_iter__tcp *ctx)
{
	unsigned long n = number, longer[2] = {};
	output(&ring, &n, sizeof(n), 0);
	output(&ring, longer, sizeof(longer), 0);
	n++;
	output(&ring, &n, 4, 0);
	number = n + 1;
	return 0;
}
char _license[] SEC("license") = "GPL";
`;

function load(): Pointer {
  const [source, object] = [join(dir, "ring.bpf.c"), join(dir, "ring.bpf.o")];
  writeFileSync(source, SOURCE);
  const done = Bun.spawnSync([clang!, "-g", "-O2", "-target", "bpf", "-c", source, "-o", object]);
  if (!done.success) throw new Error(done.stderr.toString());
  const bytes = readFileSync(object);
  const out = new BigUint64Array(1);
  expect(c.tcpx_object_open(bytes, bytes.length, z("ring"), out)).toBe(0);
  const handle = Number(out[0]) as Pointer;
  objects.push(handle);
  expect(c.tcpx_object_load(handle)).toBe(0);
  return handle;
}

withBpf("records are taken in order, as many as there is room for; longer ones are dropped", async () => {
  const object = load();
  const inside = ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec python3 -c "$0"'];
  const script =
    "import socket,sys; s=[socket.create_server(('127.0.0.1', p)) for p in (7701,)]; print('up', flush=True); sys.stdin.read()";
  const there = Bun.spawn([...inside, script], { stdin: "pipe", stdout: "pipe" });
  const out = new BigUint64Array(1);
  expect(c.tcpx_ring_open(c.tcpx_object_map_fd(object, z("ring")), out)).toBe(0);
  const ring = Number(out[0]) as Pointer;
  try {
    await there.stdout.getReader().read();
    const emit = () =>
      c.tcpx_iterate(c.tcpx_object_prog_fd(object, z("emit")), z(`/proc/${there.pid}/ns/net`), null, 0);
    const took = new Uint32Array(16);
    const take = (cap: number) => c.tcpx_ring_take(ring, took, 8, cap);
    expect(take(64)).toBe(0);
    expect(emit()).toBe(0);
    expect([take(0), take(7)]).toEqual([0, 0]);
    expect([take(8), ...took.subarray(0, 2)]).toEqual([8, 0, 0]);
    expect([take(64), ...took.subarray(0, 4)]).toEqual([16, 1, 2, 0, 3]);
    expect(take(64)).toBe(0);
    expect(emit()).toBe(0);
    // with less than a longest one of room left no other is looked at
    expect([take(19), ...took.subarray(0, 3)]).toEqual([12, 4, 0, 5]);
    expect([take(64), ...took.subarray(0, 3)]).toEqual([12, 6, 0, 7]);
    expect(c.tcpx_ring_take(ring, null, 8, 8)).toBe(EINVAL);
    expect(c.tcpx_ring_take(ring, took, 0, 8)).toBe(EINVAL);
    expect(c.tcpx_ring_take(ring, took, 8, 2 ** 31)).toBe(EINVAL);
  } finally {
    c.tcpx_ring_close(ring);
    there.stdin.end();
    await there.exited;
  }
});

asRoot("what is no ring is refused", () => {
  const out = new BigUint64Array(1);
  expect(c.tcpx_ring_open(-1, out)).toBe(EBADF);
  expect(c.tcpx_ring_open(999, out)).toBe(EBADF);
  expect(c.tcpx_ring_open(0, null)).toBe(EINVAL);
  const file = openSync("/dev/null", "r");
  expect(c.tcpx_ring_open(file, out)).toBeLessThan(0);
  closeSync(file);
  expect(c.tcpx_ring_take(null, out, 8, 1)).toBe(EINVAL);
  c.tcpx_ring_close(null);
});

test("the clock goes on", () => {
  const [a, b] = [new BigUint64Array(1), new BigUint64Array(1)];
  expect([c.tcpx_monotonic(a), c.tcpx_monotonic(b), c.tcpx_monotonic(null)]).toEqual([0, 0, EINVAL]);
  expect(b[0]).toBeGreaterThanOrEqual(a[0]!);
});

/** Both ends of a new pipe in this process, the writing one as an output is given to us: it would block. */
function pipe(): [number, number] {
  const path = join(dir, "pipe");
  expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
  const reading = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writing = openSync(path, constants.O_WRONLY);
  rmSync(path);
  return [reading, writing];
}

test("an output: with room, full, without a reader, none at all", () => {
  const text = Buffer.alloc(100_000, "tcpx ");
  const [reading, writing] = pipe();
  const write = () => [c.tcpx_writable(writing), c.tcpx_write_now(writing, text, text.length)];
  const [, room] = write();
  expect([room! >= 4096 && room! < text.length, room! % 4096]).toEqual([true, 0]);
  expect(write()).toEqual([0, 0]);
  expect(readSync(reading, Buffer.alloc(4096))).toBe(4096);
  expect(write()).toEqual([1, 4096]); // in what has been read, and no more
  expect(write()).toEqual([0, 0]);
  closeSync(reading);
  expect(write()).toEqual([EPIPE, EPIPE]);
  closeSync(writing);
  const none = 2 ** 30; // above every limit, so it is nobody's, whatever else this process opens
  expect([c.tcpx_writable(none), c.tcpx_write_now(none, text, 1)]).toEqual([EBADF, EBADF]);
  const file = openSync(join(dir, "file"), "w");
  expect(c.tcpx_writable(file)).toBe(1);
  expect(c.tcpx_write_now(file, text, text.length)).toBe(text.length);
  expect(readFileSync(join(dir, "file"))).toEqual(text);
  expect([c.tcpx_write_now(file, text, 0), c.tcpx_write_now(file, null, 1)]).toEqual([0, EINVAL]);
  closeSync(file);
});
