// SPDX-License-Identifier: MIT
// What verifiers go through for rules of all extensions and kinds at once: far below the million at which they give up,
// and no multiple of what the extensions cost by themselves.
import { dlopen } from "bun:ffi";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { close, readFileSync } from "node:fs";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { UtoLab } from "../support/uto-lab.ts";

const SYS_BPF = { x64: 321, arm64: 280 }[process.arch as "x64" | "arm64"];
const PROG_GET_FD_BY_ID = 13;
const { symbols: libc } = dlopen("libc.so.6", {
  syscall: { args: ["i64", "i64", "ptr", "i64"], returns: "i64" },
});

/** Instructions that this kernel's verifier has gone through (Linux 5.16). */
function verified(program: number): number {
  const fd = Number(libc.syscall(SYS_BPF, PROG_GET_FD_BY_ID, new Uint32Array([program, 0, 0, 0]), 16));
  const info = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
  close(fd);
  return Number(/^verified_insns:\s*(\d+)/m.exec(info)![1]);
}

const ONE = ["uto set 30s", "uto accept --min 1s"];
const ALL = [
  ...["uto set 20s --port 443 --from 10.0.0.0/8", "iw set 40", "iw accept --max 32"],
  ...["iw set 40 --local --to 192.0.2.0/24", "cc-request set reno", "cc-request accept cubic,reno"],
  ...["cc-request set reno --local", "ack set --delay 40ms", "ack request --every 4"],
  ...["ack request --every 4 --tarr --port 99", "ack accept --max-every 1 --max-delay 50ms"],
];

describeIf(labRequirement.ok, labRequirement.reason)("verifiers", () => {
  let u: UtoLab;
  let host: PrivateHost;

  beforeAll(async () => {
    u = await UtoLab.create();
    host = await PrivateHost.create(u.lab);
  });
  afterAll(() => u[Symbol.asyncDispose]());

  test("rules of all extensions and kinds cost a few times what rules of one cost", async () => {
    const scope = ["--cgroup", u.client.cgroup];
    const set = async (lines: string[]) => {
      for (const line of lines) await host.ok([...line.split(" "), ...scope]);
      const [state] = (await host.ok(["status", ...scope], { json: true })).json.scopes;
      return verified(state.program_id);
    };
    const [one, all] = [await set(ONE), await set(ALL)];
    expect(one).toBeGreaterThan(1000);
    expect(all).toBeGreaterThan(one);
    expect(all).toBeLessThan(4 * one);
    expect(all).toBeLessThan(100_000);
    await host.reset();
  }, 60_000);
});
