// SPDX-License-Identifier: MIT
// A command at each of its calls of bpf(2) that leave something behind: killed there, or told that there is no room.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Lab } from "./lab.ts";
import type { PrivateHost } from "./private-host.ts";

/** Those that make, change or remove pins and links. */
const LASTING =
  /^\d+ +bpf\((BPF_OBJ_PIN|BPF_LINK_CREATE|BPF_LINK_UPDATE|BPF_LINK_DETACH|BPF_MAP_DELETE_ELEM)\b/;
const CALL = /^(\d+) +bpf\((BPF_\w+)/;

/** A call: its command, and its number among all of the process. */
export interface BpfCall {
  command: string;
  at: number;
}

const strace = (log: string, inject = "") =>
  `strace -f -qq -o ${log} -e trace=bpf ${inject && `-e inject=bpf:${inject}`}`;

/** Runs a command line to its end; its calls that match, the lasting ones, in their order. */
export async function lastingCalls(
  lab: Lab,
  host: PrivateHost,
  command: string,
  pattern = LASTING,
): Promise<BpfCall[]> {
  const log = join(lab.dir, "bpf-calls");
  await host.sh(`${strace(log)} ${command} >/dev/null 2>&1`);
  const lines = readFileSync(log, "utf8").split("\n");
  const byThread = Map.groupBy(lines, (line) => CALL.exec(line)?.[1]);
  byThread.delete(undefined);
  const [main = []] = [...byThread.values()].sort((a, b) => b.length - a.length);
  return main.flatMap((line, i) =>
    pattern.test(line) ? [{ command: CALL.exec(line)![2]!, at: i + 1 }] : [],
  );
}

/** The same command, killed when it is about to make the call. */
export async function killedAt(host: PrivateHost, { at }: BpfCall, command: string): Promise<void> {
  await host.sh(`${strace("/dev/null", `signal=KILL:when=${at}`)} ${command} >/dev/null 2>&1; true`);
}

/** The same, and the kernel refuses the call, or all from there on. */
export async function refusedAt(
  host: PrivateHost,
  { at }: BpfCall,
  error: string,
  command: string,
  andAfter = false,
): Promise<{ code: number; text: string }> {
  const inject = strace("/dev/null", `error=${error}:when=${at}${andAfter ? "+" : ""}`);
  const said = await host.sh(`${inject} ${command} 2>&1; echo "exit $?"`);
  const [, text = "", code] = /^([\s\S]*)exit (\d+)\n$/.exec(said) ?? [];
  return { code: Number(code), text };
}
