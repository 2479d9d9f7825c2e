// SPDX-License-Identifier: MIT
import { expect, test } from "bun:test";
import { ack } from "../../cli/extensions/ack.ts";
import { iw } from "../../cli/extensions/iw.ts";
import type { Extension } from "../../cli/extensions/types.ts";
import { uto } from "../../cli/extensions/uto.ts";
import { AckLiveResult, Keepalive, LiveResult, LiveSaid } from "../../cli/layout/layout.generated.ts";
import { outcomeJson, outcomeLines, outcomeOf, resultsOf } from "../../cli/live/report.ts";
import { sshSession } from "../../cli/live/ssh.ts";

const row = (result: number, said: number = LiveSaid.NOTHING_TO_SAY, error = 0, note = 0) => ({
  order: 0,
  reserved: 0,
  note,
  result,
  said,
  error,
});

const come = (extension: Extension, ...rows: ReturnType<typeof row>[]) =>
  outcomeOf([], resultsOf(extension, new Map(rows.map((r, i) => [BigInt(i), r]))));

const some = come(
  uto,
  row(LiveResult.CHANGED, LiveSaid.SAID),
  row(LiveResult.CHANGED, LiveSaid.UNSAID, -22),
  row(LiveResult.SAME),
  row(LiveResult.KEPT),
  row(LiveResult.FAILED, LiveSaid.NOTHING_TO_SAY, -2),
);

test("user timeouts beside keep-alive", () => {
  const { LOWERED, SHORT } = Keepalive;
  const quiet = LiveSaid.NOTHING_TO_SAY;
  const rows = [LOWERED, SHORT, LOWERED].map((bits) => row(LiveResult.CHANGED, quiet, 0, bits));
  const part = come(uto, ...rows);
  const sum = outcomeOf.sum([part, part]);
  expect(outcomeJson(sum)).toMatchObject({
    changed_connections: 6,
    keepalive_lowered: 4,
    keepalive_short: 2,
  });
  expect(outcomeLines("changed", sum).slice(1)).toEqual([
    "4 connection(s) end earlier than the rule says: by keep-alive",
    "2 connection(s) end at the first lost probe of keep-alive",
  ]);
  expect(outcomeJson(some)).toMatchObject({ keepalive_lowered: 0, keepalive_short: 0 });
});

test("what became of connections, for people and for scripts", () => {
  const sum = outcomeOf.sum([some, outcomeOf([], []), some]);
  expect(outcomeLines("changed", sum)).toEqual([
    "changed 4 connection(s) in 2 network namespace(s)",
    "2 connection(s) had it already",
    "skipped 2 connection(s): chosen by the application",
    "skipped 2 connection(s): refused by the kernel",
    "announced to 2 peer(s) with the next segments",
    "not announced to 2 peer(s)",
  ]);
  expect(outcomeJson(sum)).toMatchObject({
    namespaces_checked: 3,
    namespaces: 2,
    changed_connections: 4,
    same: 2,
    skipped: { application: 2, failed: 2, gone: 0 },
    announced: 2,
    not_announced: 2,
    own_ssh_session: false,
  });
  expect(sum.mute).toBe(true);
});

test("bits and reasons are those of the extension whose result it is", () => {
  const { LOWERED, SHORT } = Keepalive;
  const rows = [row(LiveResult.CHANGED, LiveSaid.SAID, 0, LOWERED | SHORT), row(AckLiveResult.INCAPABLE)];
  const of = (extension: Extension) => come(extension, ...rows);
  expect(outcomeJson(of(iw))).toMatchObject({ keepalive_lowered: 0, keepalive_short: 0 });
  expect(outcomeLines("changed", of(iw))).toContain(
    "skipped 1 connection(s): the extension does not say why",
  );
  expect(outcomeLines("changed", of(ack))).toContain("skipped 1 connection(s): the peer does not speak TARR");
  const both = outcomeOf.sum([of(iw), of(ack)]);
  expect(outcomeJson(both).skipped).toMatchObject({ incapable: 1, other: 1 });
});

test("nothing there is still a line", () => {
  expect(outcomeLines("restored", outcomeOf.sum([]))).toEqual([
    "restored 0 connection(s) in 0 network namespace(s)",
  ]);
});

test("the caller's own session", () => {
  expect(sshSession("192.0.2.7 50022 10.0.0.1 22")).toEqual({
    address: "192.0.2.7",
    remotePort: 50022,
    localPort: 22,
  });
  expect(sshSession("")).toBeUndefined();
  expect(sshSession("garbage")).toBeUndefined();
});
