// SPDX-License-Identifier: MIT

import { notifyAgent } from "../agent/notify.ts";
import { globalArgs } from "../base/args.ts";
import { formatDuration } from "../base/duration.ts";
import { Exit, type ExitCode, TcpxError } from "../base/errors.ts";
import { extensions } from "../extensions/index.ts";
import { describeOption, hasOwnKind } from "../extensions/options.ts";
import type { ConnectionView, DemoEnd } from "../extensions/types.ts";
import { openHost } from "../flags/host-access.ts";
import { endless } from "../flags/patience.ts";
import type { Child } from "../lab/children.ts";
import { type Acks, download, per100 } from "../lab/download.ts";
import {
  applyRules,
  commandOf,
  ENDS,
  type End,
  PORT,
  removeRules,
  type Step,
  stepsOf,
} from "../lab/rules.ts";
import { ADDRESS, Sandbox } from "../lab/sandbox.ts";
import { interruption, READY_MS, Stage } from "../lab/stage.ts";
import { readSite } from "../loader/site-map.ts";
import type { Io } from "../output/io.ts";
import { table } from "../output/table.ts";
import { enumerated } from "../output/wrap.ts";
import { parseFrame } from "../wire/frame.ts";
import type { Site } from "../wire/site.ts";
import { leaf } from "./types.ts";

/** How long we look after the cut: well over the timeout plus one backed-off retransmission. */
const WATCH_MS = 12_000;

type Flavour = "tcpx" | "plain";

interface Result extends DemoEnd {
  code: string | null;
}

/** The rule of the download, or why it is not possible here. */
async function downloadStep(): Promise<{ step?: Step; unable?: string }> {
  const extension = extensions.find(({ demo }) => demo?.download);
  if (!extension) return {};
  const { client, unable } = extension.demo!.download!;
  const why = await unable();
  return why === undefined ? { step: { extension, line: client, port: PORT.acks } } : { unable: why };
}

interface Downloads {
  plain: Acks;
  tcpx: Acks;
}

/** ACKs of a download without a rule and with one. */
async function compareAcks(stage: Stage, { extension, line }: Step, io: Io): Promise<Downloads> {
  await notifyAgent(stage.lib);
  const plain = await download(stage, PORT.plainAcks);
  const tcpx = await download(stage, PORT.acks);
  const rows = [
    ["without", plain.segments, plain.acks, per100(plain)],
    [`${extension.name} ${line}`, tcpx.segments, tcpx.acks, per100(tcpx)],
  ];
  io.print("\nA download: segments that the server sent, ACKs that came back\n");
  io.print(table(["RULE", "SEGMENTS", "ACKS", "ACKS PER 100"], rows, [1, 2, 3]));
  return { plain, tcpx };
}

interface PairEnd {
  child: Child;
  view: ConnectionView | undefined;
}

/** Connects, and looks at both ends at once: Linux shrinks the window of a connection that idles. */
async function startPair(stage: Stage, flavour: Flavour): Promise<Record<End, PairEnd>> {
  const address = [ADDRESS.server, String(PORT[flavour])];
  const server = await stage.start("serve", "server", "listening", ...address);
  const client = await stage.start("dial", "client", "connected", ...address);
  await server.wait("connected", READY_MS);
  const views = await Promise.all([client.view(), server.view()]);
  return { client: { child: client, view: views[0] }, server: { child: server, view: views[1] } };
}

/** The options of a captured SYN or SYN-ACK of the port with rules. */
async function capturedOptions(stage: Stage, capture: Child, isAck: boolean): Promise<Uint8Array[]> {
  const deadline = Date.now() + READY_MS;
  while (Date.now() < deadline) {
    stage.check();
    for (const { hex } of capture.seen("frame")) {
      const frame = parseFrame(Uint8Array.fromHex(String(hex)));
      const port = isAck ? frame?.sourcePort : frame?.destinationPort;
      if (frame?.isSyn && frame.isAck === isAck && port === PORT.tcpx) return frame.options;
    }
    await Bun.sleep(20);
  }
  throw new TcpxError(Exit.FAILED, `no SYN${isAck ? "-ACK" : ""} was captured`);
}

/** Cuts the path and looks how long each end goes on. */
async function observe(stage: Stage, pairs: Record<Flavour, Record<End, PairEnd>>): Promise<Result[]> {
  const all = (["tcpx", "plain"] as const).flatMap((flavour) =>
    ENDS.map((end) => ({ flavour, end, ...pairs[flavour][end] })),
  );
  await stage.sandbox.forward(false);
  const cut = Date.now();
  return Promise.all(
    all.map(async ({ flavour, end, child, view }) => {
      const ended = await child.wait("ended", WATCH_MS);
      const gaveUpMs = ended ? Number(ended.at) - cut : null;
      return { end, hasRules: flavour === "tcpx", view, gaveUpMs, code: ended ? String(ended.code) : null };
    }),
  );
}

