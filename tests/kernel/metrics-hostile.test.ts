// SPDX-License-Identifier: MIT
// Whoever reaches the port of `tcpx metrics --listen` may send what he likes: a few bytes come back, nothing of
// it is said anywhere, and others are still answered.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { type Child, Lab } from "../support/lab.ts";
import { crowd, rawAnswers } from "../support/raw-http.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";

const PORT = 9101;
const GOOD = "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n";
const request = (target: string, ...headers: string[]) =>
  [`GET ${target} HTTP/1.1`, ...headers, "", ""].join("\r\n");
const long = (length: number) => "a".repeat(length);

/** What is no request, or one that nobody may make. */
const BAD: Record<string, string | Buffer> = {
  "HTTP/1.0 without a host": "GET /metrics HTTP/1.0\r\n\r\n",
  "no host": request("/metrics"),
  "no name for a host": request("/metrics", "Host: %%%%"),
  "a host of two words": request("/metrics", "Host: a b"),
  "two hosts": request("/metrics", "Host: a", "Host: b"),
  "a host that is an escape sequence": request("/metrics", "Host: \x1b[31m"),
  "half an IPv6 address": request("//[", "Host: a"),
  "a bad absolute target": request("http://[/metrics", "Host: a"),
  "a target of another scheme": request("gopher://h/metrics", "Host: a"),
  "a fragment": request("/metrics#x", "Host: a"),
  "an asterisk": "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
  "a tunnel": "CONNECT h:22 HTTP/1.1\r\nHost: h:22\r\n\r\n",
  "a method that does not exist": "BREW /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
  "an escape sequence for a method": "\x1b]0;x\x07 /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
  "an escape sequence for a target": request("/\x1b[31m", "Host: a"),
  "a long target": request(`/${long(100_000)}`, "Host: a"),
  "a long header": request("/metrics", "Host: a", `X: ${long(100_000)}`),
  "many headers": request("/metrics", "Host: a", ...Array<string>(5000).fill("X: a")),
  "a zero in a header": request("/metrics", "Host: a", "X: a\0b"),
  "no version": "GET /metrics\r\n\r\n",
  "HTTP/9.9": "GET /metrics HTTP/9.9\r\nHost: a\r\n\r\n",
  "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
  TLS: Buffer.concat([Buffer.from("16030100a5010000a10303", "hex"), Buffer.alloc(160)]),
  SSH: "SSH-2.0-OpenSSH_9.2\r\n",
  "every byte": Buffer.from(Array.from({ length: 1024 }, (_, i) => i)),
  "a length below zero": "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc",
};
/** [what, request, status] */
const OTHERS: [string, string, number][] = [
  ["what is right", GOOD, 200],
  ["an absolute target", request("http://h/metrics", "Host: h"), 200],
  ["a second request behind the first", GOOD + GOOD, 200],
  ["garbage behind a request", `${GOOD}\x1b[31m\r\n\r\n`, 200],
  ["a wish for another protocol", request("/metrics", "Host: a", "Connection: Upgrade", "Upgrade: h2c"), 200],
  ["another path", request("/", "Host: a"), 404],
  [
    "a body without an end",
    "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000000\r\n\r\nabc",
    405,
  ],
  [
    "a body that is no body",
    "POST /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
    405,
  ],
];

describeIf(labRequirement.ok, labRequirement.reason)("a hostile client of tcpx metrics", () => {
  let lab: Lab;
  let netns: string;
  let server: Child;
  const said = { stdout: "", stderr: "" };

  beforeAll(async () => {
    lab = await Lab.create();
    netns = await lab.netns("host");
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  beforeEach(async () => {
    const argv = [tcpxPath(), "metrics", "--listen", String(PORT), "--cgroup", lab.cgroup("a"), "--verbose"];
    server = lab.spawn(argv, { netns, stderr: "pipe" });
    const ready = Promise.withResolvers<void>();
    const read = async (name: "stdout" | "stderr") => {
      said[name] = "";
      for await (const chunk of server[name] as ReadableStream<Uint8Array>) {
        said[name] += new TextDecoder().decode(chunk);
        if (said.stdout.includes("\n")) ready.resolve();
      }
    };
    void read("stdout");
    void read("stderr");
    await ready.promise;
  });

  /** Whatever happened: it still answers, has said nothing, and ends as always. */
  afterEach(async () => {
    const [answer] = await rawAnswers(netns, PORT, [Buffer.from(GOOD)]);
    expect(answer).toStartWith("HTTP/1.1 200 ");
    server.kill("SIGTERM");
    expect([await server.exited, server.signalCode]).toEqual([0, null]);
    expect(said).toEqual({ stdout: `listening on http://127.0.0.1:${PORT}/metrics\n`, stderr: "" });
  });

  test("a bad request is 400 in a few bytes", async () => {
    const requests = Object.values(BAD).map((bytes) => Buffer.from(bytes as string, "latin1"));
    const answers = await rawAnswers(netns, PORT, requests);
    for (const [i, what] of Object.keys(BAD).entries()) {
      expect([what, answers[i]]).toEqual([
        what,
        expect.stringMatching(/^HTTP\/1\.1 400 [\s\S]*\r\n\r\nbad request\n$/),
      ]);
      expect(answers[i]!.length).toBeLessThan(300);
    }
  });

  test("one answer for a connection, whatever follows", async () => {
    const answers = await rawAnswers(
      netns,
      PORT,
      OTHERS.map(([, text]) => Buffer.from(text, "latin1")),
    );
    for (const [i, [what, , status]] of OTHERS.entries()) {
      expect([what, answers[i]!.match(/^HTTP\/1\.1 \d+/gm)]).toEqual([what, [`HTTP/1.1 ${status}`]]);
    }
  });

  test("who sends half a request is ended, and there can be 64 at once", async () => {
    expect(await crowd(netns, PORT, 100, 36)).toBe(64);
    const halves = ["GET /metr", "GET /metrics HTTP/1.1\r\nHost: a\r\n", ""].map((text) => Buffer.from(text));
    expect(await rawAnswers(netns, PORT, halves)).toEqual(["", "", ""]);
  });
});
