#!/usr/bin/env bun
// SPDX-License-Identifier: MIT
// A thinner and its agent in a process of their own, to be killed: CGROUP as the argument. Writes a line
// when it is attached, and takes lines "PID FD EVERY DELAY_US" that give a socket a strategy.

import { openSync, statSync } from "node:fs";
import { Thinner } from "../../cli/agent/thinner.ts";
import { bridge } from "../../cli/bridge/bridge.ts";
import { ThinCounter } from "../../cli/layout/layout.generated.ts";
import { Agent } from "./agent-thread.ts";
import { setStrategy } from "./thinner-lab.ts";

const cgroup = process.argv[2]!;
const lib = await bridge();
const thinner = await Thinner.load(lib);
thinner.attach(statSync(cgroup, { bigint: true }).ino, openSync(cgroup, "r"));
const agent = new Agent(lib, thinner.heldFd, thinner.servedFd, -1, thinner.holdsFd);
console.log("attached");
for await (const line of console) {
  const [pid, fd, every, delay] = line.split(" ").map(Number) as [number, number, number, number];
  if (line === "stats") {
    const dropped = thinner.counters().get(1)?.[ThinCounter.DROPPED] ?? 0;
    console.log(JSON.stringify({ dropped, ...agent.stats() }));
    continue;
  }
  setStrategy(lib, thinner.map("conns"), pid, fd, { every, delay_us: delay });
  console.log("set");
}
agent.stop();
thinner[Symbol.dispose]();
