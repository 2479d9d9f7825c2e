// SPDX-License-Identifier: MIT
// install.sh where the limits are too low for what it installs: one line, and nothing is made.

import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { Place, releaseOf, serve } from "../support/installer.ts";
import { LimitedCgroup, limitsRequirement } from "../support/limited.ts";
import { testIf } from "../support/requires.ts";

const shell = (script: string) => ["sh", "-c", `${script}; exec "$@"`, "sh"];

async function refused(before: readonly string[], says: string): Promise<void> {
  using place = new Place();
  using server = serve(releaseOf("0.1.0"));
  const result = await place.install(server.url, { before: [...before] });
  expect([result.code, result.errors]).toEqual([1, [says]]);
  expect(existsSync(place.prefix)).toBe(false);
}

test("address space", async () => {
  await refused(
    shell("ulimit -v 1024000"),
    "install: error: address space is limited to 1000 MB (ulimit -v): tcpx needs 3300 MB",
  );
});

testIf(limitsRequirement.ok, limitsRequirement.reason)("tasks and memory of a cgroup", async () => {
  const limits = [
    ["pids", 16, "processes are limited to 16 (ulimit -u, pids.max): tcpx needs 20"],
    ["memory", 16 << 20, "memory is limited to 16 MB by a cgroup (memory.max): tcpx needs 32 MB"],
  ] as const;
  for (const [controller, value, says] of limits) {
    await using cgroup = new LimitedCgroup(controller, `tcpx-t-install-${process.pid}-${controller}`);
    cgroup.limit(value);
    await refused(cgroup.wrap, `install: error: ${says}`);
  }
});

testIf(process.getuid?.() === 0, "root")(
  "without /proc, as in the root directory of an image, nothing is refused",
  async () => {
    using place = new Place();
    using server = serve(releaseOf("0.1.0"));
    const before = ["unshare", "--mount", "sh", "-c", 'umount -l /proc; exec "$@"', "sh"];
    const { errors } = await place.install(server.url, { before });
    expect(errors.filter((line) => /limited/.test(line))).toEqual([]);
    expect(existsSync(place.prefix)).toBe(true);
  },
);
