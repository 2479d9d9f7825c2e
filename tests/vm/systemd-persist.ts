// SPDX-License-Identifier: MIT
// Rules that are there again after a start of the system, as far as that can be had without one.

import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { run } from "../support/lab.ts";
import { tcpx } from "../support/tcpx.ts";
import { type Result, works } from "./report.ts";
import { check, tcpxOk } from "./support.ts";
import { expectTimeout, property, systemctl } from "./systemd-support.ts";

const UNIT = "tcpx.service";
const POLICY = "/etc/tcpx/policy.toml";
const NGINX = "/system.slice/nginx.service";
const PORT = 80;

/** What a boot finds: no rules, no service; then the unit, and then the service. */
async function startAsAtBoot(): Promise<void> {
  await systemctl("stop", "nginx");
  await tcpxOk(["reset"]);
  await systemctl("start", UNIT);
  const { scopes, agent } = (await tcpxOk(["status"])).json;
  const rules = scopes.map(({ unit, cgroup, rules }: { unit: string; cgroup: string; rules: unknown[] }) => {
    return `${unit ?? cgroup} ${rules.length}`;
  });
  check(rules.join(", ") === "/ 2, nginx.service 3", `after the start of the unit there are: ${rules}`);
  await systemctl("start", "nginx");
  await expectTimeout(NGINX, PORT, 30_000, "after the service's start");
  check(agent.running && agent.cgroups.includes(NGINX), `the agent: ${JSON.stringify(agent)}`);
  const cgroup = readFileSync(`/proc/${agent.pid}/cgroup`, "utf8");
  check(cgroup.includes("/tcpx-agent.service"), `the agent is in ${cgroup}`);
}

export async function persist(): Promise<Result> {
  rmSync(POLICY, { force: true });
  await systemctl("start", "nginx");
  const off = (await tcpxOk(["persist", "status"])).json;
  check(!off.enabled && off.policy === null, `at first: ${JSON.stringify(off)}`);
  await tcpxOk(["uto", "set", "20s", "--to", "192.0.2.0/24"]);
  await tcpxOk(["uto", "set", "30s", "--unit", "nginx"]);
  await tcpxOk(["ack", "set", "--every", "8", "--unit", "nginx"]);

  const dry = (await tcpxOk(["persist", "on", "--dry-run"])).json;
  check(
    !existsSync(POLICY) && dry.unit_text.includes("ExecStart="),
    "--dry-run has written, or shows no unit",
  );
  check((await tcpxOk(["persist", "on"])).json.changed === true, "on says that nothing changed");
  chmodSync(dirname(POLICY), 0o777);
  const open = await tcpx(["persist", "on"], { timeoutMs: 80_000 });
  const refused = /^tcpx: \/etc\/tcpx is a directory that others can write to: [^\n]*\n$/.test(open.stderr);
  check(open.code === 4 && refused, `with an open directory: exit ${open.code}, '${open.stderr}'`);
  chmodSync(dirname(POLICY), 0o755);
  check(
    (await tcpxOk(["persist", "on"])).json.changed === false,
    "a second time says that something changed",
  );
  check((await systemctl("is-enabled", UNIT)).trim() === "enabled", "the unit is not enabled");
  const said = await run(["systemd-analyze", "verify", "--no-pager", UNIT]);
  check(said === "", `systemd-analyze verify: ${said}`);
  const security = /: (\d+\.\d+ \S+)/.exec(await run(["systemd-analyze", "security", "--no-pager", UNIT]));

  await startAsAtBoot();
  check((await property(UNIT, "Result")) === "success", "the unit has failed");
  const now = (await tcpxOk(["persist", "status"])).json;
  check(now.enabled && now.current && now.last_result === "success", `status says ${JSON.stringify(now)}`);

  await tcpxOk(["ack", "unset", "--all", "--unit", "nginx"]);
  check(
    (await tcpxOk(["persist", "status"])).json.current === false,
    "an old file counts as the present rules",
  );
  writeFileSync(POLICY, `${readFileSync(POLICY, "utf8")}# by hand\n`);
  await tcpxOk(["persist", "on"]);
  check(readFileSync(`${POLICY}.old`, "utf8").endsWith("# by hand\n"), "what was written by hand is lost");

  check((await tcpxOk(["persist", "off"])).json.changed === true, "off says that nothing changed");
  check((await tcpxOk(["persist", "off"])).json.changed === false, "off changes something twice");
  check((await property(UNIT, "LoadState")) === "not-found", "systemd still knows the unit");
  return works(`systemd-analyze verify: clean, security ${security?.[1] ?? "unknown"}`);
}
