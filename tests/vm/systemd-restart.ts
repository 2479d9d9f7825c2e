// SPDX-License-Identifier: MIT
// Rules of services that stop and start: their cgroup is another one each time.

import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupMount, run, until } from "../support/lab.ts";
import { tcpx } from "../support/tcpx.ts";
import { type Result, works } from "./report.ts";
import { check, tcpxOk } from "./support.ts";
import { expectTimeout, property, systemctl } from "./systemd-support.ts";

const DROP_INS = "/run/systemd/system";
const PORT = 8090;
const UNIT = "tcpx-guest.service";
const CGROUP = `/system.slice/${UNIT}`;

const inode = (cgroup: string) => statSync(join(cgroupMount(), cgroup)).ino;
const scopes = async (): Promise<{ unit: string; alive: boolean; waiting: boolean; rules: unknown[] }[]> =>
  (await tcpxOk(["status"])).json.scopes;

/** A service that may do next to nothing, and less memory than tcpx needs. */
const CONFINED = `[Service]
ExecStart=/busybox/httpd -f -p 127.0.0.1:${PORT}
Restart=always
RestartSec=0
User=nobody
ProtectSystem=strict
PrivateDevices=yes
PrivateNetwork=no
NoNewPrivileges=yes
CapabilityBoundingSet=
MemoryMax=8M
TasksMax=3
LimitNPROC=8
RestrictAddressFamilies=AF_INET
SystemCallFilter=@system-service
`;

async function noneLeft(when: string): Promise<void> {
  const found = await run(["sh", "-c", `find ${DROP_INS} -name '*tcpx*'`]);
  check(found === "", `${when}: left in ${DROP_INS}: ${found}`);
}

/** `systemctl restart`, a crash, a stop and a start, daemon-reload: the rule holds. */
export async function restarts(): Promise<Result> {
  writeFileSync(`/etc/systemd/system/${UNIT}`, CONFINED);
  await systemctl("daemon-reload");
  await systemctl("start", UNIT);
  const { stderr } = await tcpxOk(["uto", "set", "30s", "--unit", UNIT]);
  check(stderr === "", `set says '${stderr}'`);
  await expectTimeout(CGROUP, PORT, 30_000, "with the rule");

  const before = inode(CGROUP);
  await systemctl("restart", UNIT);
  check(inode(CGROUP) !== before, "the cgroup is not another one");
  await expectTimeout(CGROUP, PORT, 30_000, "after a restart");

  const starter = `tcpx-unit@${UNIT}.service`;
  const may = (await property(starter, "CapabilityBoundingSet")).split(" ");
  check(may.includes("cap_bpf") && !may.includes("cap_setuid"), `${starter} has ${may}`);
  for (const [name, value] of Object.entries({ NoNewPrivileges: "yes", ProtectSystem: "strict" })) {
    const found = await property(starter, name);
    check(found === value, `${starter}: ${name} is ${found}`);
  }

  const pid = Number(await property(UNIT, "MainPID"));
  process.kill(pid, "SIGKILL");
  const another = async () => ![0, pid].includes(Number(await property(UNIT, "MainPID")));
  check(await until(another, 30_000), "systemd does not start it again");
  await expectTimeout(CGROUP, PORT, 30_000, "after a crash");

  await tcpxOk(["uto", "set", "40s", "--unit", UNIT]);
  await systemctl("stop", UNIT);
  await systemctl("daemon-reload");
  const [state] = await scopes();
  check(state?.unit === UNIT && !state.alive && state.waiting, `status says ${JSON.stringify(state)}`);
  const { stdout } = await tcpxOk(["status"], { json: false });
  check(/does not run: its rules wait/.test(stdout), `status says ${stdout}`);
  await systemctl("start", UNIT);
  await expectTimeout(CGROUP, PORT, 40_000, "after a stop, a change and a start");
  const after = await scopes();
  check(after.length === 1 && after[0]!.alive, `status says ${JSON.stringify(after)}`);
  check((await property(UNIT, "Result")) === "success", "the service has suffered");
  return works("restart, crash, stop and start; of a confined service");
}

/** Rules that wait: shown, not changed, kept by changes elsewhere, removed. */
export async function waiting(): Promise<Result> {
  await systemctl("start", UNIT);
  await tcpxOk(["uto", "set", "30s", "--unit", UNIT]);
  await systemctl("stop", UNIT);
  // a change in another scope clears away what is stale
  await tcpxOk(["uto", "set", "20s", "--unit", "nginx"]);
  const shown = await tcpxOk(["uto", "show", "--unit", UNIT]);
  check(shown.json.rules.length === 2 && shown.json.rules[0].waiting, `show says ${shown.stdout}`);
  const change = await tcpx(["uto", "set", "50s", "--unit", UNIT], { timeoutMs: 80_000 });
  check(
    change.code === 2 && /does not run: the rules that wait/.test(change.stderr),
    `set says '${change.stderr}'`,
  );
  await tcpxOk(["uto", "unset", "--all", "--unit", UNIT]);
  await systemctl("start", UNIT);
  await expectTimeout(CGROUP, PORT, 0, "after unset while it was stopped");
  check(!existsSync(`${DROP_INS}/${UNIT}.d`), "its drop-in is left");
  check(existsSync(`${DROP_INS}/nginx.service.d/50-tcpx.conf`), "the other's drop-in is gone");
  check((await property(UNIT, "NeedDaemonReload")) === "no", "systemd was not told");

  await tcpxOk(["uto", "unset", "--all", "--unit", "nginx"]);
  await noneLeft("after the last rule");
  await tcpxOk(["uto", "set", "20s", "--unit", "nginx"]);
  await tcpxOk(["reset"]);
  await noneLeft("after reset");
  await systemctl("restart", "nginx");
  return works("shown, removable, gone with reset");
}

/** Rules of a unit that cannot be kept: the command says so. */
export async function notKept(): Promise<Result> {
  const warning = async (...scope: string[]) => {
    const { stderr } = await tcpxOk(["uto", "set", "30s", ...scope]);
    await tcpxOk(["uto", "unset", "--all", ...scope]);
    return stderr;
  };
  const user = await warning("--unit", "web", "--user", "ada");
  check(
    /web\.service is of a user's systemd: when it stops, the rule ends with it/.test(user),
    `it says '${user}'`,
  );
  const slice = await warning("--unit", "user.slice");
  check(/when the last unit in user\.slice stops/.test(slice), `of a slice it says '${slice}'`);
  await noneLeft("without a service");
  return works("user units and slices, with a warning");
}

/** An ACK rule comes back with its agent. */
export async function agentReturns(): Promise<Result> {
  const agent = async () => (await tcpxOk(["status"])).json.agent;
  await tcpxOk(["ack", "set", "--every", "8", "--unit", "nginx"]);
  await systemctl("stop", "nginx");
  await tcpxOk(["agent", "--stop"]);
  await systemctl("start", "nginx");
  const now = await agent();
  check(now.running && now.cgroups.includes("/system.slice/nginx.service"), `it says ${JSON.stringify(now)}`);
  check(
    readFileSync(`/proc/${now.pid}/cgroup`, "utf8").includes("/tcpx-agent.service"),
    "the agent is elsewhere",
  );
  await tcpxOk(["ack", "unset", "--all", "--unit", "nginx"]);
  return works("started with the service");
}
