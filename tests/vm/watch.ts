// SPDX-License-Identifier: MIT
// `tcpx watch` in the guest: every event of a connection, over IPv4 and IPv6, and none of another scope.

import { type Event, Watch } from "../support/watch-lab.ts";
import { type Result, works } from "./report.ts";
import { check, Pair } from "./support.ts";

const CLIENT = ["iw granted 40 32", "uto asked 30000 null"];
const SERVER = ["their iw granted 40 32 clamped", "their uto granted 30000 30000"];

export async function watch(): Promise<Result> {
  await using pair = await Pair.create();
  for (const words of ["uto set 30s", "iw set 40"]) await pair.rule(pair.client, words);
  for (const words of ["uto accept --min 1s", "iw accept --max 32"]) await pair.rule(pair.server, words);
  for (const [scope, wanted] of [
    [["--all-netns"], [...CLIENT, ...SERVER]],
    [["--cgroup", pair.server.cgroup], SERVER],
  ] as const) {
    const watch = await Watch.start(pair.lab, scope);
    for (const family of ["v4", "v6"] as const) {
      const { port } = await pair.connect(pair.server[family]);
      const seen = await watch.sees(port, wanted);
      check(Bun.deepEquals(seen, [...wanted].sort()), `${family}, ${scope}: ${seen.join("; ")}`);
      const [event] = watch.events.filter((e: Event) => e.family === (family === "v4" ? 4 : 6));
      check(event?.netns > 0 && typeof event.cgroup === "string", `no place: ${JSON.stringify(event)}`);
    }
    const code = await watch.end();
    check(code === 0 && watch.stderr.endsWith(" events, 0 lost\n"), `exit ${code}: ${watch.stderr}`);
  }
  return works("both sides, v4 and v6");
}
