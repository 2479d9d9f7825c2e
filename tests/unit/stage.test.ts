// SPDX-License-Identifier: MIT
// The demo's end when the user has had enough, without a demo.
import { describe, expect, test } from "bun:test";
import { basename, dirname } from "node:path";
import { Sandbox } from "../../cli/lab/sandbox.ts";
import { interruption, Stage } from "../../cli/lab/stage.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const listening = () => SIGNALS.map((name) => process.listenerCount(name));

describe("interruption", () => {
  test.each(SIGNALS)("%s aborts with a sentence, before anything ends", (name) => {
    using interrupted = interruption();
    expect(interrupted.signal.aborted).toBe(false);
    process.emit(name, name);
    expect(interrupted.signal.aborted).toBe(true);
    expect(interrupted.signal.reason).toMatchObject({
      name: "TcpxError",
      code: 1,
      message: `interrupted by ${name}; everything was removed`,
    });
  });

  test("afterwards signals are as they were", () => {
    const before = listening();
    {
      using _ = interruption();
      expect(listening()).toEqual(before.map((n) => n + 1));
    }
    expect(listening()).toEqual(before);
  });

  test("a step after it does not begin", async () => {
    using interrupted = interruption();
    await using stage = new Stage(undefined as never, undefined as never, interrupted.signal);
    stage.check();
    process.emit("SIGTERM", "SIGTERM");
    expect(() => stage.check()).toThrow("interrupted by SIGTERM");
  });
});

test("places are named after this process, each of its own", () => {
  const sandbox = new Sandbox();
  const paths = (["client", "router", "server"] as const).map((place) => sandbox.netns(place));
  expect(paths.map(dirname)).toEqual(["/run/netns", "/run/netns", "/run/netns"]);
  for (const path of paths) {
    expect(basename(path)).toMatch(new RegExp(`^tcpx-demo-\\d+-${process.pid}-(client|router|server)$`));
  }
  expect(new Set(paths).size).toBe(3);
});
