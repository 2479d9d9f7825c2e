// SPDX-License-Identifier: MIT
// A policy file in the guest: two scopes at once, a second file that takes rules away, kills on the way, reset.

import { tcpxPath } from "../support/tcpx.ts";
import { type Result, works } from "./report.ts";
import { check, Pair, type Side, tcpxOk } from "./support.ts";

const KILLS = 4;
/** Rules that no connection here sees, so that a change takes its time. */
const OTHERS = Array.from({ length: 100 }, (_, i) => `"192.0.2.${i}"`).join(", ");

const scope = ({ cgroup }: Side, rules: string) => `[[scope]]\ncgroup = "${cgroup}"\n${rules}`;

/** All rules of the client's scope have one value; the server's scope is named or not. */
function policy({ client, server }: Pair, value: string, granting: boolean): string {
  const set = `[[scope.uto]]\nset = "${value}"\n`;
  const accept = '[[scope.uto]]\naccept = true\nmin = "1s"\nmax = "1h"\n';
  return scope(client, `${set}${set}to = [${OTHERS}]\n`) + (granting ? scope(server, accept) : "");
}

/** What stands in either scope: how many rules, and their values, "" for a range. */
async function both({ client, server }: Pair): Promise<string[]> {
  const scopes: { cgroup: string; rules: { timeout_ms?: number }[] }[] = (await tcpxOk(["status"])).json
    .scopes;
  return [client, server].map((side) => {
    const { rules } = scopes.find(({ cgroup }) => side.cgroup.endsWith(cgroup)) ?? { rules: [] };
    return `${rules.length} ${[...new Set(rules.map(({ timeout_ms }) => timeout_ms ?? ""))].join(" ")}`;
  });
}

async function killed(file: string, ms: number): Promise<boolean> {
  const child = Bun.spawn([tcpxPath(), "apply", file], {
    env: { ...process.env },
    stdout: "ignore",
    stderr: "ignore",
  });
  await Bun.sleep(ms);
  child.kill("SIGKILL");
  await child.exited;
  return child.signalCode === "SIGKILL";
}

/** Each scope has its old rules or its new ones, wherever a command ends. @returns how many did not end by themselves */
async function killsOnTheWay(pair: Pair, files: string[], states: string[][], ms: number) {
  let hits = 0;
  let before = states[0]!;
  for (let n = 1; n <= KILLS; n++) {
    if (await killed(files[n % 2]!, (ms * n) / KILLS)) hits++;
    const now = await both(pair);
    const wanted = states[n % 2]!;
    const known = now.every((state, i) => state === before[i] || state === wanted[i]);
    check(known, `after a kill: ${now.join(", ")}; not ${before.join(", ")} or ${wanted.join(", ")}`);
    before = now;
  }
  check(hits > 0, "no kill hit anything");
  return hits;
}

async function connected(pair: Pair, client: number, server: number): Promise<void> {
  for (const address of [pair.server.v4, pair.server.v6]) {
    await pair.expectTimeouts(await pair.connect(address), { client, server });
  }
}

async function steps(pair: Pair): Promise<number> {
  const [a, b] = ["30s", "40s"].map((value, i) =>
    pair.lab.file(`${value}.toml`, policy(pair, value, i === 0)),
  );
  const files = [a!, b!];
  const started = performance.now();
  await tcpxOk(["apply", files[0]!]);
  const ms = performance.now() - started;
  await connected(pair, 30_000, 30_000);
  const first = await both(pair);

  const { policy: text } = (await tcpxOk(["export"])).json;
  const again = await tcpxOk(["apply", "-"], { stdin: text });
  check(again.json.changed === false, `an export changes something: ${JSON.stringify(again.json)}`);

  const { json } = await tcpxOk(["apply", files[1]!]);
  const removed = json.scopes.map((s: { removed: unknown[] }) => s.removed.length).join(" ");
  check(removed === "0 1", `the second file removes ${removed} rules`);
  await connected(pair, 40_000, 0);
  const second = await both(pair);
  const differ = first.every((state, i) => state !== second[i]);
  check(differ, `the files make the same of a scope: ${first.join(", ")}; ${second.join(", ")}`);

  await tcpxOk(["apply", files[0]!]);
  const hits = await killsOnTheWay(pair, files, [first, second], ms);
  await tcpxOk(["apply", files[0]!]);
  await connected(pair, 30_000, 30_000);
  return hits;
}

export async function apply(): Promise<Result> {
  await using pair = await Pair.create();
  let hits: number;
  try {
    hits = await steps(pair);
  } finally {
    await tcpxOk(["reset"]); // before the cgroups go
  }
  await connected(pair, 0, 0);
  return works(`two scopes, ${hits} of ${KILLS} kills on the way`);
}
