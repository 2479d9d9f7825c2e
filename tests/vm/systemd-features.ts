// SPDX-License-Identifier: MIT
// What only a real systemd can show. A new feature is one entry.

import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { run, until } from "../support/lab.ts";
import { tcpx } from "../support/tcpx.ts";
import { bpfObjects } from "./bpf-objects.ts";
import { type Result, works } from "./report.ts";
import type { Attempt } from "./run-features.ts";
import { check, tcpxOk } from "./support.ts";
import { persistedBoot } from "./systemd-boot.ts";
import { persist } from "./systemd-persist.ts";
import { agentReturns, notKept, restarts, waiting } from "./systemd-restart.ts";
import { ADA, expectTimeout, property, systemctl } from "./systemd-support.ts";

const EXIT_USAGE = 2;
const NGINX = "/system.slice/nginx.service";
const NGINX_PORT = 80;
const AGENT = "tcpx-agent.service";

async function systemd(): Promise<Result> {
  const state = (await systemctl("is-system-running", "--wait").catch((e: Error) => e.message)).trim();
  const failed = await systemctl("list-units", "--failed", "--plain", "--no-legend");
  check(state === "running", `the system is ${state}: ${failed}`);
  return works((await run(["systemctl", "--version"])).split("\n")[0]!);
}

/** One line that says `what`, and nothing is changed. */
async function refused(what: RegExp, ...scope: string[]): Promise<void> {
  const { code, stderr } = await tcpx(["uto", "set", "30s", ...scope], { timeoutMs: 80_000 });
  check(code === EXIT_USAGE, `${scope.join(" ")}: exit ${code}`);
  check(
    what.test(stderr) && stderr.trim().split("\n").length === 1,
    `${scope.join(" ")}: it says '${stderr}'`,
  );
}

async function noUnit(): Promise<Result> {
  await systemctl("stop", "nginx");
  await refused(/^tcpx: there is no unit nosuch\.service; /, "--unit", "nosuch");
  await refused(/^tcpx: unit nginx\.service does not run; start it first/, "--unit", "nginx");
  await refused(/is a timer, which has no processes/, "--unit", "systemd-tmpfiles-clean.timer");
  await refused(/^tcpx: unit web\.service of user 1000 does not run; /, "--unit", "web", "--user", "ada");
  const { json } = await tcpxOk(["status"]);
  check(json.active === false, "a refused command has left something");
  return works(`one line, exit ${EXIT_USAGE}`);
}

/** Set, seen on connections, shown, and unset. */
async function ruleFor(cgroup: string, unit: string, port: number, ...scope: string[]): Promise<void> {
  await expectTimeout(cgroup, port, 0, "before");
  const { json } = await tcpxOk(["uto", "set", "30s", ...scope]);
  check(json.scope.cgroup === cgroup && json.scope.unit === unit, `it says ${JSON.stringify(json.scope)}`);
  await expectTimeout(cgroup, port, 30_000, "with the rule");
  const status = await tcpxOk(["status"]);
  check(status.json.scopes[0]?.unit === unit, `status says ${JSON.stringify(status.json.scopes)}`);
  const { stdout } = await tcpxOk(["status"], { json: false });
  check(stdout.includes(unit), `status says ${stdout}`);
  await tcpxOk(["uto", "unset", "--all", ...scope]);
  await expectTimeout(cgroup, port, 0, "after unset");
}

async function systemUnit(): Promise<Result> {
  await systemctl("start", "nginx");
  await ruleFor(NGINX, "nginx.service", NGINX_PORT, "--unit", "nginx");
  for (const scope of [
    ["--pid", await property("nginx", "MainPID")],
    ["--unit", "system.slice"],
  ]) {
    await tcpxOk(["uto", "set", "20s", ...scope]);
    await expectTimeout(NGINX, NGINX_PORT, 20_000, scope.join(" "));
    await tcpxOk(["uto", "unset", "--all", ...scope]);
  }
  return works("nginx.service by name and pid, system.slice");
}

const USER_UNIT = "/home/ada/.config/systemd/user/web.service";
const WEB = "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service";
const WEB_PORT = 8080;

async function userUnit(): Promise<Result> {
  chownSync("/home/ada", 1000, 1000);
  mkdirSync("/home/ada/.config/systemd/user", { recursive: true });
  writeFileSync(USER_UNIT, `[Service]\nExecStart=/busybox/httpd -f -p 127.0.0.1:${WEB_PORT}\n`);
  await systemctl("start", "user@1000.service");
  await run([...ADA, "systemctl", "--user", "start", "web.service"]);
  await ruleFor(WEB, "web.service", WEB_PORT, "--unit", "web", "--user", "ada");
  await refused(
    /user 1000 has one of this name: add --user 1000|there is no unit web\.service/,
    "--unit",
    "web",
  );
  return works("web.service of user 1000");
}

