// SPDX-License-Identifier: MIT
// The mark for ACKs at once stands for routes of ours. Without them the bit may mean something to the administrator,
// and a peer that asks for ACKs at once must not set it.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { LAYOUT_VERSION, ServedFlag } from "../../cli/layout/layout.generated.ts";
import { DEFAULT_MARK, markOf, marksOf } from "../support/ack-lab.ts";
import { run, until } from "../support/lab.ts";
import { RequestLab } from "../support/request-lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { tcpxOk } from "../support/uto-lab.ts";

describeIf(labRequirement.ok, labRequirement.reason)("a granted request for ACKs at once", () => {
  let r: RequestLab;

  beforeAll(async () => {
    r = await RequestLab.create();
    // what the administrator's own rules for the bit lead to
    await ip("route", "add", "unreachable", "default", "table", "100");
  });
  afterEach(() => r.clear());
  afterAll(() => r[Symbol.asyncDispose]());

  const ip = (...words: string[]) => run(["ip", "-n", r.server.netns, ...words]);
  const rule = (verb: "add" | "del", mark: string) =>
    ip("rule", verb, "fwmark", `${mark}/${mark}`, "lookup", "100");
  const standing = async (bits: string) => (await ip("rule")).includes(`${bits} lookup 31904`);

  /** A connection whose client asks, after some data: the server's mark. */
  async function asked(): Promise<number> {
    const c = await r.open();
    await r.exchange(c, 3);
    return await markOf(r.server, c.server);
  }

  /** The agent serves the server's namespace. */
  async function served(): Promise<void> {
    const c = await r.open();
    expect(await marksOf(r, c, [0, DEFAULT_MARK])).toEqual([0, DEFAULT_MARK]);
  }

  test("sets no mark where a rule of the administrator uses the bit, and the connection goes on", async () => {
    await rule("add", "0x2000");
    await r.rule(r.server, "ack accept");
    await r.rule(r.client, "ack request --every 1");
    for (let i = 0; i < 3; i++) expect(await asked()).toBe(0);
    expect(await standing("0x2000/0x2000")).toBe(false);
    await rule("del", "0x2000");
  });

  test("sets none when such a rule comes later, and again when it has gone", async () => {
    await r.rule(r.server, "ack accept");
    await r.rule(r.client, "ack request --every 1");
    await served();
    await rule("add", "0x2000");
    expect(await until(async () => !(await standing("0x2000/0x2000")))).toBe(true);
    for (let i = 0; i < 3; i++) expect(await asked()).toBe(0);
    await rule("del", "0x2000");
    expect(await until(() => standing("0x2000/0x2000"))).toBe(true);
    await served();
  });

  test("sets none of a bit that is refused, beside another one that has its routes", async () => {
    await r.rule(r.client, "ack request --every 1");
    await r.rule(r.server, "ack accept");
    await served();
    await rule("add", "0x8");
    // the command says that it is in the way
    const { stderr } = await r.rule(r.server, "ack accept --mark-bit 3");
    expect(stderr).toContain("looks at the same bit of the mark");
    for (let i = 0; i < 3; i++) expect(await asked()).toBe(0);
    await rule("del", "0x8");
  });

  test("sets none once the agent was killed: its guard says so before it takes the routes back", async () => {
    await r.rule(r.server, "ack accept");
    await r.rule(r.client, "ack request --every 1");
    await served();
    const { json } = await tcpxOk(["status"], { json: true });
    process.kill(json.agent.pid, "SIGKILL");
    expect(await until(async () => !(await standing("0x2000/0x2000")))).toBe(true);
    for (let i = 0; i < 3; i++) expect(await asked()).toBe(0);
    await tcpxOk(["agent", "--start"]);
    await served();
  });

  test("sets none while no agent runs", async () => {
    await r.rule(r.server, "ack accept");
    await r.rule(r.client, "ack request --every 1");
    await served();
    await tcpxOk(["agent", "--stop"]);
    for (let i = 0; i < 3; i++) expect(await asked()).toBe(0);
    await tcpxOk(["agent", "--start"]);
    await served();
  });

  test("is not waited for in a namespace of another user namespace: the kernel's side knows that for a while", async () => {
    await r.rule(r.server, "ack set --every 1");
    const pair = `import socket, time
l = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(l.getsockname()); time.sleep(600)`;
    const script = `ip link set lo up; exec python3 -c '${pair}'`;
    const unshare = ["unshare", "--user", "--map-root-user", "--net"];
    const box = r.lab.spawn([...unshare, "sh", "-c", script], { cgroup: r.server.cgroup });
    const dump = ["bpftool", "-j", "map", "dump", "pinned", `/sys/fs/bpf/tcpx/v${LAYOUT_VERSION}/served`];
    const declined = async () => {
      const entries: { formatted: { key: number; value: { flags: number } } }[] = JSON.parse(await run(dump));
      const inode = Number(statSync(`/proc/${box.pid}/ns/net`).ino);
      return entries.some(
        ({ formatted }) => formatted.key === inode && formatted.value.flags === ServedFlag.DECLINED,
      );
    };
    expect(await until(declined)).toBe(true);
    expect(await until(async () => !(await declined()))).toBe(true); // its number may soon be another's
  });
});
