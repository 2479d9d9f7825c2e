// SPDX-License-Identifier: MIT
// Programs that were there before tcpx: nginx, and a download of curl's that is under way.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { IPPROTO_TCP, TCP_USER_TIMEOUT } from "../support/constants.ts";
import {
  type Child,
  congestionOf,
  processesOf,
  type SsSocket,
  sockoptOf,
  ssInfo,
  until,
} from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import {
  CUBIC,
  ccAnswer,
  ccAsk,
  DEFAULT,
  iwAnswer,
  iwAsk,
  RequestLab,
  requestsOf,
} from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement, requirement } from "../support/requires.ts";
import { type Side, tcpxOk, trace, utoOf } from "../support/uto-lab.ts";

const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
const tool = (name: string) => requirement(name, Bun.which(name, { PATH }) !== null, `the program ${name}`);
const needs = every("all", labRequirement, captureRequirement, ...["nginx", "curl", "nft", "ss"].map(tool));
const PORT = 8080;
const SIZE = 4_000_000;
/** A download of it is still under way when everything else has been done, however slow the machine. */
const LONG = 200_000_000;

describeIf(needs.ok, needs.reason)("programs that were there before", () => {
  let r: RequestLab;
  let host: PrivateHost;

  beforeAll(async () => {
    r = await RequestLab.create();
    host = await PrivateHost.create(r.lab);
    writeFileSync(join(r.lab.dir, "file"), Buffer.alloc(SIZE, "tcpx "));
    writeFileSync(join(r.lab.dir, "long"), "");
    truncateSync(join(r.lab.dir, "long"), LONG);
    const conf = r.lab.file(
      "nginx.conf",
      `user root; worker_processes 1; daemon off; pid ${r.lab.dir}/nginx.pid;
       events { worker_connections 64; }
       http {
         access_log off; keepalive_timeout 60s; send_timeout 600s;
         client_body_temp_path ${r.lab.dir}; proxy_temp_path ${r.lab.dir}; fastcgi_temp_path ${r.lab.dir};
         uwsgi_temp_path ${r.lab.dir}; scgi_temp_path ${r.lab.dir};
         server { listen ${PORT}; listen [::]:${PORT}; root ${r.lab.dir};
                  location /slow { alias ${r.lab.dir}/long; limit_rate 500k; }
                  location /short { alias ${r.lab.dir}/file; limit_rate 500k; } }
       }`,
    );
    const nginx = Bun.which("nginx", { PATH })!;
    r.lab.spawn([nginx, "-p", r.lab.dir, "-e", "stderr", "-c", conf], r.server);
    expect(await until(async () => (await fetched("file", "--head")).includes("200 OK"))).toBe(true);
  });
  afterEach(async () => {
    await r.filter(r.client, "");
    await r.clear();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  const url = (path: string) => `http://${r.server.v4}:${PORT}/${path}`;

  function fetched(path: string, ...flags: string[]): Promise<string> {
    const argv = ["curl", "-sS", "--max-time", "20", ...flags, url(path)];
    return r.lab.exec(r.client.netns, argv, "", r.client.cgroup).catch((error) => `${error}`);
  }

  const sockets = (side: Side) =>
    ssInfo(side.netns, ["sport", "=", `${PORT}`, "or", "dport", "=", `${PORT}`]);

  /** Downloads under way, in a cgroup each; and nginx's sockets for them. */
  const downloads = (...cgroups: string[]) => downloading("slow", cgroups);

  async function downloading(path: string, cgroups: string[]): Promise<Child[]> {
    const children = cgroups.map((cgroup) =>
      r.lab.spawn(["curl", "-sS", "-o", "/dev/null", url(path)], { netns: r.client.netns, cgroup }),
    );
    const busy = async () =>
      (await sockets(r.server)).filter(({ info }) => Number(info.bytes_sent ?? 0) > 100_000).length ===
      cgroups.length;
    expect(await until(busy)).toBe(true);
    return children;
  }

  async function end(children: Child[]): Promise<void> {
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map((child) => child.exited));
    expect(await until(async () => (await sockets(r.server)).length === 0)).toBe(true);
  }

  const algorithms = (found: SsSocket[]) =>
    found.map(({ info }) => ["reno", "cubic"].filter((name) => name in info).join()).sort();

  test("nginx answers in the SYN-ACK without a restart, and says who was armed", async () => {
    await r.rule(r.client, "cc-request set cubic");
    await r.rule(r.client, "uto set 30s");
    await r.rule(r.client, "iw set 40");
    const first = await r.rule(r.server, "cc-request accept cubic");
    expect(first.json.listeners).toEqual({ supported: true, armed: 2, answer_in_syn_ack: 2, namespaces: 1 });
    expect((await r.rule(r.server, "uto set 60s")).json.listeners).toMatchObject({ armed: 0, namespaces: 0 });
    await r.rule(r.server, "uto accept --min 1s");
    await r.rule(r.server, "iw accept --max 32");
    const capture = await r.u.capture();
    expect(await fetched("file", "-o", "/dev/null")).toBe("");
    await capture.stop();
    const { client, server } = await trace(capture, PORT);
    expect([requestsOf(client[0]!), utoOf(client[0]!)]).toEqual([`${ccAsk(CUBIC)},${iwAsk(40)}`, "1c04001e"]);
    expect([requestsOf(server[0]!), utoOf(server[0]!)]).toEqual([
      `${ccAnswer(CUBIC)},${iwAnswer(32)}`,
      "1c04003c",
    ]);
    expect(await r.counted(r.client)).toMatchObject({ cc: { granted: 1 }, iw: { granted: 1 } });
    expect(await r.counted(r.server)).toMatchObject({ cc: { applied: 1 }, iw: { applied: 1 } });
  });

  test("a scope with nothing that could listen, and rules for opened connections only: nothing is armed", async () => {
    expect((await r.rule(r.client, "uto set 30s")).json.listeners).toMatchObject({
      armed: 0,
      supported: true,
    });
    expect((await r.rule(r.server, "uto set 30s --to 10.0.0.0/8")).json.listeners).toBeUndefined();
  });

  test("downloads under way: nginx's side changes and is given back; the client's rules reach one of two", async () => {
    const [one, other] = [r.lab.cgroup("one"), r.lab.cgroup("other")];
    const children = await downloads(one, other);
    const { json } = await r.rule(r.server, `cc-request set cubic --local --from ${r.client.v4} --live`);
    expect(json.live).toMatchObject({ changed_connections: 2, namespaces: 1 });
    expect(algorithms(await sockets(r.server))).toEqual(["cubic", "cubic"]);
    expect(algorithms(await sockets(r.client))).toEqual([DEFAULT.cc, DEFAULT.cc]);
    expect((await r.rule(one, "cc-request set cubic --local --live")).json.live).toMatchObject({
      changed_connections: 1,
    });
    expect(algorithms(await sockets(r.client))).toEqual(["cubic", DEFAULT.cc]);
    await r.rule(r.server, `cc-request unset --from ${r.client.v4} --live`);
    expect(algorithms(await sockets(r.server))).toEqual([DEFAULT.cc, DEFAULT.cc]);
    expect(children.map(({ exitCode }) => exitCode)).toEqual([null, null]);
    await end(children);
  });

  /** A process's only TCP socket. */
  function socketOf(pid: number): number {
    const inodes = new Set(
      readFileSync(`/proc/${pid}/net/tcp`, "utf8")
        .split("\n")
        .map((line) => line.trim().split(/\s+/)[9]),
    );
    const fds = readdirSync(`/proc/${pid}/fd`).filter((fd) =>
      inodes.has(/^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? "none"),
    );
    expect(fds).toHaveLength(1);
    return Number(fds[0]);
  }

  test("a download of curl's: both settings change under way, and all bytes arrive", async () => {
    const cgroup = r.lab.cgroup("curl");
    const [curl] = await downloading("short", [cgroup]);
    const pid = processesOf(cgroup).find((id) => readFileSync(`/proc/${id}/comm`, "utf8") === "curl\n")!;
    process.kill(pid, "SIGSTOP"); // it is in the middle for as long as the commands take
    const fd = socketOf(pid);
    const settings = async () => [
      await sockoptOf(pid, fd, IPPROTO_TCP, TCP_USER_TIMEOUT),
      await congestionOf(pid, fd),
      algorithms(await sockets(r.client)),
    ];
    expect(await settings()).toEqual([0, DEFAULT.cc, [DEFAULT.cc]]);
    for (const words of ["uto set 33s", "cc-request set cubic --local"]) {
      expect((await r.rule(cgroup, `${words} --live`)).json.live).toMatchObject({ changed_connections: 1 });
    }
    expect(await settings()).toEqual([33_000, "cubic", ["cubic"]]);
    expect(curl!.exitCode).toBeNull();
    for (const name of ["uto", "cc-request"]) await r.rule(cgroup, `${name} unset --live`);
    expect(await settings()).toEqual([0, DEFAULT.cc, [DEFAULT.cc]]);
    process.kill(pid, "SIGCONT");
    expect(await curl!.exited).toBe(0); // it fails when a byte is missing
    expect(await until(async () => (await sockets(r.server)).length === 0, 30_000)).toBe(true);
  });

  test("a black hole ends the download at the new timeout, and not another one", async () => {
    const children = await downloads(r.client.cgroup);
    const before = (await sockets(r.server))[0]!;
    expect((await r.rule(r.server, "uto set 2s --no-advertise --live")).json.live).toMatchObject({
      changed_connections: 1,
    });
    expect(before.state).toBe("ESTAB");
    await r.filter(r.client, `tcp sport ${PORT} drop`);
    await r.filter(r.server, `tcp dport ${PORT} drop`);
    // the kernel's own way takes a quarter of an hour
    expect(await until(async () => (await sockets(r.server)).length === 0, 60_000)).toBe(true);
    await r.filter(r.server, "");
    await end(children);
  });

  test("reset gives back, and says what it could not", async () => {
    const children = await downloads(r.client.cgroup);
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    const client = await r.client.peer.connect(r.server.v4, port);
    const own = (await r.server.peer.accept(listener)).fd;
    const place = ["--cgroup", r.server.cgroup, "--wait"];
    const inside = { netns: r.server.netns, json: true };
    const run = (...args: string[]) => host.ok(args, inside);
    await run("cc-request", "set", "cubic", "--local", "--live", ...place);
    await run("uto", "set", "30s", "--live", ...place);
    expect(algorithms(await sockets(r.server))).toEqual(["cubic"]);
    await r.server.peer.setopt(own, IPPROTO_TCP, TCP_USER_TIMEOUT, 7000); // the application's, from now on
    const { given_back } = (await host.reset([], inside)).json;
    expect(given_back).toMatchObject({
      supported: true,
      extensions: {
        uto: { restored: 1, kept: 1, failed: 0 },
        "cc-request": { restored: 2, kept: 0, failed: 0 },
      },
    });
    expect(await r.u.timeout(r.server, own)).toBe(7000);
    expect(algorithms(await sockets(r.server))).toEqual([DEFAULT.cc]);
    await r.client.peer.reset(client);
    await r.server.peer.close(listener);
    await end(children);
  });

  test("the text for people", async () => {
    await r.server.peer.listen(r.server.v4);
    const place = ["--cgroup", r.server.cgroup, "--wait"];
    const { stdout } = await tcpxOk(["uto", "accept", ...place]);
    expect(stdout).toContain("armed 1 listener(s) in 1 network namespace(s)\n");
    expect((await tcpxOk(["uto", "accept", ...place])).stdout).not.toContain("armed");
    await tcpxOk(["uto", "unset", ...place]);
  });
});
