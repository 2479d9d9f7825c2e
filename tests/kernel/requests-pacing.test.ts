// SPDX-License-Identifier: MIT
// A window and BBR for the same connection: BBR paces its first flight by the window that it finds when it
// begins, so a window that comes after it lies idle.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import type { Connection } from "../support/lab.ts";
import { algorithmRequirement, RequestLab } from "../support/request-lab.ts";
import { describeIf, every, labRequirement } from "../support/requires.ts";
import { pacedWindow } from "../support/tcp-info.ts";
import type { Side } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, algorithmRequirement("bbr"));
const WINDOW = 40;

describeIf(needs.ok, needs.reason)("a window and BBR", () => {
  let r: RequestLab;

  beforeAll(async () => {
    r = await RequestLab.create();
  });
  afterEach(() => r.clear());
  afterAll(() => r[Symbol.asyncDispose]());

  /** Rounding, and the bytes of a header that some kernels count with a segment. */
  async function expectPaced({ peer }: Side, fd: number): Promise<void> {
    expect(await r.sending({ peer }, fd)).toEqual({ cc: "bbr", cwnd: WINDOW });
    expect(await pacedWindow(peer.pid, fd)).toBeWithin(WINDOW * 0.93, WINDOW * 1.1);
  }

  const CASES: [what: string, client: string[], server: string[]][] = [
    ["both our own", [], ["cc-request set bbr --local", `iw set ${WINDOW} --local`]],
    [
      "both granted",
      ["cc-request set bbr", "iw set 100"],
      ["cc-request accept bbr", `iw accept --max ${WINDOW}`],
    ],
    [
      "our own window, granted BBR",
      ["cc-request set bbr"],
      ["cc-request accept bbr", `iw set ${WINDOW} --local`],
    ],
    [
      "granted window, our own BBR",
      ["iw set 100"],
      ["cc-request set bbr --local", `iw accept --max ${WINDOW}`],
    ],
  ];

  for (const family of ["v4", "v6"] as const) {
    test.each(CASES)(`%s, of a server, ${family}`, async (_, client, server) => {
      for (const words of client) await r.rule(r.client, words);
      for (const words of server) await r.rule(r.server, words);
      const { server: fd } = await r.open(family);
      await expectPaced(r.server, fd);
    });
  }

  test("both our own, of a client", async () => {
    await r.rule(r.client, "cc-request set bbr --local");
    await r.rule(r.client, `iw set ${WINDOW} --local`);
    await expectPaced(r.client, (await r.open()).client);
  });

  test("granted in the middle of a handshake that remembers nothing: SYN cookies", async () => {
    await r.lab.sysctl(r.server.netns, "net.ipv4.tcp_syncookies", 2);
    await r.rule(r.client, "cc-request set bbr");
    await r.rule(r.client, "iw set 100");
    await r.rule(r.server, "cc-request accept bbr");
    await r.rule(r.server, `iw accept --max ${WINDOW}`);
    await expectPaced(r.server, (await r.open()).server);
    await r.lab.sysctl(r.server.netns, "net.ipv4.tcp_syncookies", 1);
  });

  test("BBR with --live, after the window", async () => {
    await r.rule(r.server, `iw set ${WINDOW} --local`);
    const c: Connection = await r.open();
    await r.rule(r.server, "cc-request set bbr --local --live");
    await expectPaced(r.server, c.server);
  });
});
