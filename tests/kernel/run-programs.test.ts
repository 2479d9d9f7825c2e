// SPDX-License-Identifier: MIT
// `tcpx run` with real programs and real packets: curl against nginx, a static program, a cut path.

import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildSupport } from "../support/build.ts";
import { IPPROTO_TCP, TCP_USER_TIMEOUT } from "../support/constants.ts";
import { Peer, type Routed, sockoptOf, until } from "../support/lab.ts";
import { captureRequirement, describeIf, every, labRequirement, requirement } from "../support/requires.ts";
import { RunLab } from "../support/run-lab.ts";
import { trace, utoOf } from "../support/uto-lab.ts";

const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
const tool = (name: string) => requirement(name, Bun.which(name, { PATH }) !== null, `the program ${name}`);
const needs = every("all", labRequirement, captureRequirement, ...["nginx", "curl", "nft"].map(tool));
const PORT = 8080;

describeIf(needs.ok, needs.reason)("programs under tcpx run", () => {
  let r: RunLab;
  let path: Routed;
  let url: string;

  beforeAll(async () => {
    r = await RunLab.create();
    path = await r.lab.routed();
    const { dir } = r.lab;
    writeFileSync(join(dir, "file"), Buffer.alloc(1_000_000, "tcpx "));
    const conf = r.lab.file(
      "nginx.conf",
      `user root; worker_processes 1; daemon off; pid ${dir}/nginx.pid;
       events { worker_connections 64; }
       http { access_log off; client_body_temp_path ${dir}; proxy_temp_path ${dir}; fastcgi_temp_path ${dir};
              uwsgi_temp_path ${dir}; scgi_temp_path ${dir};
              server { listen ${PORT}; root ${dir};
                       location /slow { alias ${dir}/file; limit_rate 200k; } } }`,
    );
    const nginx = Bun.which("nginx", { PATH })!;
    r.lab.spawn([nginx, "-p", dir, "-e", "stderr", "-c", conf], {
      netns: "server",
      cgroup: r.lab.cgroup("web"),
    });
    url = `http://${path.server.v4}:${PORT}`;
    const head = ["curl", "-sSI", `${url}/file`];
    expect(await until(() => r.lab.exec("client", head).then(Boolean, () => false))).toBe(true);
  });
  afterEach(async () => expect(await r.gone()).toBe(true));
  afterAll(() => r[Symbol.asyncDispose]());

  const own = { netns: "client" };

  /** User timeouts of a process's connected sockets, as another process reads them. */
  async function timeouts(pid: number): Promise<number[]> {
    const found: number[] = [];
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      try {
        if (!readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith("socket:")) continue;
        found.push(await sockoptOf(pid, Number(fd), IPPROTO_TCP, TCP_USER_TIMEOUT));
      } catch {
        // closed meanwhile, or no TCP socket
      }
    }
    return found;
  }

  test("curl downloads from nginx: the timeout is on its socket and in its SYN, and on nobody else's", async () => {
    const capture = await r.lab.capture("client", path.client.device);
    const curl = r.start(["--uto", "20s", "--", "curl", "-sS", "-o", "/dev/null", `${url}/slow`], own);
    const other = r.lab.spawn(["curl", "-sS", "-o", "/dev/null", `${url}/slow`], { ...own, cgroup: r.home });
    expect(await until(async () => (await timeouts(curl.pid)).includes(20_000), 5000)).toBe(true);
    expect(await timeouts(other.pid)).not.toContain(20_000);
    expect([await curl.exited, await other.exited]).toEqual([0, 0]);
    await capture.stop();
    const { client } = await trace(capture, PORT);
    const syns = client.filter((packet) => packet.flags === "S").map(utoOf);
    expect(syns.sort()).toEqual(["", "1c040014"]);
  });

  test("a static program: sockets that it opens have the rule", async () => {
    const { peer } = await buildSupport();
    const server = await r.lab.peer("server", r.lab.cgroup("server"));
    const { port } = await server.listen(path.server.v4);
    const client = new Peer(r.start(["--uto", "15s", "--no-advertise", "--", peer], own));
    const fd = await client.connect(path.server.v4, port);
    expect(await sockoptOf(client.pid, fd, IPPROTO_TCP, TCP_USER_TIMEOUT)).toBe(15_000);
    process.kill(client.pid);
  });

  test("the path is cut: the command gives up after the timeout, with its own exit code", async () => {
    const server = await r.lab.peer("server", r.lab.cgroup("server"));
    const { fd, port } = await server.listen(path.server.v4);
    const upload = ["curl", "-sS", "-H", "Expect:", "-T", "-", `http://${path.server.v4}:${port}/x`];
    const curl = r.start(["--uto", "2s", "--", ...upload], own);
    await server.sink((await server.accept(fd)).fd);
    expect(await until(async () => (await timeouts(curl.pid)).includes(2000), 5000)).toBe(true);
    await path.cut();
    try {
      const at = performance.now();
      const writing = setInterval(() => curl.stdin.write("x".repeat(100)), 100);
      const code = await curl.exited;
      clearInterval(writing);
      expect(code).toBeGreaterThan(0);
      expect(performance.now() - at).toBeLessThan(10_000);
    } finally {
      await path.mend();
    }
  });
});
