// SPDX-License-Identifier: MIT
// The table of commands. Modules load when they are used: `tcpx version` needs none of the others.

import type { Command } from "./types.ts";

interface Entry {
  summary: string;
  /** The command that this is another name of. */
  alias?: string;
  load(): Promise<Command>;
}

export const commands: Record<string, Entry> = {
  status: {
    summary: "Scopes, rules, what is attached, counters",
    load: async () => (await import("./status.ts")).status,
  },
  show: {
    summary: "Another name of `status`",
    alias: "status",
    load: async () => (await import("./status.ts")).status,
  },
  connections: {
    summary: "TCP connections, their settings and what they have negotiated",
    load: async () => (await import("./connections.ts")).connections,
  },
  watch: {
    summary: "Negotiations as they happen",
    load: async () => (await import("./watch.ts")).watch,
  },
  metrics: {
    summary: "Counters in OpenMetrics text, as a file or over HTTP",
    load: async () => (await import("./metrics.ts")).metrics,
  },
  apply: {
    summary: "Make a policy file true: scopes and their rules",
    load: async () => (await import("./apply.ts")).apply,
  },
  export: {
    summary: "Print the rules in force as a policy file",
    load: async () => (await import("./export.ts")).exportCommand,
  },
  doctor: {
    summary: "What this kernel and host can do, each facility tried",
    load: async () => (await import("./doctor.ts")).doctor,
  },
  demo: {
    summary: "See the extensions at work, in network namespaces of its own",
    load: async () => (await import("./demo.ts")).demo,
  },
  agent: {
    summary: "The process behind ack rules; they start it",
    load: async () => (await import("./agent.ts")).agent,
  },
  run: {
    summary: "Run a command in a scope of its own, which goes when it ends",
    load: async () => (await import("./run.ts")).run,
  },
  ext: {
    summary: "TCP extensions of your own, and of others",
    load: async () => (await import("./ext.ts")).ext,
  },
  persist: {
    summary: "Keep the rules over a reboot",
    load: async () => (await import("./persist.ts")).persist,
  },
  reset: {
    summary: "Remove everything that tcpx has put into the running system",
    load: async () => (await import("./reset.ts")).reset,
  },
  completion: {
    summary: "What lets bash, zsh or fish complete these commands",
    load: async () => (await import("./completion.ts")).completion,
  },
  help: {
    summary: "The help of a command: `tcpx help uto set`",
    load: async () => (await import("./help.ts")).help,
  },
  version: {
    summary: "Version, and what is inside",
    load: async () => (await import("./version.ts")).versionCommand,
  },
};

/** For tcpx's own child processes and its installation, not for people. */
const internal: Record<string, Entry["load"]> = {
  "internal-agent": async () => (await import("./agent.ts")).internalAgent,
  "internal-run-rules": async () => (await import("./internal-run.ts")).internalRunRules,
  "internal-complete": async () => (await import("./internal-complete.ts")).internalComplete,
  "internal-run-end": async () => (await import("./internal-run.ts")).internalRunEnd,
  "internal-unit-start": async () => (await import("./internal-unit.ts")).internalUnitStart,
  "internal-man": async () => (await import("./internal-man.ts")).internalMan,
  "internal-ext-test": async () => (await import("./internal-ext.ts")).internalExtTest,
  "internal-peer": async () => (await import("./internal-peer.ts")).internalPeer,
};

/** The extensions' commands, in registry order. */
export async function extensionCommands(): Promise<Record<string, Entry>> {
  const { extensions } = await import("../extensions/index.ts");
  const entries = extensions.map((extension) => {
    const load = async () => (await import("./extension.ts")).extensionCommand(extension);
    return [extension.name, { summary: extension.summary, load }] as const;
  });
  return Object.fromEntries(entries);
}

/** All that are for people, extensions first. */
export const allCommands = async (): Promise<Record<string, Entry>> => ({
  ...(await extensionCommands()),
  ...commands,
});

/** The command of this name, or undefined. */
export async function findCommand(name: string): Promise<Command | undefined> {
  if (Object.hasOwn(commands, name)) return commands[name]!.load();
  if (Object.hasOwn(internal, name)) return internal[name]!();
  const found = await extensionCommands();
  return Object.hasOwn(found, name) ? found[name]!.load() : undefined;
}
