// SPDX-License-Identifier: MIT
// Permissions of what tcpx makes, whatever the caller's umask, and how it puts a file in another's place.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { cgroupMount, Lab } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement, straceRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";

const UNITS = "/run/systemd/system";
const BPFFS = "/sys/fs/bpf/tcpx";

describeIf(labRequirement.ok, labRequirement.reason)("permissions", () => {
  let lab: Lab;
  let host: PrivateHost;
  let scope: string;
  /** As systemd would name a service's: only such a scope gets a drop-in. */
  let service: { slice: string; path: string; unit: string };

  beforeAll(async () => {
    lab = await Lab.create();
    scope = lab.cgroup("scope");
    const name = basename(lab.dir);
    const slice = join(cgroupMount(), `${name}.slice`);
    service = { slice, path: join(slice, `${name}.service`), unit: `${name}.service` };
    mkdirSync(service.path, { recursive: true });
    host = await PrivateHost.create(lab, { setup: `mkdir -p ${UNITS}` });
  });
  afterEach(async () => {
    for (const cgroup of [scope, service.path]) {
      for (const extension of ["ack", "uto"])
        await host.ok([extension, "unset", "--all", "--cgroup", cgroup]);
    }
    await host.ok(["agent", "--stop"]);
    await host.sh("find /run -mindepth 1 ! -path '/run/systemd*' ! -path /run/netns -delete");
  });
  afterAll(async () => {
    for (const path of [service.path, service.slice]) if (existsSync(path)) rmdirSync(path);
    await lab[Symbol.asyncDispose]();
  });

  const under = (umask: string, ...commands: string[]) =>
    host.sh([`umask ${umask}`, ...commands.map((words) => `${tcpxPath()} --quiet ${words}`)].join(" && "));
  const modes = async (...paths: string[]) =>
    (await host.sh(`stat -c '%a %n' ${paths.join(" ")}`)).trim().split("\n");

  describe.each(["000", "022", "077"])("under umask %s", (umask) => {
    test("the agent's directory and socket, and what is pinned, are root's alone", async () => {
      await under(umask, `ack set --every 8 --cgroup ${scope}`);
      expect((await host.ok(["status"], { json: true })).json.agent).toMatchObject({ running: true });
      expect(await host.sh(`find /run/tcpx ${BPFFS} -perm /077`)).toBe("");
      expect(await modes("/run/tcpx", BPFFS)).toEqual(["700 /run/tcpx", `700 ${BPFFS}`]);
    });

    test("a drop-in and the unit that it starts can be read by all", async () => {
      await under(umask, `uto set 30s --cgroup ${service.path}`);
      const [folder, template] = [`${UNITS}/${service.unit}.d`, `${UNITS}/tcpx-unit@.service`];
      expect(await modes(folder, `${folder}/50-tcpx.conf`, template)).toEqual([
        `755 ${folder}`,
        `644 ${folder}/50-tcpx.conf`,
        `644 ${template}`,
      ]);
      expect(await host.sh(`find ${UNITS} -name '.*'`)).toBe("");
    });

    test("the text for an exporter can be read by all", async () => {
      await host.sh("mkdir /run/exporter");
      await under(umask, "metrics --output /run/exporter/tcpx.prom");
      expect(await modes("/run/exporter/*")).toEqual(["644 /run/exporter/tcpx.prom"]);
    });

    test("others may look into the cgroup of a command, and make nothing in it", async () => {
      const own = `${cgroupMount()}$(sed -n s/^0:://p /proc/self/cgroup)`;
      const said = await under(umask, `run --uto 10s -- sh -c 'stat -c %a "${own}"; umask'`);
      // the command has the umask that tcpx was started with
      expect(said).toBe(`755\n0${umask}\n`);
    });
  });

  test("programs are not taken from where somebody else may put them", async () => {
    const evil = "/run/evil/bin";
    const names = ["systemctl", "systemd-run", "modprobe", "ip", "id"];
    await host.sh(`mkdir -p ${evil} && cd ${evil} && printf '#!/bin/sh\ntouch /run/ran-$(basename $0)\n' >x &&
      chmod 755 x && for name in ${names.join(" ")}; do cp x $name; done && chown -R 65534 /run/evil`);
    const env = { PATH: `${evil}:${process.env.PATH}` };
    await host.ok(["uto", "set", "30s", "--cgroup", service.path], { env });
    await host.ok(["ack", "set", "--every", "8", "--cgroup", scope], { env });
    await host.tcpx(["cc-request", "set", "nosuch", "--local", "--cgroup", scope], { env });
    await host.tcpx(["uto", "set", "30s", "--unit", "nosuch", "--user", "root"], { env });
    expect(await host.sh("ls /run")).not.toContain("ran-");
    expect(await host.sh(`cat ${UNITS}/${service.unit}.d/50-tcpx.conf`)).toMatch(
      /^ExecStartPre=-\+\/(usr\/)?bin\/systemctl /m,
    );
  });

  test("a directory of the agent that somebody else could have made is refused in one line", async () => {
    for (const make of [
      "mkdir -m 700 /run/tcpx && chown 65534 /run/tcpx",
      "mkdir -m 770 /run/tcpx",
      "mkdir -m 700 /run/real && ln -s real /run/tcpx",
      "touch /run/tcpx",
    ]) {
      await host.sh(make);
      const { code, stderr } = await host.tcpx(["agent", "--start"]);
      expect([make, code, stderr]).toEqual([
        make,
        4,
        "tcpx: /run/tcpx is not a directory of ours alone; it must be owned by root with mode 0700: look at it, then remove it\n",
      ]);
      await host.sh("rm -rf /run/tcpx /run/real");
    }
  });
});

