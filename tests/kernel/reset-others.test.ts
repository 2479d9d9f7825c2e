// SPDX-License-Identifier: MIT
// reset where not all is ours: programs of a tcpx with another bpffs, and directories that nobody has finished.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { LAYOUT_VERSION } from "../../cli/layout/layout.generated.ts";
import { Lab } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";

const CONTAINER = "0123456789abcdef".repeat(4);

interface Other {
  program: number;
  name: string;
  cgroup: string;
  owner: Record<string, unknown> | null;
}

describeIf(labRequirement.ok, labRequirement.reason)("reset beside another tcpx", () => {
  let lab: Lab;
  let host: PrivateHost;
  /** On that host, with a bpffs and a /run of its own. */
  let box: PrivateHost;
  let netns: string;
  /** Scopes of theirs. */
  let [hosts, boxes] = ["", ""];

  beforeAll(async () => {
    lab = await Lab.create();
    netns = await lab.netns("net");
    host = await PrivateHost.create(lab);
    const cgroup = lab.cgroup(`docker-${CONTAINER}.scope`);
    box = await PrivateHost.create(lab, { within: host, cgroup });
    hosts = lab.cgroup("hosts");
    boxes = lab.cgroup("boxes");
  });
  afterEach(async () => {
    await box.ok(["reset"]);
    await host.ok(["reset"]);
    expect(await box.pins()).toEqual([]);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  const rules = async (of: PrivateHost, cgroup: string) =>
    (await of.ok(["uto", "show", "--cgroup", cgroup], { json: true })).json.rules.length;
  /** Others on this machine may have programs, too. */
  const found = (others: Other[], cgroup: string) => others.filter((other) => other.cgroup === cgroup);
  const inode = async (kind: string) => Number(/\d+/.exec(await box.sh(`readlink /proc/1/ns/${kind}`))?.[0]);

  test("is no proof where the kernel may not be asked, as in a user namespace: 4", async () => {
    const { code, stdout, stderr } = await host.tcpx(["reset"], {
      wrap: ["unshare", "--user", "--map-root-user"],
    });
    expect([code, stdout]).toEqual([4, ""]);
    expect(stderr).toMatch(/^tcpx: not permitted: /);
  });

  test("says whose the other programs are, leaves them alone, and ends with 0", async () => {
    await host.ok(["uto", "set", "8s", "--cgroup", hosts]);
    await box.ok(["uto", "set", "9s", "--cgroup", boxes]);
    const { json } = await host.ok(["reset"], { json: true });
    expect(json.proof).toMatchObject({ programs_left: [], pins_left: [] });
    const others = found(json.proof.programs_of_others, boxes);
    const owner = { pid: Number(box.init), bpffs: "/sys/fs/bpf" };
    expect(others.map(({ name }) => name).sort()).toEqual(["tcpx", "tcpx_reset"]);
    expect(others).toMatchObject([{ owner }, { owner }]);
    expect(others[0]!.owner).toMatchObject({
      command: "sh",
      container: CONTAINER.slice(0, 12),
      pid_namespace: await inode("pid"),
      mount_namespace: await inode("mnt"),
    });
    const { stdout } = await host.ok(["reset"]);
    const where = `pid ${box.init} (sh), container ${CONTAINER.slice(0, 12)}, pid namespace ${await inode("pid")}`;
    expect(stdout).toInclude(
      `left alone: 2 program(s) of another tcpx, with the bpffs /sys/fs/bpf of ${where}: at ${boxes}\n`,
    );
    expect(stdout).toInclude("checked: no program of this tcpx in any of ");
    expect(await rules(box, boxes)).toBe(2);
  });

  test("from inside the container, where nobody else can be seen, it says just that", async () => {
    await host.ok(["uto", "set", "8s", "--cgroup", hosts]);
    await box.ok(["uto", "set", "9s", "--cgroup", boxes]);
    const { json, code } = await box.ok(["reset"], { json: true });
    expect(code).toBe(0);
    expect(found(json.proof.programs_of_others, hosts)).toMatchObject([{ owner: null }, { owner: null }]);
    expect(found(json.proof.programs_of_others, boxes)).toEqual([]);
    expect((await box.ok(["reset"])).stdout).toInclude("whose bpffs and processes cannot be seen from here");
    expect(await rules(host, hosts)).toBe(2);
  });

  test("another one's agent keeps its programs and its routes", async () => {
    const stays = lab.spawn([...host.wrap, "cat"], { netns }); // so that the host knows of the namespace
    const routes = () => lab.exec(netns, ["ip", "rule", "show"]);
    await box.ok(["ack", "set", "--every", "8", "--cgroup", boxes]);
    await box.ok(["ack", "set", "--every", "1", "--to", "192.0.2.1"], { netns });
    const before = await routes();
    expect(before).toInclude("31904");
    const { pid } = (await box.ok(["status"], { json: true })).json.agent;
    const { json } = await host.ok(["reset"], { json: true });
    expect(await routes()).toBe(before);
    const thinner = found(json.proof.programs_of_others, boxes).filter(({ name }) => name !== "tcpx");
    expect(thinner.map(({ name }) => name).sort()).toEqual(["ack_egress", "ack_ingress"]);
    expect(thinner).toMatchObject([{ owner: { bpffs: null } }, { owner: { bpffs: null } }]);
    expect(json.proof.agents_of_others).toContain(Number(thinner[0]!.owner!.pid));
    expect((await box.ok(["status"], { json: true })).json.agent).toMatchObject({ running: true, pid });
    stays.stdin.end();
  });

  describe("and directories that nobody has finished", () => {
    const TOP = "/sys/fs/bpf/tcpx";
    const own = `v${LAYOUT_VERSION}`;

    for (const [what, script] of [
      ["a newer layout without anything in it", "mkdir v99"],
      ["a newer layout's scope without a link", "mkdir -p v99/1"],
      ["a newer layout's scope with a generation only", "mkdir -p v99/1/gen-5/rules"],
      ["a directory where the link should be", "mkdir -p v99/1/link"],
      ["a directory where the table should be", "mkdir -p v99/site"],
      ["a map where the layout's directory should be", `ln ${own}/conns v99`],
      ["a map where the link should be", `mkdir -p v99/1 && ln ${own}/conns v99/1/link`],
      ["a symbolic link instead of a layout", "ln -s /nowhere v99"],
      [
        "scopes of this layout without a link, or with something else of that name",
        `mkdir -p ${own}/7 ${own}/8/link`,
      ],
      ["no table of this layout, but a directory", `mkdir ${own}/site`],
      ["a number that is none", "mkdir -p v007/1 v99999999999999999999/1"],
      ["names that are not ours", "mkdir -p x/y && ln -s x z"],
    ] as const) {
      test(`${what}: it removes everything`, async () => {
        await host.ok(["uto", "set", "8s", "--cgroup", hosts]);
        await host.sh(`cd ${TOP} && ${script}`);
        expect((await host.ok(["reset", "--dry-run"])).stderr).toBe("");
        const { stdout } = await host.ok(["reset"]);
        expect(stdout).toInclude("checked: no ");
        expect(await host.pins()).toEqual([]);
        expect(
          found((await host.ok(["reset"], { json: true })).json.proof.programs_of_others, hosts),
        ).toEqual([]);
      });
    }

    test("without rules, too", async () => {
      await host.sh(`mkdir -m 700 ${TOP} && mkdir -p ${TOP}/v99/1`);
      await host.ok(["reset"]);
      expect(await host.pins()).toEqual([]);
    });

    test("a newer layout in which nothing is in force keeps nobody from setting rules", async () => {
      await host.sh(`mkdir -m 700 ${TOP} && mkdir -p ${TOP}/v99/1/gen-5`);
      await host.ok(["uto", "set", "8s", "--cgroup", hosts]);
      expect(await rules(host, hosts)).toBe(2);
    });

    test("a newer layout in which something is in force keeps everybody out with a clear word, whatever it is", async () => {
      await host.sh(`mkdir -m 700 ${TOP} && mkdir -p ${TOP}/v99/1/link`);
      const set = await host.tcpx(["uto", "set", "8s", "--cgroup", hosts]);
      expect(set).toMatchObject({ code: 1, stdout: "" });
      expect(set.stderr).toInclude("the rules here are of a newer tcpx (?, layout 99)");
      expect(set.stderr.trim().split("\n")).toHaveLength(1);
    });

    test("a newer tcpx's rules keep everybody but reset", async () => {
      await host.ok(["uto", "set", "8s", "--cgroup", hosts]);
      await host.sh(`cd ${TOP} && mkdir v99 && mv ${own}/* v99/`);
      const set = await host.tcpx(["uto", "set", "8s", "--cgroup", hosts]);
      expect(set).toMatchObject({ code: 1, stdout: "" });
      expect(set.stderr).toInclude("the rules here are of a newer tcpx");
      expect((await host.ok(["reset"])).stdout).toInclude("removed what tcpx ");
      expect(await host.pins()).toEqual([]);
    });

    test("what cannot be removed is named, with the reason; the rest is gone, and foreign files stay", async () => {
      await host.ok(["uto", "set", "8s", "--cgroup", hosts]);
      const place = `${TOP}/v99/1`;
      await host.sh(`mkdir -p ${place} && mount -t tmpfs tmpfs ${place} && touch ${place}/theirs`);
      const reset = await host.tcpx(["reset"]);
      expect(reset.code).toBe(1);
      expect(reset.stderr).toBe(`tcpx: still there: ${place} (something is mounted there)\n`);
      expect(reset.stdout).toInclude("removed 2 rule(s) in 1 scope(s)");
      expect(await host.pins()).toEqual([TOP, `${TOP}/v99`, place, `${place}/theirs`]);
      await host.sh(`umount ${place}`);
      await host.ok(["reset"]);
      expect(await host.pins()).toEqual([]);
    });

    test("a bpffs that may not be written: exit 1, and the reason", async () => {
      await host.ok(["uto", "set", "8s", "--cgroup", hosts]);
      await host.sh("mount -o remount,bind,ro /sys/fs/bpf");
      const reset = await host.tcpx(["reset"]);
      await host.sh("mount -o remount,bind,rw /sys/fs/bpf");
      expect(reset.code).toBe(1);
      expect(reset.stderr).toMatch(/still there: .*\(EROFS\)/);
      await host.ok(["reset"]);
    });
  });
});
