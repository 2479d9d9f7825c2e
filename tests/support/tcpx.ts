// SPDX-License-Identifier: MIT
// Runs the built executable as a user would: one process, arguments in, exit code and text out.
import { join } from "node:path";
import { page } from "./json-page.ts";
import { enter } from "./lab.ts";

export interface TcpxOptions {
  /** Full name of a network namespace, as Lab.netns returns it. */
  netns?: string;
  /** Path of a cgroup, as Lab.cgroup returns it. */
  cgroup?: string;
  /** A command that runs the command after it, such as ["setpriv", "--reuid", "65534"]. */
  wrap?: readonly string[];
  env?: Record<string, string | undefined>;
  /** Another executable than the one under test. */
  program?: string;
  /** Adds --json, parses stdout, and compares it with docs/json.md. */
  json?: boolean;
  stdin?: string;
  timeoutMs?: number;
}

export interface TcpxResult {
  code: number;
  stdout: string;
  stderr: string;
  /** Parsed stdout, or undefined when it was not asked for or is not one JSON document. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into documents of many shapes
  json: any;
}

export function tcpxPath(): string {
  return process.env.TCPX_BIN || join(import.meta.dir, "..", "..", "dist", "tcpx");
}

export async function tcpx(args: readonly string[], options: TcpxOptions = {}): Promise<TcpxResult> {
  const command = [
    ...(options.wrap ?? []),
    options.program ?? tcpxPath(),
    ...(options.json ? withJson(args) : args),
  ];
  const child = Bun.spawn(enter(command, options), {
    env: { ...process.env, ...options.env },
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  const timeoutMs = options.timeoutMs ?? 20_000;
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      child.kill("SIGKILL");
      // Its pipes are not awaited: what it started may still hold them.
      reject(new Error(`tcpx ${args.join(" ")}: not finished after ${timeoutMs} ms`));
    }, timeoutMs);
  });
  const finished = Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  const [stdout, stderr, code] = await Promise.race([finished, late]);
  clearTimeout(timer);
  const json = options.json ? parse(stdout) : undefined;
  // another executable has fields of its own
  const wrong = json === undefined || options.program !== undefined ? [] : page.problems(args, json);
  if (wrong.length > 0) throw new Error(wrong.join("\n"));
  return { code, stdout, stderr, json };
}

/** What follows "--" belongs to the command that tcpx runs. */
function withJson(args: readonly string[]): string[] {
  const end = args.indexOf("--");
  return end < 0 ? [...args, "--json"] : [...args.slice(0, end), "--json", ...args.slice(end)];
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
