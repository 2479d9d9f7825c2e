// SPDX-License-Identifier: MIT
// The rules of `tcpx run`: one flag for every extension, whose value becomes arguments of its `set`.

import type { ArgsDef } from "citty";
import { type Args, flagArg, textArg } from "../base/args.ts";
import { meant } from "../base/did-you-mean.ts";
import { TcpxError, usageError } from "../base/errors.ts";
import { DEFAULT_SITE, type Site } from "../wire/site.ts";
import { ack } from "./ack.ts";
import { ccRequest } from "./cc-request.ts";
import { iw } from "./iw.ts";
import type { Drafted, Extension } from "./types.ts";
import { uto } from "./uto.ts";

interface RunFlag {
  extension: Extension;
  arg: ArgsDef[string];
  /** The arguments of `set`. */
  arguments(value: string, args: Args): Args;
}

const ACK_KEYS = ["every", "delay", "min-acks-per-rtt", "mark-bit"];

/** "every=8,delay=rtt/4", or none. */
function ackArguments(text: string): Args {
  if (text === "none") return { value: "none" };
  const found: Record<string, string> = {};
  for (const member of text.split(",")) {
    const [, key = "", value = ""] = /^([a-z-]+)=(.+)$/.exec(member.trim()) ?? [];
    if (!ACK_KEYS.includes(key) || found[key] !== undefined) {
      const why = found[key] === undefined ? "is not KEY=VALUE of a known key" : "is there twice";
      const hint = `accepted is ${ACK_KEYS.map((k) => `${k}=...`).join(", ")}, or none`;
      const [typed = ""] = member.split("=");
      const near = found[key] === undefined ? meant(typed.trim(), ACK_KEYS, hint) : hint;
      throw usageError(`'${member}' ${why}`, member, near);
    }
    found[key] = value;
  }
  return found;
}

const text = (valueHint: string, description: string) =>
  ({ type: "string", valueHint, description }) as const;

const FLAGS: Record<string, RunFlag> = {
  uto: {
    extension: uto,
    arg: text("D", "User timeout, told to the peer, as of `tcpx uto set`"),
    arguments: (duration, args) => ({ duration, advertise: !isSilent(args) }),
  },
  "cc-request": {
    extension: ccRequest,
    arg: text("ALG", "Ask servers for this congestion control"),
    arguments: (algorithm) => ({ algorithm }),
  },
  iw: {
    extension: iw,
    arg: text("N", "Ask servers for this initial window, in segments"),
    arguments: (segments) => ({ segments }),
  },
  ack: {
    extension: ack,
    arg: text("KEY=V,...", "Acknowledge so: every=8,delay=rtt/4 as of `tcpx ack set`"),
    arguments: ackArguments,
  },
};

export const runArgs: ArgsDef = {
  ...Object.fromEntries(Object.entries(FLAGS).map(([name, { arg }]) => [name, arg])),
  advertise: {
    type: "boolean",
    default: true,
    negativeDescription: "With --uto: set the timeout on our side only, without sending the option",
  },
};

function isSilent(args: Args): boolean {
  return args.advertise !== undefined && !flagArg(args, "advertise");
}

export interface RunDraft extends Drafted {
  extension: Extension;
}

/**
 * What the flags ask for.
 * @throws TcpxError (usage) for values out of range, and when there is nothing to do
 */
export function draftRun(args: Args, site: Site = DEFAULT_SITE): RunDraft[] {
  if (isSilent(args) && textArg(args, "uto") === undefined) {
    throw usageError("--no-advertise is only for --uto", "--no-advertise", "leave it out");
  }
  const drafts = Object.entries(FLAGS).flatMap(([name, flag]): RunDraft[] => {
    const value = textArg(args, name);
    if (value === undefined) return [];
    try {
      const drafted = flag.extension.verbs.set!.draft(flag.arguments(value, args), site);
      return [{ extension: flag.extension, ...drafted }];
    } catch (error) {
      if (!(error instanceof TcpxError)) throw error;
      throw usageError(`--${name} '${value}': ${error.message}`, value, error.hint);
    }
  });
  if (drafts.length > 0) return drafts;
  const names = Object.keys(FLAGS).map((name) => `--${name}`);
  throw usageError("there is nothing to set", undefined, `give at least one of ${names.join(", ")}`);
}
