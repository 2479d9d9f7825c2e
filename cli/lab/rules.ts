// SPDX-License-Identifier: MIT
// The rules that the demo sets at its two ends, and the commands that would set them.

import { notifyAgent } from "../agent/notify.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { extensions } from "../extensions/index.ts";
import { rulesOfLine } from "../extensions/line.ts";
import type { DemoEnd, Extension } from "../extensions/types.ts";
import { findScope } from "../loader/cgroup-place.ts";
import { readHead } from "../loader/state.ts";
import { lock, replaceRules } from "../loader/store.ts";
import type { Patience } from "../system/lock.ts";
import type { Sandbox } from "./sandbox.ts";

export type End = DemoEnd["end"];
export const ENDS = ["client", "server"] as const;

/** Ports with rules, and ports without. */
export const PORT = { tcpx: 7001, plain: 7002, acks: 7003, plainAcks: 7004 } as const;

export interface Step {
  extension: Extension;
  /** As it would be typed behind the extension's name. */
  line: string;
  port: number;
}

/** What the extensions have for this end of the connection. */
export const stepsOf = (end: End): Step[] =>
  extensions.flatMap((extension) => {
    const line = extension.demo?.[end];
    return line === undefined ? [] : { extension, line, port: PORT.tcpx };
  });

/** As it would be typed. */
export const commandOf = ({ extension, line, port }: Step): string =>
  `tcpx ${extension.name} ${line} --port ${port}`;

/** Sets what the printed commands would set. */
export async function applyRules(
  lib: Bridge,
  sandbox: Sandbox,
  end: End,
  steps: readonly Step[],
  patience: Patience,
): Promise<void> {
  const rules = steps.flatMap(({ extension, line, port }) => rulesOfLine(extension, line, port));
  using held = await lock(lib, patience);
  await replaceRules(lib, held, findScope(lib, sandbox.cgroup(end)), rules);
}

export async function removeRules(lib: Bridge, sandbox: Sandbox, patience: Patience): Promise<void> {
  const scopes = ENDS.map((end) => findScope(lib, sandbox.cgroup(end)));
  if (!scopes.some(({ id }) => readHead(lib, id))) return; // there are none: no need to wait for the lock
  {
    using held = await lock(lib, patience);
    for (const scope of scopes) await replaceRules(lib, held, scope, []);
  }
  await notifyAgent(lib); // it ends, unless others need it
}
