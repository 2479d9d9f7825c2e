// SPDX-License-Identifier: MIT
// Two programs that nobody here wrote: nginx sends to curl as curl's host has asked for.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type SsSocket, ssInfo, until } from "../support/lab.ts";
import { DEFAULT, RequestLab } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement, requirement } from "../support/requires.ts";
import { trace } from "../support/uto-lab.ts";

const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
const tool = (name: string) => requirement(name, Bun.which(name, { PATH }) !== null, `the program ${name}`);
const needs = every(
  "all",
  labRequirement,
  captureRequirement,
  ...["nginx", "curl", "nft", "ethtool"].map(tool),
);
const PORT = 8080;
const SIZE = 3_000_000;
const SEGMENTS = 30;

describeIf(needs.ok, needs.reason)("nginx and curl", () => {
  let r: RequestLab;

  beforeAll(async () => {
    r = await RequestLab.create();
    writeFileSync(join(r.lab.dir, "file"), Buffer.alloc(SIZE, "tcpx "));
    const conf = r.lab.file(
      "nginx.conf",
      `user root; worker_processes 1; daemon off; pid ${r.lab.dir}/nginx.pid;
       events { worker_connections 64; }
       http {
         access_log off; sendfile on; tcp_nopush on;
         client_body_temp_path ${r.lab.dir}; proxy_temp_path ${r.lab.dir}; fastcgi_temp_path ${r.lab.dir};
         uwsgi_temp_path ${r.lab.dir}; scgi_temp_path ${r.lab.dir};
         server { listen ${PORT}; listen [::]:${PORT}; root ${r.lab.dir}; }
       }`,
    );
    const nginx = Bun.which("nginx", { PATH })!;
    r.lab.spawn([nginx, "-p", r.lab.dir, "-e", "stderr", "-c", conf], r.server);
    expect(await until(async () => (await curl("v4", "file", "--head")).includes("200 OK"))).toBe(true);
  });
  afterEach(async () => {
    await r.clear();
    await r.filter(r.client, "");
  });
  afterAll(() => r[Symbol.asyncDispose]());

  function url(family: "v4" | "v6", path: string): string {
    return `http://${family === "v4" ? r.server.v4 : `[${r.server.v6}]`}:${PORT}/${path}`;
  }

  function curl(family: "v4" | "v6", path: string, ...flags: string[]): Promise<string> {
    const argv = ["curl", "-sS", "--max-time", "20", ...flags, url(family, path)];
    return r.lab.exec(r.client.netns, argv, "", r.client.cgroup).catch((error) => `${error}`);
  }

  /** nginx's socket that is like this, once there is one. */
  async function served(like: (info: SsSocket["info"]) => boolean): Promise<SsSocket> {
    let socket: SsSocket | undefined;
    const there = async () => {
      const all = await ssInfo(r.server.netns, ["sport", "=", `${PORT}`]);
      socket = all.find(({ state, info }) => state === "ESTAB" && like(info));
      return socket !== undefined;
    };
    expect(await until(there)).toBe(true);
    return socket!;
  }

  /** nginx's socket of a download that is under way: nobody takes what curl has, until it was seen. */
  async function serving(family: "v4" | "v6"): Promise<SsSocket> {
    const output = join(r.lab.dir, "got");
    const script = `exec 3<&0; curl -sS "$0" </dev/null | { read -r go <&3 && cat >"$1"; }`;
    const download = r.lab.spawn(["sh", "-c", script, url(family, "file"), output], r.client);
    const socket = await served(({ bytes_sent }) => Number(bytes_sent ?? 0) > 100_000);
    download.stdin.write("go\n");
    void download.stdin.end();
    expect(await download.exited).toBe(0);
    const [sent, got] = await Promise.all(
      [join(r.lab.dir, "file"), output].map((path) => Bun.file(path).bytes()),
    );
    expect(Bun.hash(got!)).toBe(Bun.hash(sent!));
    return socket;
  }

  test.each([
    ["IPv4", "v4"],
    ["IPv6", "v6"],
  ] as const)(
    "%s: while the download is under way ss shows the algorithm that curl's host asked for",
    async (_, family) => {
      expect((await serving(family)).info).toHaveProperty(DEFAULT.cc);
      await r.usual();
      const { info } = await serving(family);
      expect(info).toHaveProperty("cubic");
      expect(info).not.toHaveProperty(DEFAULT.cc);
      // an older listener than the rules: asked and granted behind the handshake
      expect(await r.counted(r.client)).toMatchObject({ cc: { granted: 1 }, iw: { granted: 1 } });
    },
  );

  /**
   * Segments of the server's first flight: the client hears nothing of it for a while, so that it
   * acknowledges nothing. The repetitions after that carry the download to its end.
   */
  async function flight(): Promise<number> {
    const capture = await r.u.capture();
    await r.filter(r.client, `tcp sport ${PORT} meta length > 300 drop`);
    const download = curl("v4", "file", "-o", "/dev/null");
    await served(({ retrans }) => retrans !== undefined); // all of it has left
    await r.filter(r.client, "");
    expect(await download).toBe("");
    await capture.stop();
    const { server, client } = await trace(capture, PORT);
    const acked = client.find((p) => p.ack - server[0]!.seq > 1000)!;
    const flight = server.filter((p) => p.length > 0 && p.time < acked.time);
    return new Set(flight.map((p) => p.seq)).size;
  }

  // A probe for a lost tail may add a segment to the flight.
  test("the first flight is as long as asked for, and of 10 segments without rules", async () => {
    const off = ["tso", "gso", "gro"].flatMap((feature) => [feature, "off"]);
    await r.lab.exec(r.server.netns, ["ethtool", "-K", r.server.device, ...off]);
    expect(await flight()).toBeWithin(DEFAULT.cwnd, DEFAULT.cwnd + 2);
    await r.rule(r.client, `iw set ${SEGMENTS}`);
    await r.rule(r.server, "iw accept --max 100");
    expect(await flight()).toBeWithin(SEGMENTS, SEGMENTS + 2);
    await r.rule(r.server, "iw accept --max 20");
    await r.rule(r.client, "cc-request set cubic");
    await r.rule(r.server, "cc-request accept cubic");
    expect(await flight()).toBeWithin(20, 22);
  });
});
