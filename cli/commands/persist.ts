// SPDX-License-Identifier: MIT

import { dirname } from "node:path";
import { flagArg, globalArgs } from "../base/args.ts";
import { Exit, TcpxError } from "../base/errors.ts";
import { openHost } from "../flags/host-access.ts";
import type { Io } from "../output/io.ts";
import * as files from "../persist/files.ts";
import { presentPolicy } from "../persist/policy.ts";
import { POLICY, UNIT, UNIT_FILE, unitText } from "../persist/unit.ts";
import { othersMayReplace } from "../system/child.ts";
import { self } from "../system/self.ts";
import { type Group, leaf } from "./types.ts";

const OLD = `${POLICY}.old`;
const dryRun = {
  "dry-run": { type: "boolean", description: "Print what would be written, and change nothing" },
} as const;

function requireSystemd(): void {
  if (files.hasSystemd()) return;
  throw new TcpxError(Exit.UNSUPPORTED, "there is no systemd on this host", {
    hint: `keep the rules with \`mkdir -p ${dirname(POLICY)} && tcpx export >${POLICY}\`, and have the system run \`tcpx apply ${POLICY}\` when it starts`,
  });
}

/** Files of root's are all that it takes: a container may lack the capabilities that rules need. */
function requireRoot(): void {
  if (process.geteuid?.() === 0) return;
  const hint = "run it as root, for example with sudo";
  throw new TcpxError(Exit.PERMISSION, "not permitted: only root can end what is kept", { hint });
}

async function present(io: Io): Promise<string> {
  const { text, notices } = await presentPolicy();
  for (const notice of notices) io.messages.warn(notice);
  return text;
}

/** The unit runs us as root at every start. */
function warnOfOthers(io: Io): void {
  const others = self().filter(othersMayReplace);
  for (const path of others) {
    io.messages.warn(`${UNIT} runs ${path} as root, and others than root can replace that file`);
  }
}

/** What an administrator has written by hand is not lost. */
function keepPolicy(text: string): { changed: boolean; old: boolean } {
  const before = files.read(POLICY);
  const old = before !== undefined && before !== text && files.write(OLD, before);
  return { changed: files.write(POLICY, text), old };
}

const on = leaf({
  summary: `Keep the rules in force: writes them to ${POLICY}, and has systemd apply that file at every start.`,
  args: { ...dryRun, ...globalArgs },
  examples: [
    ["tcpx persist on", "Keep what is in force now; again after a change of rules"],
    ["tcpx persist on --dry-run", "Print the policy and the unit"],
  ],
  notes: [
    `The file may be edited: \`tcpx apply ${POLICY}\` makes it true at once. A file that says something else than ` +
      "the rules in force is kept as policy.toml.old. Services get their rules before they start.",
  ],
  async run(args, io) {
    requireSystemd();
    await openHost();
    files.requireOwnFolder(dirname(POLICY));
    const policy = await present(io);
    const unit = unitText(self());
    if (flagArg(args, "dry-run")) {
      const texts = { policy_text: policy, unit_text: unit };
      io.json({
        command: "persist on",
        changed: false,
        dry_run: true,
        policy: POLICY,
        unit_file: UNIT_FILE,
        ...texts,
      });
      io.print(`# ${POLICY}\n${policy}\n# ${UNIT_FILE}\n${unit}`);
      return Exit.DONE;
    }
    warnOfOthers(io);
    const { changed, old } = keepPolicy(policy);
    const enabled = files.enable(unit);
    io.json({
      command: "persist on",
      changed: changed || enabled,
      dry_run: false,
      policy: POLICY,
      unit_file: UNIT_FILE,
    });
    if (old) io.print(`kept the file that was there as ${OLD}`);
    if (changed) io.print(`wrote the rules in force to ${POLICY}`);
    if (enabled) io.print(`enabled ${UNIT}, which applies it when the system starts`);
    if (!changed && !enabled) io.print("no change");
    return Exit.DONE;
  },
});

const off = leaf({
  summary: `Rules end with the next start of the system: removes ${UNIT}. Those in force and ${POLICY} stay.`,
  args: { ...globalArgs },
  examples: [["tcpx persist off", "Keep nothing from now on"]],
  notes: ["Without systemd there is nothing to end, and a unit that lies there all the same is removed."],
  async run(_args, io) {
    requireRoot();
    const done = files.disable();
    const changed = done === "removed";
    const left = files.exists(POLICY);
    if (done === "foreign")
      io.messages.warn(`${UNIT_FILE} was not made by \`tcpx persist on\`: it is left alone`);
    io.json({ command: "persist off", changed, policy: left ? POLICY : null });
    io.print(changed ? `removed ${UNIT}` : "no change");
    if (left) io.print(`${POLICY} is left`);
    return Exit.DONE;
  },
});

const status = leaf({
  summary: "Are rules kept, and are they those in force?",
  args: { ...globalArgs },
  examples: [["tcpx persist status", "Is it on, and is the file up to date?"]],
  notes: [
    "The exit code is 0 whatever it finds (3 without systemd, 4 without root); --json has it for scripts.",
  ],
  async run(_args, io) {
    requireSystemd();
    await openHost();
    const kept = files.read(POLICY);
    const enabled = files.isEnabled();
    const current = kept !== undefined && kept === (await present(io));
    const last = files.lastResult() ?? null;
    const outdated = enabled && files.read(UNIT_FILE) !== unitText(self());
    io.json({ enabled, policy: kept === undefined ? null : POLICY, current, last_result: last, outdated });
    io.print(
      enabled ? `on: ${UNIT} applies ${POLICY} when the system starts` : "off: rules end with a reboot",
    );
    if (last !== null) io.print(`its last run: ${last}`);
    if (kept === undefined) io.print(`${POLICY} is not there`);
    else
      io.print(
        current ? `${POLICY} says what is in force` : `${POLICY} says something else than the rules in force`,
      );
    if (outdated) io.messages.warn(`${UNIT_FILE} is of another tcpx; \`tcpx persist on\` writes it anew`);
    return Exit.DONE;
  },
});

export const persist: Group = {
  kind: "group",
  summary: "Keep the rules over a reboot, with systemd.",
  examples: [
    ["tcpx persist on", "Keep the rules that are in force now"],
    ["tcpx persist status", "Is it on, and is the file up to date?"],
  ],
  commands: { on, off, status },
};