function resultTable(results: Result[]): string {
  const rows = results.map(({ end, hasRules, view, gaveUpMs }) => [
    end,
    hasRules ? "with tcpx" : "without",
    view?.userTimeoutMs ? formatDuration(view.userTimeoutMs) : "not set",
    view?.congestionControl ?? "?",
    view?.cwnd ?? "?",
    gaveUpMs === null
      ? `still trying after ${WATCH_MS / 1000} s`
      : `gave up after ${(gaveUpMs / 1000).toFixed(1)} s`,
  ]);
  return table(["END", "RULES", "USER TIMEOUT", "CONGESTION", "CWND", "AFTER THE CUT"], rows, [4]);
}

function printOptions(io: Io, title: string, options: Uint8Array[], site: Site): void {
  io.print(`\n${title}`);
  io.print(
    `  ${options
      .filter((o) => !hasOwnKind(o))
      .map((option) => describeOption(option))
      .join(", ")}`,
  );
  for (const option of options.filter(hasOwnKind)) io.print(`  ${describeOption(option, site)}`);
}

/** Everything was asked and answered, and the rules do what they should. */
function asExpected(results: Result[], syn: Uint8Array[], synAck: Uint8Array[]): boolean {
  const shown = extensions.filter(({ demo }) => demo?.client !== undefined);
  const says = (role: "ask" | "answer", options: Uint8Array[]) =>
    shown.filter((extension) => extension.options?.some((option) => option.role === role)).length ===
    options.filter(hasOwnKind).length;
  return (
    says("ask", syn) && says("answer", synAck) && shown.every(({ demo }) => demo!.isDone?.(results) ?? true)
  );
}

async function perform(io: Io, stage: Stage): Promise<ExitCode> {
  const { lib, sandbox } = stage;
  const site = readSite(lib);
  await sandbox.create();
  stage.check();
  const { step, unable } = await downloadStep();
  for (const end of ENDS) {
    const steps = [...stepsOf(end), ...(end === "client" && step ? [step] : [])];
    await applyRules(lib, sandbox, end, steps, endless(io, stage.signal));
    for (const one of steps) io.print(`${end}$ ${commandOf(one)}`);
  }
  const capture = await stage.start("capture", "client", "listening", "eth0");
  const pairs = { tcpx: await startPair(stage, "tcpx"), plain: await startPair(stage, "plain") };
  const syn = await capturedOptions(stage, capture, false);
  const synAck = await capturedOptions(stage, capture, true);
  printOptions(io, "The client's SYN, captured on its way:", syn, site);
  printOptions(io, "The server's SYN-ACK:", synAck, site);
  if (unable !== undefined) io.messages.info(`no ACKs to compare: ${unable}`);
  const acks = step ? await compareAcks(stage, step, io) : null;
  stage.check();
  io.print(`\nNow the router between them goes silent; looking for ${WATCH_MS / 1000} s ...`);
  const results = await observe(stage, pairs);
  stage.check();
  io.print(`\n${resultTable(results)}\n`);
  io.print("Without a user timeout Linux goes on for about 15 minutes (tcp_retries2).");
  // a host that is too slow to keep up with a download acknowledges rarely by itself: no part of this
  const ok = asExpected(results, syn, synAck);
  const hex = (options: Uint8Array[]) => options.filter(hasOwnKind).map((option) => option.toHex());
  io.json({
    ok,
    syn_options: hex(syn),
    syn_ack_options: hex(synAck),
    watched_ms: WATCH_MS,
    download: acks && {
      plain: { ...acks.plain, acks_per_100: per100(acks.plain) },
      tcpx: { ...acks.tcpx, acks_per_100: per100(acks.tcpx) },
    },
    ends: results.map(({ end, hasRules, view, gaveUpMs, code }) => ({
      end,
      with_tcpx: hasRules,
      user_timeout_ms: view?.userTimeoutMs || null,
      congestion_control: view?.congestionControl ?? null,
      cwnd: view?.cwnd ?? null,
      gave_up_after_ms: gaveUpMs,
      errno: code,
    })),
  });
  if (!ok) io.messages.error("this is not what should have happened; see `tcpx doctor`");
  return ok ? Exit.DONE : Exit.FAILED;
}

const NEGOTIATED = extensions.flatMap(({ demo }) => demo?.negotiates ?? []);

export const demo = leaf({
  summary:
    `See ${enumerated("and", NEGOTIATED)} negotiated in network namespaces and cgroups of its own: ` +
    "the options in a captured SYN and SYN-ACK, what both ends make of them, and how " +
    "long each end takes to give up when the path is cut; and a download with fewer ACKs. About 20 s; cleans up whatever happens.",
  args: { ...globalArgs },
  examples: [
    ["tcpx demo", "See it work"],
    ["tcpx demo --json", "The same for a script: exit code 0 when all went as it should"],
  ],
  async run(_args, io) {
    const { lib } = await openHost();
    using interrupted = interruption();
    const sandbox = new Sandbox();
    const stage = new Stage(lib, sandbox, interrupted.signal);
    try {
      return await perform(io, stage);
    } finally {
      await stage[Symbol.asyncDispose]();
      await removeRules(lib, sandbox, endless(io)).catch(() => {}); // not yet set, perhaps
      await sandbox[Symbol.asyncDispose]();
    }
  },
});
