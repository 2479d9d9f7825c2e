// SPDX-License-Identifier: MIT
// What the ACK agent takes, and how long others wait, when its work grows. NAMESPACES, ROUTES and CONNECTIONS set
// other sizes than the full ones. A part that has come to its end prints its row at once: the whole takes minutes.

import { Growth, type Held } from "../support/growth.ts";
import { quantile } from "./stats.ts";

const size = (name: string, otherwise: number) => Number(process.env[name] ?? otherwise);

const mb = (kb: number) => (kb / 1024).toFixed(1);

function waits(sample: number[]): string[] {
  const served = sample.filter((ms) => ms >= 0);
  const [middle, most] = [0.5, 1].map((q) => quantile(served, q).toFixed(0));
  return [`${middle} (${most})`, `${sample.length - served.length}`];
}

const row = (
  name: string,
  { namespaces, descriptors, threads, guards, resident, own }: Held,
  sample?: number[],
) => [
  name,
  ...[namespaces, descriptors, threads, guards].map(String),
  ...[resident, own].map(mb),
  ...(sample ? waits(sample) : ["", ""]),
];

async function namespaces(tell: (row: string[]) => void): Promise<void> {
  await using g = await Growth.create();
  const total = size("NAMESPACES", 1000);
  tell(row("idle", await g.atRest()));
  const { mark, raw } = await g.crowd(total, 20, 0.1);
  tell(row(`${total} namespaces, at once`, await g.held(), mark));
  tell(row(`${total} namespaces, thinned`, await g.held(), raw));
  await Bun.sleep(75_000);
  tell(row("a minute later", await g.atRest()));
  await g.a.clear();
}

async function routes(tell: (row: string[]) => void): Promise<void> {
  await using g = await Growth.create();
  const total = size("ROUTES", 100_000);
  const calm = await g.crowd(40, 1, 0);
  tell(row("40 namespaces, no flapping", await g.held(), calm.mark));
  const flap = g.flap(total);
  await flap.says();
  flap.go();
  const { mark } = await g.crowd(40, 1, 0);
  const busy = await g.held();
  const { perSecond } = await flap.next();
  const name = `40 beside ${total} routes, ${Math.round(Number(perSecond) / 1000)}k changes/s`;
  tell(row(name, busy, mark));
  const { again } = await flap.next();
  tell(row("a new connection of the flapping one, at last", await g.held(), [Number(again)]));
  flap.go();
  await g.a.clear();
}

async function connections(tell: (row: string[]) => void): Promise<void> {
  await using g = await Growth.create();
  const total = size("CONNECTIONS", 10_000);
  const many = g.thinned(total, 200_000);
  await many.says();
  await many.says();
  const { dropped, flushed } = await g.counted();
  tell(row(`${total} connections, ${dropped} ACKs held, ${flushed} sent late`, await g.held()));
  tell(row("at rest, all open", await g.atRest()));
  many.go();
  await g.a.clear();
}

/** The rows of the parts that are named; all of them when none is. */
export async function growthRows(parts: readonly string[], tell: (row: string[]) => void): Promise<void> {
  for (const [name, part] of Object.entries({ namespaces, routes, connections })) {
    if (parts.length === 0 || parts.includes(name)) await part(tell);
  }
}
