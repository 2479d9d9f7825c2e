#!/usr/bin/env bun
// SPDX-License-Identifier: MIT
// Makes a release that install.sh can install: `bun run release`.

import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { run } from "./lib/run.ts";
import { TARGETS, type Target, targetsNamed } from "./lib/targets.ts";
import { assemble } from "./release/assemble.ts";
import { commandFor } from "./release/elsewhere.ts";

const USAGE = `Usage: bun run release [--out DIR] [--base-url URL] [--target NAME]...

Builds tcpx for ${TARGETS.map(({ name }) => name).join(", ")}, or for the named targets only, into DIR
(dist/release): VERSION/ with the compressed executables, their licences and SHA256SUMS, the file
\`latest\`, and install.sh, which downloads from URL. Copy DIR to a web server as it is, \`latest\` last.`;

/** An executable that does not start is no release; where it cannot be tried, that is said. */
async function check(executable: string, target: Target): Promise<string> {
  const how = await commandFor(target, executable);
  if ("missing" in how) return `not tried: needs ${how.missing}`;
  const text = await run([...how.command, "version"]);
  return `starts ${how.where}: ${text.split("\n")[0]}`;
}

function options() {
  const { values } = parseArgs({
    options: {
      out: { type: "string", default: "dist/release" },
      "base-url": { type: "string" },
      target: { type: "string", multiple: true, default: [] },
      help: { type: "boolean", default: false },
    },
  });
  return { ...values, targets: targetsNamed(values.target) };
}

async function main(): Promise<number> {
  let chosen: ReturnType<typeof options>;
  try {
    chosen = options();
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  if (chosen.help) {
    console.log(USAGE);
    return 0;
  }
  const { targets, "base-url": baseUrl } = chosen;
  const out = resolve(chosen.out);
  const version = await assemble({ targets, out, baseUrl, check, say: console.log });
  console.log(`${out}: tcpx ${version}`);
  return 0;
}

if (import.meta.main) {
  process.exitCode = await main().catch((error: Error) => {
    console.error(error.message);
    return 1;
  });
}
