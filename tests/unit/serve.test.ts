// SPDX-License-Identifier: MIT
// What the metrics server answers to which request.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Asked, answerTo } from "../../cli/observe/serve.ts";

const ask = async (asked: Partial<Asked>, metrics = async () => "x\n") => {
  const failures: string[] = [];
  const request = { method: "GET", target: "/metrics", hosts: ["h:9101"], ...asked };
  const answer = await answerTo(request, metrics, ({ message }) => failures.push(message));
  return { ...answer, failures };
};
const status = async (asked: Partial<Asked>) => (await ask(asked)).status;

describe("a request for the metrics", () => {
  test.each([
    "/metrics",
    "/metrics?",
    "/metrics?a=b&name[]=%C3%A4",
    "http://h/metrics",
    "HTTP://[::1]:9101/metrics?x",
  ])("%s", async (target) => {
    expect(await ask({ target })).toMatchObject({ status: 200, text: "x\n" });
    expect(await ask({ target, method: "HEAD" })).toMatchObject({ status: 200 });
  });

  test.each(["localhost", "10.0.0.1:9101", "[fd77::1]:9101", "node_1.example", "h:", "a%41"])(
    "to %s",
    async (host) => {
      expect(await status({ hosts: [host] })).toBe(200);
    },
  );

  test("by another method", async () => {
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "", "get"]) {
      expect(await ask({ method })).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } });
    }
  });

  test("that cannot be answered: why is told here and not there", async () => {
    const answer = await ask({}, () => Promise.reject(new Error("/sys/fs/bpf is gone")));
    expect(answer).toMatchObject({ status: 500, failures: ["/sys/fs/bpf is gone"] });
    expect(answer.text).not.toContain("/sys");
  });
});

test.each([
  "/",
  "/metrics/",
  "//metrics",
  "/x/../metrics",
  "/%6detrics",
  "/METRICS",
  "http://h",
  "http://h?/metrics",
])("there is no %s", async (target) => {
  expect(await status({ target })).toBe(404);
});

describe("a bad request", () => {
  test.each([
    "",
    "*",
    "metrics",
    "//[",
    "/[",
    "/metrics#x",
    "/metrics?\x1b",
    "/metrics?#",
    "/%",
    "/%zz",
    "/a b",
    "/\u202e",
    "h:9101",
    "http://",
    "http:///metrics",
    "http://[/metrics",
    "http://a b/metrics",
    "http://a@h/metrics",
    "http://h:99999/metrics",
    "ftp://h/metrics",
    "file:///metrics",
  ])("for %p", async (target) => {
    expect(await ask({ target })).toMatchObject({ status: 400, text: "bad request\n" });
  });

  test.each([
    "",
    "%%%%",
    "a b",
    "[",
    "[::1",
    "[zz]",
    "a/b",
    "a?b",
    "a#b",
    "a@b",
    "h:x",
    "h:99999",
    "\x1b[31m",
    "\xe4",
  ])("to %p", async (host) => {
    expect(await status({ hosts: [host] })).toBe(400);
  });

  test("to nobody, or to two", async () => {
    expect(await status({ hosts: [] })).toBe(400);
    expect(await status({ hosts: ["a", "a"] })).toBe(400);
  });
});

test("no request is repeated in its answer, and none fails", async () => {
  const text = fc.oneof(fc.string({ unit: "binary", minLength: 4 }), fc.webUrl(), fc.webAuthority());
  await fc.assert(
    fc.asyncProperty(text, text, text, async (method, target, host) => {
      const { status, headers, text, failures } = await ask({ method, target, hosts: [host] });
      const said = JSON.stringify([headers, text]);
      expect([400, 404, 405]).toContain(status);
      expect(failures).toEqual([]);
      for (const part of [method, target, host]) expect(said).not.toContain(part);
    }),
  );
});
