// SPDX-License-Identifier: MIT
// Programs of other types than sock_ops, by the sample that has some: they hang on a scope while a rule wants them,
// change in one moment with its rules, and leave nothing behind, wherever a command is killed or refused.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { LAYOUT_VERSION } from "../../cli/layout/layout.generated.ts";
import { killedAt, lastingCalls, refusedAt } from "../support/bpf-calls.ts";
import { IPPROTO_TCP } from "../support/constants.ts";
import { foreignRequirement } from "../support/foreign.ts";
import { killed, shortest, sweep } from "../support/kills.ts";
import { buildOther } from "../support/other-build.ts";
import type { Peer } from "../support/peer.ts";
import { PrivateHost } from "../support/private-host.ts";
import { run, until } from "../support/process.ts";
import { describeIf, every, labRequirement, straceRequirement, testIf } from "../support/requires.ts";
import { SampleTree } from "../support/sample-tree.ts";
import { UtoLab } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, foreignRequirement);
const OPTION = 0x7c40;
/** Types of the sample's programs, and their names in the kernel. */
const TYPES = ["connect4", "connect6", "getsockopt"];
const PROGRAMS = TYPES.map((type) => `tcpx_${type}`);
const PLAIN = "127.0.0.1";

describeIf(needs.ok, needs.reason)("programs of other types", () => {
  let u: UtoLab;
  let host: PrivateHost;
  let tree: SampleTree;
  let program: string;
  let scope: string;

  beforeAll(async () => {
    u = await UtoLab.create();
    host = await PrivateHost.create(u.lab);
    tree = await SampleTree.create(u.lab.dir, "bind-address");
    await tree.build();
    ({ program } = tree);
    scope = u.client.cgroup;
  }, 120_000);
  afterEach(async () => {
    await host.reset(["--wait"], { program });
    expect(await host.pins()).toEqual([]);
  });
  afterAll(() => u[Symbol.asyncDispose]());

  const words = (text: string, cgroup = scope) => [...text.split(" "), "--cgroup", cgroup];
  const rule = (text: string, cgroup?: string) =>
    host.ok(words(`bind-address ${text} --wait`, cgroup), { program, json: true });
  const line = (text: string) => `${program} ${words(text).join(" ")}`;
  const status = async (cgroup?: string) =>
    (await host.ok(words("status", cgroup), { program, json: true })).json.scopes[0];

  /** The address of the rule in force, as `show` has it; the plain one without. */
  async function shown(): Promise<string> {
    const { rules } = (await host.ok(words("bind-address show"), { program, json: true })).json;
    return rules[0]?.address ?? PLAIN;
  }

  /** Where a connection comes from, as its two sockets have it, which agree. */
  async function source(peer: Peer = u.client.peer, to = PLAIN): Promise<string> {
    const { fd: listener, port } = await peer.listen(to.replace("::ffff:", ""));
    const fd = await peer.connect(to, port);
    const accepted = await peer.accept(listener);
    const addr = (await peer.sockName(fd)).addr.replace("::ffff:", "");
    expect((await peer.peerName(accepted.fd)).addr).toBe(addr);
    for (const one of [fd, accepted.fd, listener]) await peer.close(one);
    return addr;
  }

  interface Hung {
    id: number;
    name: string;
  }

  /** What hangs on a cgroup, in the order in which it runs. */
  async function hung(cgroup = scope): Promise<Hung[]> {
    const text = await run(["bpftool", "-j", "cgroup", "show", cgroup]);
    return text.trim() === "" ? [] : JSON.parse(text);
  }
  const names = async (cgroup?: string) => (await hung(cgroup)).map(({ name }) => name).sort();

  test("are there while a rule of theirs is, and cost others nothing", async () => {
    await host.ok(words("iw set 40 --to 192.0.2.1"), { program });
    const without = await host.pins();
    const attached = await names();
    expect(without.filter((path) => /-(connect|getsock)/.test(path))).toEqual([]);
    await rule("set 127.0.0.7");
    expect(await names()).toEqual([...attached, ...PROGRAMS].sort());
    expect((await status()).programs.map(({ type }: { type: string }) => type)).toEqual(TYPES);
    await rule("unset --all");
    expect(await names()).toEqual(attached);
    expect((await host.pins()).map((path) => path.replace(/gen-\d+/, "gen"))).toEqual(
      without.map((path) => path.replace(/gen-\d+/, "gen")),
    );
    expect((await status()).programs).toEqual([]);
  });

  test("a changed rule takes the same links, behind and before whose programs they were", async () => {
    await rule("set 127.0.0.7");
    const before = await links();
    expect(await source()).toBe("127.0.0.7");
    await rule("set 127.0.0.8");
    expect(await source()).toBe("127.0.0.8");
    expect(await links()).toEqual(before);
    expect((await host.pins()).filter((path) => /gen-\d+$/.test(path))).toHaveLength(1);
    await rule("set none");
    expect(await source()).toBe(PLAIN);
  });

  /** Numbers of the pinned links, by their names. */
  async function links(): Promise<[string, string][]> {
    const pins = (await host.pins()).filter((path) => TYPES.some((type) => path.endsWith(`-${type}`)));
    const own = pins.filter((path) => !path.includes("/gen-"));
    return Promise.all(
      own.map(async (path): Promise<[string, string]> => {
        const shown = await host.sh(`bpftool -j link show pinned ${path}`);
        return [path, JSON.parse(shown).id];
      }),
    );
  }

  test("connections that a rule is not for keep what the kernel gives them; the record answers for the others", async () => {
    await rule("set 127.0.0.7 --port 7101");
    const { peer } = u.client;
    expect(await source()).toBe(PLAIN);
    const { fd: listener } = await peer.listen(PLAIN, 7101);
    const fd = await peer.connect(PLAIN, 7101);
    await peer.accept(listener);
    expect((await peer.sockName(fd)).addr).toBe("127.0.0.7");
    expect(await peer.getoptHex(fd, IPPROTO_TCP, OPTION)).toBe("7f000007");
    await expect(peer.getoptHex(listener, IPPROTO_TCP, OPTION)).rejects.toThrow("ENOPROTOOPT");
    await rule("set 127.0.0.9 --port 7101"); // another generation: the record is the connection's
    expect(await peer.getoptHex(fd, IPPROTO_TCP, OPTION)).toBe("7f000007");
    await rule("unset --all");
    await expect(peer.getoptHex(fd, IPPROTO_TCP, OPTION)).rejects.toThrow("ENOPROTOOPT");
  });

  test("scopes in one another: the innermost rule, an exemption too; and again for each connect()", async () => {
    const inner = u.lab.cgroup("inner", scope);
    const peer = await u.lab.peer(u.client.netns, inner);
    await rule("set 127.0.0.7");
    expect([await source(), await source(peer)]).toEqual(["127.0.0.7", "127.0.0.7"]);
    await rule("set 127.0.0.8", inner);
    expect([await source(), await source(peer)]).toEqual(["127.0.0.7", "127.0.0.8"]);
    await rule("set none", inner);
    expect([await source(), await source(peer)]).toEqual(["127.0.0.7", PLAIN]);
    // an attempt that is refused leaves nothing for the next one of the socket
    const { fd: listener, port } = await peer.listen(PLAIN);
    const fd = await peer.socket(4);
    await expect(peer.connectFd(fd, PLAIN, 1)).rejects.toThrow("ECONNREFUSED");
    await peer.disconnect(fd);
    await rule("unset --all", inner);
    await peer.connectFd(fd, PLAIN, port);
    await peer.accept(listener);
    expect((await peer.sockName(fd)).addr).toBe("127.0.0.7");
  });

  test.each(["127.0.0.1", "::ffff:127.0.0.1"])(
    "a socket that connects again to %s has the rule of now",
    async (to) => {
      const { peer } = u.client;
      const { fd: listener, port } = await peer.listen(PLAIN);
      const again = async (fd: number) => {
        await peer.connectFd(fd, to, port);
        await peer.accept(listener);
        return (await peer.sockName(fd)).addr.replace("::ffff:", "");
      };
      const refused = async () => {
        const fd = await peer.socket(to === PLAIN ? 4 : 6);
        await rule("set 127.0.0.7");
        await expect(peer.connectFd(fd, to, 1)).rejects.toThrow("ECONNREFUSED");
        await peer.disconnect(fd);
        return fd;
      };
      const same = await refused();
      expect([await again(same), await peer.getoptHex(same, IPPROTO_TCP, OPTION)]).toEqual([
        "127.0.0.7",
        "7f000007",
      ]);
      const other = await refused();
      await rule("set 127.0.0.8");
      expect([await again(other), await peer.getoptHex(other, IPPROTO_TCP, OPTION)]).toEqual([
        "127.0.0.8",
        "7f000008",
      ]);
      const exempt = await refused();
      await rule("set none");
      expect(await again(exempt)).toBe(PLAIN);
      expect((await status()).counters["bind-address"]).toMatchObject({ kept: 0, errors: 0 });
    },
  );

  test("the address that an application has chosen stays; one that the host lacks stops nothing", async () => {
    const { peer } = u.client;
    await rule("set 127.0.0.7");
    const { fd: listener, port } = await peer.listen(PLAIN);
    const fd = await peer.socket(4);
    await peer.bind(fd, "127.0.0.9");
    await peer.connectFd(fd, PLAIN, port);
    await peer.accept(listener);
    expect((await peer.sockName(fd)).addr).toBe("127.0.0.9");
    await rule("set 192.0.2.200");
    expect(await source()).toBe(PLAIN);
    expect((await status()).counters["bind-address"]).toMatchObject({ kept: 1, errors: 1 });
  });

  test("IPv6 sockets that speak IPv4 have it, others keep theirs", async () => {
    await rule("set 127.0.0.7");
    expect(await source(u.client.peer, "::ffff:127.0.0.1")).toBe("127.0.0.7");
    expect(await source(u.client.peer, "::1")).toBe("::1");
  });

  describe("beside programs of others", () => {
    const pin = "/sys/fs/bpf/tcpx-t-connect4";
    /** Binds to 127.0.0.99 where nothing is bound yet. */
    const SOURCE = `
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
SEC("cgroup/connect4") int another(struct bpf_sock_addr *ctx)
{
	struct sockaddr_in to = {};
	struct bpf_sock *sk = ctx->sk;
	if (!sk || sk->src_ip4)
		return 1;
	to.sin_family = 2;
	to.sin_addr.s_addr = 0x6300007f;
	bpf_bind(ctx, (struct sockaddr *)&to, sizeof(to));
	return 1;
}
char LICENSE[] SEC("license") = "GPL";
`;
    beforeAll(async () => {
      const source = u.lab.file("another.bpf.c", SOURCE);
      const include = `-I/usr/include/${(await run(["gcc", "-print-multiarch"])).trim()}`;
      const object = source.replace(/c$/, "o");
      await run(["clang", "-g", "-O2", "-target", "bpf", include, "-c", source, "-o", object]);
      await run(["bpftool", "prog", "load", object, pin]);
    });
    afterAll(() => run(["rm", "-f", pin]));

    const attach = (...flags: string[]) =>
      run(["bpftool", "cgroup", "attach", scope, "connect4", "pinned", pin, ...flags]);
    const detach = () => run(["bpftool", "cgroup", "detach", scope, "connect4", "pinned", pin]);

    test("whoever comes first gives the address, and keeps its place when rules change", async () => {
      await attach("multi");
      try {
        await rule("set 127.0.0.7");
        expect(await source()).toBe("127.0.0.99");
        expect((await status()).counters["bind-address"]).toMatchObject({ kept: 1 });
        await detach();
        await attach("multi"); // behind ours
        expect(await source()).toBe("127.0.0.7");
        await rule("set 127.0.0.8");
        expect(await source()).toBe("127.0.0.8");
      } finally {
        await detach();
      }
    });

    test("one that holds the cgroup for itself is named, and nothing is changed", async () => {
      await attach();
      try {
        const { code, stderr } = await host.tcpx(words("bind-address set 127.0.0.7"), { program });
        expect([code, stderr]).toEqual([3, expect.stringContaining("connect4 program 'another'")]);
        expect(stderr).toContain("holds this cgroup for itself");
        expect(await names()).toEqual(["another"]);
        expect(await host.pins()).toEqual([]);
        await host.ok(words("iw set 40"), { program }); // who wants none of it is not concerned
      } finally {
        await detach();
      }
    });
  });

  testIf(straceRequirement.ok, straceRequirement.reason)(
    "a kernel that lacks one refuses the rule, and says which; others are set",
    async () => {
      const command = line("bind-address set 127.0.0.7");
      const loads = /\bbpf\(BPF_PROG_LOAD, .*prog_type=BPF_PROG_TYPE_CGROUP_SOCK_ADDR\b/;
      await rule("set none --to 192.0.2.1");
      const [first] = await lastingCalls(u.lab, host, command, loads);
      await rule("unset");
      const before = [await host.pins(), await hung()];
      const { code, text } = await refusedAt(host, first!, "EINVAL", command, true);
      expect([code, text]).toEqual([
        3,
        expect.stringMatching(/lacks .*(connect4|connect6) programs \(EINVAL\)/),
      ]);
      expect([await host.pins(), await hung()]).toEqual(before);
    },
  );

  test.each([
    ["removed", "rm"],
    ["detached", "bpftool link detach pinned"],
  ])("a link that somebody has %s is told, and comes back with the same command", async (_, command) => {
    await rule("set 127.0.0.7");
    const [lost = ""] = (await links()).map(([path]) => path).filter((path) => path.endsWith("connect4"));
    await host.sh(`${command} ${lost}`);
    const missing = { extension: "bind-address", type: "connect4", program_id: null };
    expect((await status()).programs[0]).toEqual(missing);
    const { stdout } = await host.ok(words("status"), { program });
    expect(stdout).toContain("problem: the connect4 program of bind-address is missing");
    expect(await source()).toBe(PLAIN);
    await rule("set 127.0.0.7");
    expect((await status()).programs[0]).toEqual({ ...missing, program_id: expect.any(Number) });
    expect(await source()).toBe("127.0.0.7");
  });

  test("without the sock_ops link they are attached, and do nothing", async () => {
    await rule("set 127.0.0.7");
    await host.sh("rm /sys/fs/bpf/tcpx/v*/*/link");
    await until(async () => (await names()).length === PROGRAMS.length);
    expect([await names(), await shown(), await source()]).toEqual([PROGRAMS, PLAIN, PLAIN]);
    await rule("set 127.0.0.8"); // takes over what was left
    expect(await inForce()).toEqual(["127.0.0.8", "127.0.0.8"]);
  });

  test("reset gives all back, what a hand has damaged too, and proves it", async () => {
    await rule("set 127.0.0.7");
    await host.reset([], { program });
    expect([await names(), await source(), await host.pins()]).toEqual([[], PLAIN, []]);
    await rule("set 127.0.0.7");
    const [link = ""] = (await host.pins()).filter((path) => path.endsWith("/link"));
    await host.sh(`rm -r ${link} ${link.replace(/link$/, "gen-*")}`);
    const { stdout } = await host.reset([], { program });
    expect(stdout).toMatch(/^checked: no .*program.* nothing pinned/m);
    expect([await names(), await source(), await host.pins()]).toEqual([[], PLAIN, []]);
  });

  test("reset of another host says that they are there, and leaves them alone", async () => {
    const box = await PrivateHost.create(u.lab);
    await rule("set 127.0.0.7");
    const { json } = await box.ok(["reset"], { program, json: true });
    const ours = json.proof.programs_of_others.filter(({ cgroup }: { cgroup: string }) => cgroup === scope);
    expect(ours.map(({ name }: { name: string }) => name).sort()).toEqual(["tcpx", ...PROGRAMS]);
    expect(await source()).toBe("127.0.0.7");
  });

  test("a cgroup that is removed takes them along", async () => {
    const gone = u.lab.cgroup("gone");
    await rule("set 127.0.0.7", gone);
    await run(["rmdir", gone]);
    await rule("set 127.0.0.7");
    expect((await host.pins()).filter((path) => path.endsWith("-connect4"))).toHaveLength(2);
  });

  test("doctor tries their types", async () => {
    const { json } = await host.tcpx(["doctor"], { program, json: true, timeoutMs: 60_000 });
    const tried = json.checks.filter(({ name }: { name: string }) => name.endsWith(" programs"));
    expect(tried).toEqual(
      TYPES.map((type) => expect.objectContaining({ name: `${type} programs`, verdict: "ok" })),
    );
  }, 60_000);

  /** The next change cleans up, and whatever is left of a rule is that rule's. */
  async function settled(): Promise<void> {
    await rule("set 127.0.0.60");
    expect([await shown(), await source()]).toEqual(["127.0.0.60", "127.0.0.60"]);
    expect((await host.pins()).filter((path) => /gen-\d+$/.test(path))).toHaveLength(1);
    expect(await names()).toEqual(["tcpx", ...PROGRAMS]);
    await rule("unset --all");
    expect([await names(), await host.pins(), await source()]).toEqual([[], [], PLAIN]);
  }

  const inForce = async () => [await shown(), await source()];

  describe.each([
    ["a changed rule", "set 127.0.0.7", "set 127.0.0.8", "127.0.0.7", "127.0.0.8"],
    ["the first rule", "unset --all", "set 127.0.0.8", PLAIN, "127.0.0.8"],
    ["the last one", "set 127.0.0.7", "unset --all", "127.0.0.7", PLAIN],
  ])("%s", (_, before, after, old, wanted) => {
    const command = () => line(`bind-address ${after}`);
    const straced = straceRequirement;

    testIf(straced.ok, straced.reason)(
      "killed before each of its steps: what `show` says is what sockets have",
      async () => {
        await rule(before);
        const calls = await lastingCalls(u.lab, host, command());
        expect(calls.length).toBeGreaterThan(3);
        const seen = new Set<string>();
        for (const call of calls) {
          await rule(before);
          await killedAt(host, call, command());
          const [rules, sockets] = await inForce();
          expect([call, rules]).toEqual([call, sockets!]);
          expect([old, wanted]).toContain(sockets!);
          seen.add(sockets!);
        }
        expect(seen).toContain(old); // else the kills were too late
        await settled();
      },
      300_000,
    );

    testIf(straced.ok, straced.reason)(
      "refused by the kernel at each of its steps, for want of room: all of it, or nothing",
      async () => {
        await rule(before);
        const calls = await lastingCalls(u.lab, host, command());
        for (const call of calls.filter((one) => /PIN|CREATE|UPDATE/.test(one.command))) {
          await rule(before);
          const attached = await hung();
          const { code } = await refusedAt(host, call, "ENOSPC", command());
          const [rules, sockets] = await inForce();
          expect([call, code === 0 ? wanted : old]).toEqual([call, sockets!]);
          expect([call, rules]).toEqual([call, sockets!]);
          if (code !== 0) expect([call, await hung()]).toEqual([call, attached]);
        }
        await settled();
      },
      300_000,
    );
  });

  test("killed at any moment: what `show` says is what sockets have", async () => {
    let hits = 0;
    await sweep({
      rounds: 24,
      sweeps: 2,
      duration: async () => {
        await rule("set 127.0.0.7");
        return await shortest(["8", "7"].map((n) => () => rule(`set 127.0.0.${n}`)));
      },
      round: async (n, part, whole) => {
        const one = line(`bind-address set 127.0.0.${n % 2 ? 7 : 8}`);
        if (await killed(host, one, 1 + whole * 1.1 * part)) hits++;
        const [rules, sockets] = await inForce();
        expect(sockets).toBe(rules!);
      },
      enough: () => hits >= 6,
    });
    expect(hits).toBeGreaterThanOrEqual(6);
    await settled();
  }, 180_000);

  test("connections while rules change come from one of the two addresses", async () => {
    await rule("set 127.0.0.7");
    const { peer } = u.client;
    const { fd: listener, port } = await peer.listen(PLAIN);
    const seen: string[] = [];
    let busy = true;
    const connecting = (async () => {
      while (busy) {
        const fd = await peer.connect(PLAIN, port);
        const { fd: accepted } = await peer.accept(listener);
        seen.push((await peer.sockName(fd)).addr);
        await peer.reset(fd);
        await peer.close(accepted);
      }
    })();
    for (let n = 0; n < 10 || (n < 100 && seen.length < 50); n++) await rule(`set 127.0.0.${n % 2 ? 7 : 8}`);
    busy = false;
    await connecting;
    expect(seen.length).toBeGreaterThanOrEqual(50);
    expect(new Set(seen)).toEqual(new Set(["127.0.0.7", "127.0.0.8"]));
  }, 120_000);

  test("a newer tcpx takes them over: the same links, the same addresses, killed at each step too", async () => {
    const newer = await buildOther(u.lab.dir, 1, "99.0.0", tree.dir);
    const inner = u.lab.cgroup("older", scope);
    await rule("set 127.0.0.7");
    await rule("set 127.0.0.6 --to 192.0.2.1", inner);
    const ids = async () => (await links()).map(([, id]) => id).sort();
    const before = await ids();
    const take = ["bind-address", "set", "127.0.0.5", "--to", "192.0.2.1", "--cgroup", inner];
    if (straceRequirement.ok) {
      const command = `${newer} ${take.join(" ")}`;
      for (let at = 0; ; at++) {
        const calls = await lastingCalls(u.lab, host, command);
        await host.ok(["reset"], { program: newer });
        await rule("set 127.0.0.7");
        await rule("set 127.0.0.6 --to 192.0.2.1", inner);
        const call = calls[at * 3];
        if (!call) break;
        await killedAt(host, call, command);
        expect([call, await source()]).toEqual([call, "127.0.0.7"]);
      }
    }
    const now = straceRequirement.ok ? await ids() : before;
    await host.ok(take, { program: newer });
    expect(await source()).toBe("127.0.0.7");
    expect(await ids()).toEqual(now);
    const layouts = (await host.pins()).filter((path) => /\/v\d+$/.test(path));
    expect(layouts).toEqual([`/sys/fs/bpf/tcpx/v${LAYOUT_VERSION + 1}`]);
    await host.reset([], { program: newer });
    expect([await names(), await names(inner), await host.pins()]).toEqual([[], [], []]);
  }, 300_000);

  testIf(straceRequirement.ok, straceRequirement.reason)(
    "a take-over that is refused or killed at one of its last steps: the rule stays, also when a run ends; the next command goes on",
    async () => {
      const newer = await buildOther(u.lab.dir, 1, "99.0.0", tree.dir);
      const words = `${newer} bind-address set 127.0.0.5 --to 192.0.2.1 --cgroup ${scope}`;
      const begin = async () => {
        await host.ok(["reset"], { program: newer });
        await rule("set 127.0.0.7");
      };
      await begin();
      const calls = await lastingCalls(u.lab, host, words);
      const first = calls.findIndex(({ command }) => command === "BPF_LINK_UPDATE");
      // three programs with a pin each, two of them with a chain; the sock_ops link and its pin
      const last = calls.slice(first - 1, first + 9);
      expect(last.filter(({ command }) => command === "BPF_LINK_UPDATE")).toHaveLength(4);
      for (const call of last) {
        await begin();
        await killedAt(host, call, words);
        await host.ok(["internal-run-end", "/nonexistent"], { program: newer });
        expect([call, await source()]).toEqual([call, "127.0.0.7"]);
        await host.sh(words);
        expect([call, await source(), await names()]).toEqual([call, "127.0.0.7", ["tcpx", ...PROGRAMS]]);
        await begin();
        const { code, text } = await refusedAt(host, call, "ENOSPC", words);
        expect([call, code, await source()]).toEqual([call, 1, "127.0.0.7"]);
        expect(text).toContain("ENOSPC");
        expect([call, await shown()]).toEqual([call, "127.0.0.7"]);
        await host.sh(words);
        expect([call, await source()]).toEqual([call, "127.0.0.7"]);
      }
      await host.reset([], { program: newer });
      expect([await names(), await host.pins()]).toEqual([[], []]);
    },
    300_000,
  );
});
