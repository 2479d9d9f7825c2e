// SPDX-License-Identifier: MIT
// The loop of connections.ts with two programs that nobody here wrote: nginx, which writes its access
// log, and ab without keep-alive.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Lab, until } from "../support/lab.ts";
import { tcpx } from "../support/tcpx.ts";
import { CASES, inTurn, type Run } from "./connections.ts";

/** What it needs, and the packages that have it. */
export const PROGRAMS = { nginx: "nginx-light", ab: "apache2-utils" } as const;

const CONNECTIONS = 2000;
const AT_ONCE = 8;
const PORT = 8080;
const SIZE = 1000;

/** CPU time of everything in a cgroup, microseconds. */
function usage(cgroup: string): number {
  return Number(/^usage_usec (\d+)$/m.exec(readFileSync(join(cgroup, "cpu.stat"), "utf8"))![1]);
}

/** One nginx for a scope, on a port of its own. */
export interface Server {
  netns: string;
  cgroup: string;
  port: number;
}

async function ab(lab: Lab, { netns, cgroup, port }: Server, connections: number): Promise<string> {
  const words = ["ab", "-q", "-n", `${connections}`, "-c", `${Math.min(connections, AT_ONCE)}`];
  return lab.exec(netns, [...words, `http://127.0.0.1:${port}/file`], "", cgroup);
}

/** Starts it. Its rules are there before: a listener that is older would not be the usual case. */
export async function serve(lab: Lab, netns: string, cgroup: string, index: number): Promise<Server> {
  const server = { netns, cgroup, port: PORT + index };
  const [name, log] = [`nginx-${index}`, join(lab.dir, `access-${index}.log`)];
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const paths = temporary.map((kind) => `${kind}_temp_path ${lab.dir};`).join(" ");
  const conf = lab.file(
    `${name}.conf`,
    `user root; worker_processes 1; daemon off; pid ${lab.dir}/${name}.pid; events {}
     http { access_log ${log}; ${paths} server { listen ${server.port}; root ${lab.dir}; } }`,
  );
  writeFileSync(join(lab.dir, "file"), Buffer.alloc(SIZE, "tcpx "));
  lab.spawn(["nginx", "-p", lab.dir, "-e", "stderr", "-c", conf], { netns, cgroup });
  const answers = () => ab(lab, server, 1).then(() => true);
  if (!(await until(() => answers().catch(() => false)))) throw new Error("nginx does not answer");
  return server;
}

export async function load(lab: Lab, server: Server, connections = CONNECTIONS): Promise<Run> {
  const before = usage(server.cgroup);
  const out = await ab(lab, server, connections);
  const [, perSecond] = /Requests per second: +([\d.]+)/.exec(out) ?? [];
  if (!/Failed requests: +0$/m.test(out)) throw new Error(out);
  return { perSecond: Number(perSecond), cpuMicros: (usage(server.cgroup) - before) / connections };
}

/** The table's rows. */
export function programRows(): Promise<string[][]> {
  return inTurn(async (lab, netns, cgroups) => {
    const servers: Server[] = [];
    for (const [i, { rules }] of CASES.entries()) {
      for (const rule of rules) await tcpx([...rule, "--cgroup", cgroups[i]!, "--wait"]);
      servers.push(await serve(lab, netns, cgroups[i]!, i));
    }
    return (i) => load(lab, servers[i]!);
  });
}
