// SPDX-License-Identifier: MIT
// The rules that the demo sets at its two ends, and the commands that would set them.

import { notifyAgent } from "../agent/notify.ts";
import type { Args } from "../base/args.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { ack } from "../extensions/ack.ts";
import { ccRequest } from "../extensions/cc-request.ts";
import { iw } from "../extensions/iw.ts";
import { placeRules } from "../extensions/place.ts";
import type { Extension } from "../extensions/types.ts";
import { uto } from "../extensions/uto.ts";
import type { Sandbox } from "../lab/sandbox.ts";
import { findScope } from "../loader/cgroup-place.ts";
import { readHead } from "../loader/state.ts";
import { lock, replaceRules } from "../loader/store.ts";
import { parseSelectors } from "../policy/selector.ts";
import type { Patience } from "../system/lock.ts";
import { DEFAULT_SITE } from "../wire/site.ts";

export type End = "client" | "server";
export const ENDS = ["client", "server"] as const;

/** Ports with rules, and ports without. */
export const PORT = { tcpx: 7001, plain: 7002, acks: 7003, plainAcks: 7004 } as const;

export interface Step {
  extension: Extension;
  verb: string;
  args: Args;
  /** As it would be typed. */
  words: string;
  port?: number;
}

export const THIN: Step = {
  extension: ack,
  verb: "set",
  args: { every: "8" },
  words: "ack set --every 8",
  port: PORT.acks,
};

/** Reno is in every kernel and nobody's default. */
export const STEPS: Record<End, Step[]> = {
  client: [
    { extension: uto, verb: "set", args: { duration: "3s" }, words: "uto set 3s" },
    { extension: ccRequest, verb: "set", args: { algorithm: "reno" }, words: "cc-request set reno" },
    { extension: iw, verb: "set", args: { segments: "40" }, words: "iw set 40" },
  ],
  server: [
    {
      extension: uto,
      verb: "accept",
      args: { min: "1s", max: "1min" },
      words: "uto accept --min 1s --max 1min",
    },
    {
      extension: ccRequest,
      verb: "accept",
      args: { algorithms: "reno,cubic" },
      words: "cc-request accept reno,cubic",
    },
    { extension: iw, verb: "accept", args: { max: "32" }, words: "iw accept --max 32" },
  ],
};

/** Sets what the printed commands would set. */
export async function applyRules(
  lib: Bridge,
  sandbox: Sandbox,
  end: End,
  steps: readonly Step[],
  patience: Patience,
): Promise<void> {
  const rules = steps.flatMap(({ extension, verb, args, port = PORT.tcpx }) => {
    const selectors = parseSelectors({ port: String(port) });
    return placeRules(extension, selectors, extension.verbs[verb]!.draft(args, DEFAULT_SITE).drafts, null);
  });
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
