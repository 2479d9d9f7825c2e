// SPDX-License-Identifier: MIT
// The lock and the kernel calls that Bun lacks.

import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CAP, capabilitySet, confinedTo, privileges } from "../support/privileges.ts";
import { run, until } from "../support/process.ts";
import { testIf } from "../support/requires.ts";
import {
  asRoot,
  c,
  child,
  childArgv,
  dir,
  EAGAIN,
  EBADF,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOTDIR,
  isRoot,
  z,
} from "./bridge.ts";

describe("the lock", () => {
  const lockDir = (name: string) => {
    const path = join(dir, name);
    mkdirSync(path);
    return path;
  };

  test("keeps a second process out until it is closed", async () => {
    const path = lockDir("lock");
    const fd = c.tcpx_flock(z(path), 1);
    expect(fd).toBeGreaterThan(0);
    const attempt = () =>
      new Response(child(`console.log(c.tcpx_flock(z(${JSON.stringify(path)}), 1))`).stdout).text();
    expect(Number(await attempt())).toBe(EAGAIN);
    expect(c.tcpx_close(fd)).toBe(0);
    expect(Number(await attempt())).toBeGreaterThan(0);
  });

  test("a waiter gets the directory that the path names when the lock is free", async () => {
    const path = lockDir("replaced");
    const fd = c.tcpx_flock(z(path), 1);
    const waiter = child(`
      console.log("waiting");
      const fd = c.tcpx_flock(z(${JSON.stringify(path)}), 0);
      console.log(require("node:fs").fstatSync(fd).ino);`);
    const reader = waiter.stdout.getReader();
    await reader.read();
    const waits = () => new RegExp(`-> FLOCK .* ${waiter.pid} `).test(readFileSync("/proc/locks", "utf8"));
    expect(await until(waits)).toBe(true);
    renameSync(path, `${path}.old`);
    mkdirSync(path);
    c.tcpx_close(fd);
    expect(Number(new TextDecoder().decode((await reader.read()).value))).toBe(statSync(path).ino);
    await waiter.exited;
  });

  test("is for directories, and not through a link", () => {
    const path = lockDir("plain");
    symlinkSync(path, `${path}.link`);
    writeFileSync(`${path}.file`, "");
    expect(c.tcpx_flock(z(`${path}.link`), 1)).toBe(ENOTDIR);
    expect(c.tcpx_flock(z(`${path}.file`), 1)).toBe(ENOTDIR);
    expect(c.tcpx_flock(z(`${path}.none`), 1)).toBe(ENOENT);
  });
});

