// SPDX-License-Identifier: MIT
// Rules of `tcpx ack`: what a kernel cannot do is refused, and changes nothing.

import { tcpx } from "../support/tcpx.ts";
import { degrades, type Result, works } from "./report.ts";
import { check, Pair, tcpxOk } from "./support.ts";

const EXIT_UNSUPPORTED = 3;

/** Rules that hold ACKs back: this kernel takes them, or refuses them with one line. */
async function thins(cgroup: string, ...words: string[]): Promise<boolean> {
  const { code, json, stderr } = await tcpx([...words, "--cgroup", cgroup], {
    json: true,
    timeoutMs: 80_000,
  });
  if (code === 0) return true;
  check(code === EXIT_UNSUPPORTED, `tcpx ${words.join(" ")}: exit ${code}: ${stderr}`);
  check(/^tcpx: this kernel \(.*\) cannot thin ACKs: .* 5\.15; .*\n$/.test(stderr), `it says ${stderr}`);
  check(json?.error?.code === code, `its document is ${JSON.stringify(json)}`);
  return false;
}

export async function ackRules(): Promise<Result> {
  await using pair = await Pair.create();
  const { cgroup } = pair.client;
  await pair.rule(pair.client, "ack set --delay 20ms");
  await pair.rule(pair.client, "ack request --every 8 --delay rtt/4");
  const able = [
    await thins(cgroup, "ack", "set", "--every", "2", "--port", "443"),
    await thins(cgroup, "ack", "accept"),
  ];
  const { json } = await tcpxOk(["ack", "show", "--cgroup", cgroup]);
  const wanted = able.every(Boolean) ? 4 : 2;
  check(json.rules.length === wanted, `${json.rules.length} rules stand, and not ${wanted}`);
  if (wanted === 4) return works("4 rules");
  check(!able.some(Boolean), "a grant of thinning and our own are judged differently");
  await pair.rule(pair.client, "ack accept --max-every 1");
  return degrades("no thinning, with exit 3");
}
