// SPDX-License-Identifier: MIT
// Starts the agent in the background, such that it outlives whoever did: as a transient unit where there is
// systemd, else as a process of its own session. Ends it, too.

import { readFileSync, readlinkSync, unlinkSync } from "node:fs";
import { Exit, TcpxError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { childEnvironment } from "../system/child.ts";
import { inNetns } from "../system/netns.ts";
import { QUIET } from "../system/runtime-env.ts";
import { self } from "../system/self.ts";
import type { AgentAnswer } from "./health.ts";
import { END_MS, pidWithLock, tryLock, waitLock } from "./lock.ts";
import { checkRunDir, clearRunDir, ensureRunDir, FAILURE } from "./run-dir.ts";
import { askAgent } from "./socket.ts";
import { stopUnit, systemdRun } from "./transient-unit.ts";

const START_MS = 15_000;

/** What became of a process that was to be the agent; undefined: it runs, or systemd looks after it. */
type Fate = () => { code: number } | undefined;

/**
 * In the network namespace of process 1, where we may: the agent is for all of them, and must not keep
 * alive the one that a command happened to be run in. Children inherit it from the calling thread.
 */
function inHostNetns<T>(lib: Bridge, action: () => T): T {
  const [own, host] = ["/proc/thread-self/ns/net", "/proc/1/ns/net"];
  try {
    if (readlinkSync(own) === readlinkSync(host)) return action();
  } catch {
    return action(); // no /proc, or not our business
  }
  const done = inNetns(lib, host, action);
  return done ? done.value : action();
}

function spawnDetached(lib: Bridge): Fate {
  const env = { ...childEnvironment(), ...QUIET };
  const spawn = () =>
    Bun.spawn([...self(), "internal-agent"], {
      stdio: ["ignore", "ignore", "ignore"],
      cwd: "/",
      env,
      detached: true, // setsid()
    });
  const child = inHostNetns(lib, spawn);
  child.unref();
  return () => {
    const { exitCode, signalCode } = child;
    return exitCode === null && signalCode === null ? undefined : { code: exitCode ?? 128 };
  };
}

/** The reason that an agent has left; it is taken away. */
function takeFailure(): string | undefined {
  try {
    const text = readFileSync(FAILURE, "utf8").trim();
    unlinkSync(FAILURE);
    return text || undefined;
  } catch {
    return undefined;
  }
}

/** @param told whether the agent itself gave the reason */
function startError(lib: Bridge, why: string, told = false): TcpxError {
  const held = tryLock(lib);
  if (held) clearRunDir(); // else it still tries
  held?.[Symbol.dispose]();
  return new TcpxError(Exit.FAILED, `the agent did not start: ${why}`, {
    hint: told ? "`tcpx agent --start` tries again" : "`tcpx agent` in the foreground shows the reason",
  });
}

async function spawnAgent(lib: Bridge): Promise<Fate> {
  const unit = await systemdRun([...self(), "internal-agent"]);
  return unit ? () => undefined : spawnDetached(lib);
}

/**
 * Starts the agent and waits until it serves. Starting a second one is harmless: it finds the first and ends.
 * @returns its first answer; undefined when it found nothing to do
 * @throws TcpxError with the agent's own reason
 */
export async function startAgent(lib: Bridge): Promise<AgentAnswer | undefined> {
  ensureRunDir();
  takeFailure(); // of somebody who did not wait for it
  const fate = await spawnAgent(lib);
  for (const end = performance.now() + START_MS; ; await Bun.sleep(10)) {
    const ended = fate(); // before asking: one that has ended cleanly may have left its place to another
    // it listens before its first look at the rules, which may take a while
    const answer = await askAgent<AgentAnswer>({ op: "status" }, Math.max(1, end - performance.now()));
    if (answer && !answer.ending) return answer;
    const why = takeFailure();
    if (why !== undefined) throw startError(lib, why, true);
    if (ended?.code === 0) return undefined;
    if (ended) throw startError(lib, `it ended with code ${ended.code}`);
    if (performance.now() > end) throw startError(lib, `it did not answer within ${START_MS / 1000} s`);
  }
}

/** Waits until no agent is there any more, and removes what it has left; says whether that has happened. */
export async function awaitEnd(lib: Bridge): Promise<boolean> {
  if (!checkRunDir()) return true;
  const held = await waitLock(lib, END_MS);
  if (!held) return false;
  clearRunDir();
  held[Symbol.dispose]();
  return true;
}

export interface Stopped {
  pid: number;
  /** It did not end by itself. */
  killed: boolean;
}

/**
 * Ends the agent, with SIGKILL when it does not go by itself, and removes what a killed one has left.
 * @returns undefined when none ran
 * @throws TcpxError when it does not go
 */
export async function stopAgent(lib: Bridge): Promise<Stopped | undefined> {
  if (!checkRunDir()) return undefined;
  const answer = await askAgent<AgentAnswer>({ op: "stop" }).catch(() => undefined); // hangs, or talks nonsense
  const pid = answer?.pid ?? pidWithLock();
  let killed = false;
  let ended = await awaitEnd(lib);
  if (!ended && pid !== undefined && pidWithLock() === pid) {
    if (!(await stopUnit(pid))) process.kill(pid, "SIGKILL");
    killed = true;
    ended = await awaitEnd(lib);
  }
  if (!ended) throw new TcpxError(Exit.FAILED, `the agent (pid ${pid ?? "unknown"}) does not end`);
  return pid === undefined ? undefined : { pid, killed };
}

/** The pid of the agent that runs; undefined when none does. */
export async function agentPid(): Promise<number | undefined> {
  const answer = await askAgent<AgentAnswer>({ op: "status" }).catch(() => undefined);
  return answer?.pid ?? pidWithLock();
}
