// SPDX-License-Identifier: MIT
// A rule in the root scope is for the caller's network namespace, where the kernel can tell them apart.

import { degrades, type Result, works } from "./report.ts";
import { check, Pair, type Side, tcpxOk } from "./support.ts";

const RULE_MS = 20_000;
const WARNING = "cannot tell network namespaces apart";

/** The timeouts of a connection that one side opens; which of the two has the rule says the reader. */
async function opened(pair: Pair, from: Side, to: Side): Promise<{ opener: number; acceptor: number }> {
  const { client, server } = await pair.connect(to.v4, [from, to]);
  return { opener: await pair.timeoutOf(from, client), acceptor: await pair.timeoutOf(to, server) };
}

async function bothWays(pair: Pair): Promise<{ own: number[]; other: number[] }> {
  const there = await opened(pair, pair.client, pair.server);
  const back = await opened(pair, pair.server, pair.client);
  return { own: [there.opener, back.acceptor], other: [there.acceptor, back.opener] };
}

const all = (values: number[], wanted: number) => values.every((value) => value === wanted);

export async function rootScope(): Promise<Result> {
  await using pair = await Pair.create();
  const { netns } = pair.client;
  try {
    const { stderr } = await tcpxOk(["uto", "set", "20s"], { netns });
    const narrow = await bothWays(pair);
    check(all(narrow.own, RULE_MS), `the caller's namespace: timeouts ${narrow.own}`);
    await tcpxOk(["uto", "unset", "--all"], { netns });

    await tcpxOk(["uto", "set", "20s", "--all-netns"], { netns });
    const wide = await bothWays(pair);
    check(all([...wide.own, ...wide.other], RULE_MS), `--all-netns: timeouts ${wide.own}, ${wide.other}`);

    const warned = stderr.includes(WARNING);
    if (!warned && all(narrow.other, 0)) return works("the caller's namespace only");
    if (warned && all(narrow.other, RULE_MS)) return degrades("all network namespaces, with the warning");
    const heard = warned ? "with" : "without";
    throw new Error(`the other namespace: timeouts ${narrow.other}, ${heard} the warning`);
  } finally {
    await tcpxOk(["uto", "unset", "--all"], { netns });
  }
}