/** What the kernel says of the agent's confinement. */
function confinement(pid: number): string {
  const of = (key: string) =>
    new RegExp(`^${key}:\\s*(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  const mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8")
    .split("\n")
    .map((line) => line.split(" "));
  const options = (path: string) => mounts.findLast((words) => words[4] === path)?.[5] ?? "";
  check(of("NoNewPrivs") === "1", "the agent may gain privileges");
  check(options("/").startsWith("ro"), `the agent's / is mounted ${options("/")}`);
  check(options("/run").startsWith("rw"), `the agent's /run is mounted ${options("/run")}`);
  return `CapBnd ${of("CapBnd")?.replace(/^0+/, "")}`;
}

/** Ids of the BPF programs that a process keeps alive, as the kernel says. */
function programsOf(pid: number): number[] {
  const files = readdirSync(`/proc/${pid}/fdinfo`).map((fd) =>
    readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"),
  );
  return files.flatMap((text) =>
    /^prog_type:/m.test(text) ? Number(/^prog_id:\s*(\d+)/m.exec(text)?.[1]) : [],
  );
}

interface AgentJson {
  running: boolean;
  pid: number;
  cgroups: string[];
  problems: string[];
}

const agentNow = async (): Promise<AgentJson> => (await tcpxOk(["status"])).json.agent;

/** Runs it in a scope of its own, which is over afterwards, as a session is. */
async function inSession(...words: string[]): Promise<void> {
  await run([
    "systemd-run",
    "--quiet",
    "--scope",
    "--collect",
    "--unit=session-99",
    process.env.TCPX_BIN!,
    ...words,
  ]);
  await until(async () => (await property("session-99.scope", "ActiveState")) === "inactive", 20_000);
}

async function agentUnit(): Promise<Result> {
  await inSession("ack", "set", "--every", "8", "--unit", "nginx");
  const pid = Number(await property(AGENT, "MainPID"));
  const agent = await agentNow();
  check(agent.running && agent.pid === pid, `status says ${JSON.stringify(agent)}, systemd pid ${pid}`);
  check(agent.cgroups.includes(NGINX) && agent.problems.length === 0, `it says ${JSON.stringify(agent)}`);
  check(readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(`/system.slice/${AGENT}`), "it is elsewhere");
  check((await systemctl("status", AGENT)).includes("tcpx: agent for ACKs"), "systemctl does not know it");
  const confined = confinement(pid);
  const security = /: (\d+\.\d+ \S+)/.exec(await run(["systemd-analyze", "security", "--no-pager", AGENT]));

  const thinner = programsOf(pid);
  check(thinner.length > 0, "the agent holds no program");
  process.kill(pid, "SIGKILL");
  // the thinner goes with its process: its programs are no more, and the next agent loads others
  const left = () => bpfObjects().programs.filter((id) => thinner.includes(id));
  check(await until(() => left().length === 0, 20_000), `programs of the killed agent are left: ${left()}`);
  const again = async () => {
    const now = await agentNow();
    return now.running && now.pid !== pid && now.cgroups.includes(NGINX);
  };
  check(await until(again, 40_000), "systemd has not started the agent again");
  check((await property(AGENT, "NRestarts")) === "1", "systemd counts no restart");

  await tcpxOk(["agent", "--stop"]);
  const warned = await tcpxOk(["status"], { json: false });
  check(warned.stderr.includes("the agent does not run"), `status says '${warned.stderr}'`);
  await tcpxOk(["agent", "--start"]);
  check((await property(AGENT, "ActiveState")) === "active", "--start has not started the unit");
  await tcpxOk(["ack", "unset", "--all", "--unit", "nginx"]);
  const gone = async () => (await property(AGENT, "ActiveState")) === "inactive";
  check(await until(gone, 20_000), "the unit does not end with the last rule");
  check(await until(() => !existsSync("/run/tcpx"), 20_000), "/run/tcpx is left");
  return works(`${confined}, systemd-analyze security ${security?.[1] ?? "unknown"}`);
}

/** One feature's failure is not the next one's. */
const alone = (run: () => Promise<Result>) => async (): Promise<Result> => {
  try {
    return await run();
  } finally {
    await tcpx(["reset"], { timeoutMs: 80_000 });
  }
};

export const systemdFeatures: Attempt[] = [
  { name: "systemd", run: systemd },
  { name: "a boot with persist on", run: alone(persistedBoot) },
  { name: "no such unit", run: noUnit },
  { name: "system unit", run: alone(systemUnit) },
  { name: "user unit", run: alone(userUnit) },
  { name: "agent as a unit", run: alone(agentUnit) },
  { name: "a service that restarts", run: alone(restarts) },
  { name: "rules that wait", run: alone(waiting) },
  { name: "units that are not kept", run: alone(notKept) },
  { name: "the agent with its service", run: alone(agentReturns) },
  { name: "persist", run: alone(persist) },
];
