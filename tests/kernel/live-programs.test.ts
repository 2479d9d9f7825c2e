// SPDX-License-Identifier: MIT
// Programs that were there before tcpx: nginx, and a download of curl's that is under way.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Child, type SsSocket, ssInfo, until } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { CUBIC, ccAnswer, ccAsk, DEFAULT, RequestLab, requestsOf } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement, requirement } from "../support/requires.ts";
import { type Side, tcpxOk, trace, utoOf } from "../support/uto-lab.ts";

const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
const tool = (name: string) => requirement(name, Bun.which(name, { PATH }) !== null, `the program ${name}`);
const needs = every("all", labRequirement, captureRequirement, ...["nginx", "curl", "nft", "ss"].map(tool));
const PORT = 8080;
const SIZE = 4_000_000;

describeIf(needs.ok, needs.reason)("programs that were there before", () => {
  let r: RequestLab;
  let host: PrivateHost;

  beforeAll(async () => {
    r = await RequestLab.create();
    host = await PrivateHost.create(r.lab);
    writeFileSync(join(r.lab.dir, "file"), Buffer.alloc(SIZE, "tcpx "));
    const conf = r.lab.file(
      "nginx.conf",
      `user root; worker_processes 1; daemon off; pid ${r.lab.dir}/nginx.pid;
       events { worker_connections 64; }
       http {
         access_log off; keepalive_timeout 60s;
         client_body_temp_path ${r.lab.dir}; proxy_temp_path ${r.lab.dir}; fastcgi_temp_path ${r.lab.dir};
         uwsgi_temp_path ${r.lab.dir}; scgi_temp_path ${r.lab.dir};
         server { listen ${PORT}; listen [::]:${PORT}; root ${r.lab.dir};
                  location /slow { alias ${r.lab.dir}/file; limit_rate 500k; } }
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
  async function downloads(...cgroups: string[]): Promise<Child[]> {
    const children = cgroups.map((cgroup) =>
      r.lab.spawn(["curl", "-sS", "-o", "/dev/null", url("slow")], { netns: r.client.netns, cgroup }),
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
    const first = await r.rule(r.server, "cc-request accept cubic");
    expect(first.json.listeners).toEqual({ supported: true, armed: 2, answer_in_syn_ack: 2, namespaces: 1 });
    expect((await r.rule(r.server, "uto set 60s")).json.listeners).toMatchObject({ armed: 0, namespaces: 0 });
    await r.rule(r.server, "uto accept --min 1s");
    const capture = await r.u.capture();
    expect(await fetched("file", "-o", "/dev/null")).toBe("");
    await capture.stop();
    const { client, server } = await trace(capture, PORT);
    expect([requestsOf(client[0]!), utoOf(client[0]!)]).toEqual([ccAsk(CUBIC), "1c04001e"]);
    expect([requestsOf(server[0]!), utoOf(server[0]!)]).toEqual([ccAnswer(CUBIC), "1c04003c"]);
    expect((await r.counted(r.client)).cc).toMatchObject({ granted: 1 });
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
    expect(json.live).toMatchObject({ changed: 2, namespaces: 1 });
    expect(algorithms(await sockets(r.server))).toEqual(["cubic", "cubic"]);
    expect(algorithms(await sockets(r.client))).toEqual([DEFAULT.cc, DEFAULT.cc]);
    expect((await r.rule(one, "cc-request set cubic --local --live")).json.live).toMatchObject({
      changed: 1,
    });
    expect(algorithms(await sockets(r.client))).toEqual(["cubic", DEFAULT.cc]);
    await r.rule(r.server, `cc-request unset --from ${r.client.v4} --live`);
    expect(algorithms(await sockets(r.server))).toEqual([DEFAULT.cc, DEFAULT.cc]);
    expect(children.map(({ exitCode }) => exitCode)).toEqual([null, null]);
    await end(children);
  });

  test("a black hole ends the download at the new timeout, and not another one", async () => {
    const children = await downloads(r.client.cgroup);
    const before = (await sockets(r.server))[0]!;
    expect((await r.rule(r.server, "uto set 2s --no-advertise --live")).json.live).toMatchObject({
      changed: 1,
    });
    expect(before.state).toBe("ESTAB");
    await r.filter(r.client, `tcp sport ${PORT} drop`);
    await r.filter(r.server, `tcp dport ${PORT} drop`);
    const start = Date.now();
    expect(await until(async () => (await sockets(r.server)).length === 0, 10_000)).toBe(true);
    expect(Date.now() - start).toBeWithin(1500, 6000);
    await r.filter(r.server, "");
    await end(children);
  });

  test("reset gives back, and says what it could not", async () => {
    const children = await downloads(r.client.cgroup);
    const place = ["--cgroup", r.server.cgroup, "--wait"];
    const inside = { netns: r.server.netns, json: true };
    const own = async (...args: string[]) => {
      const { code, stderr, json } = await host.tcpx(args, inside);
      // reset also finds programs of the machine's own tcpx, if any
      if (code !== 0) expect(stderr).toMatch(/^tcpx: still there: /);
      expect(stderr).not.toContain(r.lab.prefix);
      return json;
    };
    await own("cc-request", "set", "cubic", "--local", "--live", ...place);
    await own("uto", "set", "30s", "--live", ...place);
    expect(algorithms(await sockets(r.server))).toEqual(["cubic"]);
    const { connections } = await own("reset");
    expect(connections).toMatchObject({
      supported: true,
      uto: { restored: 1, kept: 0, failed: 0 },
      "cc-request": { restored: 1, kept: 0, failed: 0 },
    });
    expect(algorithms(await sockets(r.server))).toEqual([DEFAULT.cc]);
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
