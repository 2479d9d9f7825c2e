// SPDX-License-Identifier: MIT
// Extensions that tcpx does not ship, as packages in the host's folder (tests/support/slot-kit.ts makes them): their
// commands, what is told of their connections, and --live.

import { copyFileSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { SOL_SOCKET } from "../support/constants.ts";
import { page } from "../support/json-page.ts";
import { tcpx } from "../support/tcpx.ts";
import { degrades, type Result, works } from "./report.ts";
import { check, Pair, tcpxOk } from "./support.ts";

const PACKAGES = join(process.env.TCPX_SLOT_KIT ?? "/tcpx/slots", "packages");
const FOLDER = "/etc/tcpx/extensions";
const SO_MAX_PACING_RATE = 47;
const EXIT_UNSUPPORTED = 3;

/** Bytes per second of "24M", in bits. */
const FAST = 3_000_000;

async function seen(pair: Pair): Promise<void> {
  await pair.rule(pair.client, "pace set 12M");
  await pair.rule(pair.client, "grade set 6");
  await pair.rule(pair.server, "grade accept --priority 4");
  for (const family of ["v4"] as const) {
    const { port } = await pair.connect(pair.server[family]);
    for (const [side, wanted] of [
      [pair.client, ["applied", "granted", "none"]],
      [pair.server, ["none", "none", "granted"]],
    ] as const) {
      const args = ["connections", "--cgroup", side.cgroup, "--port", `${port}`];
      const { json } = await tcpxOk(args, { netns: side.netns });
      const { pace, grade } = json.connections[0].extensions;
      const found = [pace.local.status, grade.ours.status, grade.peers.status];
      check(Bun.deepEquals(found, [...wanted]), `${family}: ${found.join()}, not ${wanted.join()}`);
    }
  }
  await pair.clear();
}

/** False: this kernel's iterators change nothing. */
async function changed(pair: Pair): Promise<boolean> {
  const place = ["--cgroup", pair.client.cgroup];
  const c = await pair.connect(pair.server.v4);
  const pacing = async () => (await pair.client.peer.getopt(c.client, SOL_SOCKET, SO_MAX_PACING_RATE)) >>> 0;
  const set = await tcpx(["pace", "set", "24M", "--live", ...place], { json: true, timeoutMs: 80_000 });
  if (set.code === EXIT_UNSUPPORTED) return false;
  check(set.code === 0 && set.json.live.changed_connections >= 1, `exit ${set.code}: ${set.stderr}`);
  check((await pacing()) === FAST, `the rate is ${await pacing()}, not ${FAST}`);
  const { json } = await tcpxOk(["pace", "unset", "--live", ...place]);
  check(json.live.changed_connections >= 1, `unset --live: ${JSON.stringify(json.live)}`);
  check((await pacing()) > FAST, "the rate is not given back");
  return true;
}

export async function slotsSeen(): Promise<Result> {
  page.added("rate_bytes_per_second", "priority");
  mkdirSync(FOLDER, { recursive: true });
  for (const file of readdirSync(PACKAGES)) copyFileSync(join(PACKAGES, file), join(FOLDER, file));
  try {
    await using pair = await Pair.create();
    await seen(pair);
    return (await changed(pair))
      ? works("told, changed, given back")
      : degrades("told, new connections only");
  } finally {
    rmSync(FOLDER, { recursive: true, force: true });
  }
}
