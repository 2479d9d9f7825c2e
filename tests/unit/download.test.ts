// SPDX-License-Identifier: MIT
// What is fetched, and what is not: ways, sizes, times, and how often one is sent on.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { TcpxError } from "../../cli/base/errors.ts";
import { download, isUrl } from "../../cli/packages/download.ts";

let server: ReturnType<typeof Bun.serve>;
let base: string;

function answer({ pathname }: URL): Response {
  const [, kind, n = "0"] = pathname.split("/");
  if (kind === "whole") return new Response("bytes");
  if (kind === "packed")
    return new Response(Bun.gzipSync("x".repeat(1e6)), { headers: { "content-encoding": "gzip" } });
  if (kind === "hops") {
    const to = n === "1" ? "/whole" : `/hops/${Number(n) - 1}`;
    return new Response(null, { status: 302, headers: { location: to } });
  }
  if (kind === "away")
    return new Response(null, { status: 302, headers: { location: "file:///etc/passwd" } });
  if (kind === "long") return new Response(new Uint8Array(5 << 20));
  if (kind === "endless") {
    const pull = (to: ReadableStreamDefaultController) => to.enqueue(new Uint8Array(1 << 16));
    return new Response(new ReadableStream({ pull }));
  }
  if (kind === "slow") return new Response(new ReadableStream({ pull: () => new Promise(() => {}) }));
  return new Response("no", { status: 404 });
}

beforeAll(() => {
  server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => answer(new URL(request.url)) });
  base = `http://127.0.0.1:${server.port}`;
});
afterAll(() => server.stop(true));

const get = async (path: string, patienceMs?: number) =>
  new TextDecoder().decode(await download(`${base}/${path}`, true, patienceMs));

/** Its exit code, and what it says without the address of the server. */
async function why(url: string, plain = true, patienceMs?: number): Promise<[number, string]> {
  try {
    await download(url, plain, patienceMs);
  } catch (error) {
    if (error instanceof TcpxError) return [error.code, error.message.replaceAll(base, "BASE")];
    throw error;
  }
  throw new Error("was fetched");
}

test("what a URL is", () => {
  expect(["https://a/b", "ftp://x", "HTTP://x", "file:///x"].map(isUrl)).toEqual([true, true, true, true]);
  expect(["a.tcpx", "./https:x", "/x://y", ""].map(isUrl)).toEqual([false, false, false, false]);
});

test("bytes as they are, through as many as five others", async () => {
  expect([await get("whole"), await get("hops/5")]).toEqual(["bytes", "bytes"]);
  expect(await why(`${base}/hops/6`)).toEqual([1, expect.stringContaining("after 5 others: too often")]);
  expect((await download(`${base}/packed`, true)).length).toBeLessThan(10_000); // not unpacked on the way
});

describe("is refused", () => {
  test("by http without a sum, by other ways, and with a password", async () => {
    expect(await why(`${base}/whole`, false)).toEqual([2, "BASE/whole is not fetched"]);
    expect(await why("file:///etc/passwd")).toEqual([2, "file:///etc/passwd is not fetched"]);
    expect(await why(`${base}/away`)).toEqual([2, "file:///etc/passwd is not fetched"]);
    expect(await why("https://")).toEqual([2, "https:// is no URL"]);
    const [code, what] = await why("https://me:secret@example.org/x");
    expect([code, what.includes("secret")]).toEqual([2, false]);
  });

  test("what is too long, said before or not", async () => {
    expect(await why(`${base}/long`)).toEqual([2, "BASE/long is too long"]);
    expect(await why(`${base}/endless`)).toEqual([2, "BASE/endless is too long"]);
  });

  test("what does not come, or not in time", async () => {
    expect(await why(`${base}/none`)).toEqual([1, "BASE/none answers 404"]);
    expect(await why(`${base}/slow`, true, 200)).toEqual([1, expect.stringContaining("it takes more than")]);
    expect(await why("http://127.0.0.1:1/x")).toEqual([1, expect.stringContaining("cannot be fetched")]);
  });
});
