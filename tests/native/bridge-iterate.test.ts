// SPDX-License-Identifier: MIT
// Running a socket iterator in another network namespace.

import type { Pointer } from "bun:ffi";
import { expect } from "bun:test";
import { readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { c, clang, dir, EBADF, EINVAL, ENOENT, objects, withBpf, z } from "./bridge.ts";

const ENOSPC = -28;

const SOURCE = `
#define SEC(n) __attribute__((section(n), used))
struct seq_file; struct bpf_iter_meta { struct seq_file *seq; } __attribute__((preserve_access_index));
struct sock_common { unsigned short skc_num; } __attribute__((preserve_access_index));
struct bpf_iter__tcp { struct bpf_iter_meta *meta; struct sock_common *sk_common; } __attribute__((preserve_access_index));
static long (*seq_write)(struct seq_file *m, const void *data, unsigned int len) = (void *)127;
SEC("iter/tcp") int ports(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	unsigned short port;
	if (!sk) return 0;
	port = sk->skc_num;
	seq_write(ctx->meta->seq, &port, sizeof(port));
	return 0;
}
char _license[] SEC("license") = "GPL";
`;

function program(): number {
  const [source, object] = [join(dir, "iter.bpf.c"), join(dir, "iter.bpf.o")];
  writeFileSync(source, SOURCE);
  const done = Bun.spawnSync([clang!, "-g", "-O2", "-target", "bpf", "-c", source, "-o", object]);
  if (!done.success) throw new Error(done.stderr.toString());
  const bytes = readFileSync(object);
  const out = new BigUint64Array(1);
  expect(c.tcpx_object_open(bytes, bytes.length, z("iter"), out)).toBe(0);
  const handle = Number(out[0]) as Pointer;
  objects.push(handle);
  expect(c.tcpx_object_load(handle)).toBe(0);
  return c.tcpx_object_prog_fd(handle, z("ports"));
}

withBpf(
  "an iterator sees the sockets of the namespace that it is told, and we stay where we are",
  async () => {
    const prog = program();
    const script =
      "import socket,sys; s=[socket.create_server(('127.0.0.1', p)) for p in (7701, 7702, 7703)]; print('up', flush=True); sys.stdin.read()";
    const inside = ["unshare", "-n", "sh", "-c", `ip link set lo up; exec python3 -c "${script}"`];
    const there = Bun.spawn(inside, { stdin: "pipe", stdout: "pipe" });
    try {
      await there.stdout.getReader().read();
      const path = z(`/proc/${there.pid}/ns/net`);
      const before = readlinkSync("/proc/thread-self/ns/net");
      const ports = new Uint16Array(64);
      expect(c.tcpx_iterate(prog, path, ports, ports.byteLength)).toBe(6);
      expect([...ports.subarray(0, 3)].sort()).toEqual([7701, 7702, 7703]);
      expect(readlinkSync("/proc/thread-self/ns/net")).toBe(before);
      expect(c.tcpx_iterate(prog, path, ports, 6)).toBe(6);
      expect(c.tcpx_iterate(prog, path, ports, 4)).toBe(ENOSPC);
      expect(c.tcpx_iterate(prog, path, null, 0)).toBe(ENOSPC);
      const here = c.tcpx_iterate(prog, null, new Uint8Array(1 << 20), 1 << 20);
      expect(here).toBeGreaterThanOrEqual(0);
      expect(c.tcpx_iterate(prog, z("/proc/self/ns/none"), ports, 64)).toBe(ENOENT);
      expect(c.tcpx_iterate(prog, z("/proc/self/ns/mnt"), ports, 64)).toBe(EINVAL);
      expect(c.tcpx_iterate(-1, null, ports, 64)).toBe(EBADF);
      expect(c.tcpx_iterate(prog, path, null, 64)).toBe(EINVAL);
      expect(readlinkSync("/proc/thread-self/ns/net")).toBe(before);
    } finally {
      there.stdin.end();
      await there.exited;
    }
  },
);
