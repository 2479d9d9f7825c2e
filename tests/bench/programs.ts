// SPDX-License-Identifier: MIT
// The same as connections.ts with two programs that nobody here wrote: nginx, and ab without keep-alive.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Lab, until } from "../support/lab.ts";
import { tcpx } from "../support/tcpx.ts";
import { CASES, ROUNDS, type Run, row } from "./connections.ts";

const CONNECTIONS = 2000;
const PORT = 8080;
const SIZE = 1000;

/** CPU time of everything in a cgroup, microseconds. */
function usage(cgroup: string): number {
  return Number(/^usage_usec (\d+)$/m.exec(readFileSync(join(cgroup, "cpu.stat"), "utf8"))![1]);
}

/** One nginx per case, in its cgroup, on a port of its own. */
async function serve(lab: Lab, netns: string, cgroup: string, port: number): Promise<void> {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const paths = temporary.map((name) => `${name}_temp_path ${lab.dir};`).join(" ");
  const conf = lab.file(
    `nginx-${port}.conf`,
    `user root; worker_processes 1; daemon off; pid ${lab.dir}/nginx-${port}.pid; events {}
     http { access_log off; ${paths} server { listen ${port}; root ${lab.dir}; } }`,
  );
  lab.spawn(["nginx", "-p", lab.dir, "-e", "stderr", "-c", conf], { netns, cgroup });
  const answers = () => lab.exec(netns, ["curl", "-sS", `http://127.0.0.1:${port}/file`]).then(() => true);
  if (!(await until(() => answers().catch(() => false)))) throw new Error("nginx does not answer");
}

async function load(lab: Lab, netns: string, cgroup: string, port: number): Promise<Run> {
  const url = `http://127.0.0.1:${port}/file`;
  const before = usage(cgroup);
  const out = await lab.exec(netns, ["ab", "-q", "-n", `${CONNECTIONS}`, "-c", "1", url], "", cgroup);
  const [, perSecond] = /Requests per second: +([\d.]+)/.exec(out) ?? [];
  if (!/Failed requests: +0$/m.test(out)) throw new Error(out);
  return { perSecond: Number(perSecond), cpuMicros: (usage(cgroup) - before) / CONNECTIONS };
}

/** Runs all cases ROUNDS times in turn and returns the table's rows. */
export async function programRows(): Promise<string[][]> {
  await using lab = await Lab.create();
  const netns = await lab.netns("programs");
  writeFileSync(join(lab.dir, "file"), Buffer.alloc(SIZE, "tcpx "));
  const runs = new Map<string, Run[]>(CASES.map(({ name }) => [name, []]));
  const places = CASES.map((_, i) => ({ cgroup: lab.cgroup(`case${i}`), port: PORT + i }));
  try {
    for (const [i, { rules }] of CASES.entries()) {
      const { cgroup, port } = places[i]!;
      // rules first: a listener that is older would not be the usual case
      for (const rule of rules) await tcpx([...rule, "--cgroup", cgroup, "--wait"]);
      await serve(lab, netns, cgroup, port);
    }
    for (let round = -1; round < ROUNDS; round++) {
      for (const [i, { name }] of CASES.entries()) {
        const run = await load(lab, netns, places[i]!.cgroup, places[i]!.port);
        if (round >= 0) runs.get(name)!.push(run); // the first round warms up
      }
    }
  } finally {
    for (const { cgroup } of places)
      for (const ext of ["uto", "cc-request", "iw"])
        await tcpx([ext, "unset", "--all", "--cgroup", cgroup, "--wait"]);
  }
  return CASES.map(({ name }) => row(name, runs.get(name)!, runs.get(CASES[0]!.name)!));
}