describeIf(labRequirement.ok && straceRequirement.ok, "root and strace")("a file that is replaced", () => {
  let lab: Lab;
  let file: string;

  beforeAll(async () => {
    lab = await Lab.create();
    file = join(lab.dir, "out", "tcpx.prom");
    mkdirSync(join(lab.dir, "out"));
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  /** Writes it under strace. @returns the calls that concern its folder */
  async function traced(...flags: string[]): Promise<string[]> {
    const log = join(lab.dir, "trace");
    const calls = "trace=openat,open,rename,renameat,renameat2,fsync,fdatasync";
    const words = ["strace", "-f", "-y", "-o", log, "-e", calls, ...flags];
    await lab.spawn([...words, tcpxPath(), "metrics", "--output", file]).exited;
    return readFileSync(log, "utf8")
      .split("\n")
      .filter((line) => line.includes(join(lab.dir, "out")));
  }

  test("is on the disk before it takes the other's place, and then its name is", async () => {
    const calls = await traced();
    const step = (pattern: RegExp) => calls.findIndex((line) => pattern.test(line));
    const steps = [
      /O_CREAT\|O_EXCL.*O_NOFOLLOW/,
      /f(data)?sync\(\d+<[^>]*\/\.tcpx\.prom\./,
      /rename.*\/out\/tcpx\.prom"/,
      /fsync\(\d+<[^>]*\/out>\)/,
    ].map(step);
    expect(steps).not.toContain(-1);
    expect(steps).toEqual([...steps].sort((one, other) => one - other));
  });

  test.each([
    ["while it is written", "fsync:signal=KILL:when=1", 1],
    ["when it is about to take its place", "rename:signal=KILL:error=EIO", 1],
    ["when it has taken its place", "fsync:signal=KILL:when=2", 0],
  ])("killed %s: there is the old one or the new one, and the next removes the rest", async (_, at, left) => {
    writeFileSync(file, "old\n");
    await traced("-e", `inject=${at}`);
    const text = readFileSync(file, "utf8");
    if (left > 0) expect(text).toBe("old\n");
    else expect(text).toEndWith("# EOF\n");
    expect(readdirSync(join(lab.dir, "out"))).toHaveLength(1 + left);
    await traced();
    expect(readdirSync(join(lab.dir, "out"))).toEqual(["tcpx.prom"]);
  });

  test.each(["fsync", "rename"])("a failed %s leaves the old one and nothing else", async (call) => {
    writeFileSync(file, "old\n");
    await traced("-e", `inject=${call}:error=EIO`);
    expect(readFileSync(file, "utf8")).toBe("old\n");
    expect(readdirSync(join(lab.dir, "out"))).toEqual(["tcpx.prom"]);
  });
});
