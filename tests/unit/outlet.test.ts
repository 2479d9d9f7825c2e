// SPDX-License-Identifier: MIT
// Text without an end goes out whole, at the pace of its reader.
import { expect, test } from "bun:test";
import type { Bridge } from "../../cli/bridge/bridge.ts";
import { Outlet, Pause } from "../../cli/output/outlet.ts";

const EPIPE = -32;
const ENOSPC = -28;

/** An outlet whose reader takes so many bytes at a time, over and over; what it has taken. */
function outletTo(...takes: number[]) {
  const taken: Uint8Array[] = [];
  let calls = 0;
  const lib = {
    tcpx_write_now(_: number, bytes: Uint8Array, size: number): number {
      const most = takes[calls++ % takes.length]!;
      if (most > 0) taken.push(bytes.slice(0, Math.min(most, size)));
      return Math.min(most, size);
    },
    tcpx_writable: () => takes[0]!,
  };
  return { outlet: new Outlet(lib as unknown as Bridge, false), text: () => Buffer.concat(taken).toString() };
}

/** Characters of one to four bytes, longer than what is encoded at once, none of which divides it. */
const long = "a\u00e4\u20ac\u{1f600}".repeat(20_000);

test("all of it, in order, whatever the reader takes", async () => {
  for (const takes of [[2 ** 30], [4096], [50_000, 0, 7]]) {
    const { outlet, text } = outletTo(...takes);
    expect(await outlet.write(long, new Pause())).toBe(true);
    expect(await outlet.write("end\n", new Pause())).toBe(true);
    expect(text()).toBe(`${long}end\n`);
  }
});

test("a reader that has gone is no error, a full disk is one", async () => {
  const gone = outletTo(EPIPE).outlet;
  expect([await gone.write("x", new Pause()), gone.closed]).toEqual([false, true]);
  await expect(outletTo(ENOSPC).outlet.write("x", new Pause())).rejects.toThrow(
    "stdout cannot be written: ENOSPC",
  );
  expect(outletTo(0).outlet.closed).toBe(false);
});

test("at the end a reader that does not read is given up", async () => {
  const pause = new Pause();
  pause.end();
  expect(await outletTo(1, 0, 0, 0).outlet.write("x", pause)).toBe(true);
  expect(await outletTo(0).outlet.write("x", pause)).toBe(false);
});
