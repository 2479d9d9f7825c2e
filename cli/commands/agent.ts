// SPDX-License-Identifier: MIT

import { writeFileSync } from "node:fs";
import { type Outcome, runAgent } from "../agent/agent.ts";
import { healthJson, healthText } from "../agent/health.ts";
import { notifyAgent } from "../agent/notify.ts";
import { ensureRunDir, FAILURE } from "../agent/run-dir.ts";
import { stopAgent } from "../agent/start.ts";
import { CAPABILITIES } from "../agent/transient-unit.ts";
import { flagArg, globalArgs } from "../base/args.ts";
import { Exit, type ExitCode, usageError } from "../base/errors.ts";
import { bridge } from "../bridge/bridge.ts";
import { openHost } from "../flags/host-access.ts";
import type { Io } from "../output/io.ts";
import { becomeConfined } from "../system/confine.ts";
import { leaf } from "./types.ts";

const command = "agent";

function reportEnd(io: Io, outcome: Outcome, wasReady: boolean): void {
  const { end } = outcome;
  if (end === "already") {
    io.json({ command, changed: false, agent: { running: true, pid: outcome.pid } });
    io.print(`the agent runs already, pid ${outcome.pid}`);
  } else if (end === "unneeded") {
    if (!wasReady) io.json({ command, changed: false, agent: healthJson(undefined) });
    io.print(wasReady ? "no rule needs the agent any more" : "no rule needs the agent");
  } else {
    io.print(`ended by ${outcome.by}`);
  }
}

async function foreground(io: Io): Promise<ExitCode> {
  const { lib } = await openHost();
  becomeConfined(lib, CAPABILITIES);
  let wasReady = false;
  const outcome = await runAgent(lib, (answer) => {
    wasReady = true;
    io.json({ command, changed: true, agent: healthJson(answer) });
    io.print(healthText(answer));
    for (const problem of answer.problems) io.messages.warn(problem);
  });
  reportEnd(io, outcome, wasReady);
  return Exit.DONE;
}

async function start(io: Io): Promise<ExitCode> {
  const { lib } = await openHost();
  const answer = await notifyAgent(lib);
  io.json({ command, agent: healthJson(answer) });
  io.print(answer ? healthText(answer) : "no rule needs the agent");
  if (answer?.refused) return answer.refused;
  return answer && answer.problems.length > 0 ? Exit.FAILED : Exit.DONE;
}

async function stop(io: Io): Promise<ExitCode> {
  const { lib } = await openHost();
  const stopped = await stopAgent(lib);
  io.json({
    command,
    changed: stopped !== undefined,
    stopped: stopped?.pid ?? null,
    killed: stopped?.killed ?? false,
    agent: healthJson(undefined),
  });
  if (stopped)
    io.print(`ended the agent, pid ${stopped.pid}${stopped.killed ? ", which had to be killed" : ""}`);
  else io.print("no agent runs");
  return Exit.DONE;
}

export const agent = leaf({
  summary:
    "The process behind ack rules: sends the ACKs that were held back, and keeps the routes for ACKs at once.",
  args: {
    start: { type: "boolean", description: "Start it in the background, as `tcpx ack set` does, and return" },
    stop: { type: "boolean", description: "End it: rules stay, and TCP acknowledges as the kernel does" },
    ...globalArgs,
  },
  examples: [
    ["tcpx agent", "Run it here, until no rule needs it or Ctrl-C; shows why it does not start"],
    ["tcpx agent --start", "Start it again after somebody killed it"],
    ["tcpx agent --stop", "Back to stock acknowledgments, rules stay"],
  ],
  notes: [
    "Rules that need it start it, as the unit tcpx-agent.service where there is systemd, else as a process of " +
      "its own session; with the last such rule it ends. One per host: where one runs already this is told, " +
      "and is no error. Whatever ends it, connections go on with the kernel's own acknowledgments.",
  ],
  run(args, io) {
    if (flagArg(args, "start") && flagArg(args, "stop")) {
      throw usageError("--start and --stop exclude each other", "--start", "give one of them");
    }
    if (flagArg(args, "stop")) return stop(io);
    return flagArg(args, "start") ? start(io) : foreground(io);
  },
});

/** In the background nobody sees stderr: whoever started it reads the reason from a file. */
export const internalAgent = leaf({
  summary: "The agent in the background; not for people.",
  args: { ...globalArgs },
  async run() {
    try {
      const lib = await bridge();
      becomeConfined(lib, CAPABILITIES);
      await runAgent(lib, () => {});
      return Exit.DONE;
    } catch (error) {
      ensureRunDir();
      writeFileSync(FAILURE, `${(error as Error).message}\n`, { mode: 0o600 });
      return Exit.FAILED;
    }
  },
});