describe("the system", () => {
  test("a congestion control is one that the kernel has or can load, or ENOENT", () => {
    expect(c.tcpx_algorithm_load(z("reno"))).toBe(0);
    expect(c.tcpx_algorithm_load(z("no-such-one"))).toBe(ENOENT);
    expect(c.tcpx_algorithm_load(null)).toBe(EINVAL);
  });

  test("capabilities are those of /proc/self/status", () => {
    const out = new BigUint64Array(1);
    expect(c.tcpx_capabilities(out)).toBe(0);
    const line = readFileSync("/proc/thread-self/status", "utf8").match(/^CapEff:\s*([0-9a-f]+)$/m)![1]!;
    expect(out[0]).toBe(BigInt(`0x${line}`));
  });

  const CAP_SYS_RESOURCE = 24n;
  const effective = new BigUint64Array(1);
  c.tcpx_capabilities(effective);
  const mayRaise = (effective[0]! >> CAP_SYS_RESOURCE) & 1n;
  testIf(mayRaise === 1n, "CAP_SYS_RESOURCE")("locked memory is unlimited afterwards", async () => {
    const script = `c.tcpx_raise_memlock(); console.log(require("node:fs").readFileSync("/proc/self/limits", "utf8"))`;
    expect(await new Response(child(script).stdout).text()).toMatch(
      /Max locked memory\s+unlimited\s+unlimited/,
    );
  });

  asRoot("network namespaces have cookies, can be made and entered", async () => {
    const script = `
      const ns = "/proc/${process.pid}/ns/net";
      const cookie = () => String(u64((out) => c.tcpx_netns_cookie(out)));
      const seen = [cookie(), c.tcpx_netns_new(), cookie()];
      seen.push(c.tcpx_packet_socket(z("lo")) > 0, c.tcpx_packet_socket(z("nothing0")), c.tcpx_packet_socket(z("x".repeat(40))));
      seen.push(c.tcpx_netns_enter(z(ns)), cookie(), c.tcpx_netns_enter(z("/nowhere")));
      console.log(JSON.stringify(seen));`;
    const seen = JSON.parse(await new Response(child(script).stdout).text());
    const own = new BigUint64Array(1);
    expect(c.tcpx_netns_cookie(own)).toBe(0);
    expect(seen[0]).toBe(String(own[0]));
    expect(seen[2]).not.toBe(seen[0]);
    expect(seen).toEqual([seen[0], 0, seen[2], true, ENODEV, ENODEV, 0, seen[0], ENOENT]);
  });

  const python = Bun.which("python3");
  testIf(isRoot && python !== null, "root and python3")(
    "reads and sets a socket option of another process",
    async () => {
      const script = `import socket, sys
s = socket.socket(); s.setsockopt(6, 18, 12345); print(s.fileno(), flush=True); sys.stdin.read()`;
      const other = Bun.spawn([python!, "-c", script], { stdin: "pipe", stdout: "pipe" });
      try {
        const fd = Number(new TextDecoder().decode((await other.stdout.getReader().read()).value));
        const value = new Int32Array(1);
        expect(c.tcpx_sockopt_of(other.pid, fd, 6, 18, value, 4)).toBe(4); // TCP_USER_TIMEOUT
        expect(value[0]).toBe(12345);
        expect(c.tcpx_sockopt_set(other.pid, fd, 6, 18, new Int32Array([54321]), 4)).toBe(0);
        expect([c.tcpx_sockopt_of(other.pid, fd, 6, 18, value, 4), value[0]]).toEqual([4, 54321]);
        expect(c.tcpx_sockopt_set(other.pid, 999, 6, 18, value, 4)).toBe(EBADF);
        expect(c.tcpx_sockopt_set(other.pid, fd, 6, 18, null, 4)).toBe(EINVAL);
        expect(c.tcpx_sockopt_of(other.pid, 999, 6, 18, value, 4)).toBe(EBADF);
        expect(c.tcpx_sockopt_of(other.pid, fd, 6, 9999, value, 4)).toBe(-92); // ENOPROTOOPT
        expect(c.tcpx_sockopt_of(-1, fd, 6, 18, value, 4)).toBe(EINVAL);
      } finally {
        other.stdin.end();
        await other.exited;
      }
    },
  );
});

describe("giving capabilities up", () => {
  const KEPT = [CAP.NET_ADMIN, CAP.SYS_PTRACE];
  const keep = `0x${capabilitySet(KEPT)}n`;
  /** What a program has that is executed afterwards, by a process that began as `wrap` says. */
  const executed = async (wrap: string[] = []) => {
    const script = `
      const before = c.tcpx_confined(${keep});
      const result = c.tcpx_confine(${keep});
      const status = Bun.spawnSync(["cat", "/proc/self/status"]).stdout.toString();
      console.log(JSON.stringify({ before, result, status }));`;
    const { before, result, status } = JSON.parse(await run([...wrap, ...childArgv(script)]));
    expect([before, result]).toEqual([0, 0]);
    return privileges(status);
  };

  asRoot("root keeps these and no others", async () => {
    expect(await executed()).toEqual([confinedTo(KEPT)]);
  });

  const nobody = (...names: string[]) => {
    const caps = names.map((name) => `+${name}`).join(",");
    const user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    return [...user, "--inh-caps", caps, "--ambient-caps", caps, "--"];
  };

  asRoot(
    "another user keeps what he has of them, where nothing but ambient ones outlives an exec",
    async () => {
      const had = nobody("net_admin", "dac_read_search", "setpcap");
      const left = capabilitySet([CAP.NET_ADMIN]);
      const [thread] = await executed(had);
      expect(thread).toEqual({
        ...confinedTo([CAP.NET_ADMIN]),
        CapInh: left,
        CapAmb: left,
        CapBnd: capabilitySet(KEPT),
      });
    },
  );

  asRoot("who may not narrow the bounding set has lost the others at once", async () => {
    const script = `console.log(c.tcpx_confined(0n), c.tcpx_confine(0n), c.tcpx_confined(0n))`;
    expect(await run([...nobody("dac_read_search"), ...childArgv(script)])).toBe("0 0 1\n");
  });
});
