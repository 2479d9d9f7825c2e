// SPDX-License-Identifier: MIT

import { globalArgs } from "../args.ts";
import { Exit, type ExitCode, TcpxError } from "../errors.ts";
import { uto } from "../extensions/uto.ts";
import { Child, connectionOption } from "../lab/children.ts";
import { ADDRESS, type Place, Sandbox } from "../lab/sandbox.ts";
import type { Bridge } from "../loader/bridge.ts";
import { findScope } from "../loader/host.ts";
import { lock, replaceRules } from "../loader/store.ts";
import type { Io } from "../output/io.ts";
import { table } from "../output/table.ts";
import { formatDuration } from "../policy/duration.ts";
import type { Rule } from "../policy/rule.ts";
import { parseSelectors } from "../policy/selector.ts";
import { describeOption, parseFrame } from "../wire/frame.ts";
import { UTO_KIND } from "../wire/uto.ts";
import { openHost } from "./host-access.ts";
import { leaf } from "./types.ts";

const TCP_USER_TIMEOUT = 18;
/** One port with rules, one without. */
const PORT = { tcpx: 7001, plain: 7002 } as const;
const TIMEOUT = "3s";
/** How long we look after the cut: well over the timeout plus one backed-off retransmission. */
const WATCH_MS = 12_000;
const READY_MS = 5000;

const COMMANDS = {
  client: { verb: "set", args: { duration: TIMEOUT }, words: `uto set ${TIMEOUT}` },
  server: { verb: "accept", args: { min: "1s", max: "1min" }, words: "uto accept --min 1s --max 1min" },
} as const;

type End = keyof typeof COMMANDS;
type Flavour = keyof typeof PORT;

interface Result {
  end: End;
  flavour: Flavour;
  /** What TCP_USER_TIMEOUT said after the handshake, read from another process; 0: unset. */
  timeoutMs: number;
  /** From the cut to the end of the connection; null: still trying. */
  gaveUpMs: number | null;
  code: string | null;
}

/** Sets what the printed command would set. */
async function applyRules(lib: Bridge, sandbox: Sandbox, end: End): Promise<void> {
  const { verb, args } = COMMANDS[end];
  const [selector] = parseSelectors({ port: String(PORT.tcpx) });
  const { drafts } = uto.verbs[verb]!.draft(args);
  const rules = drafts.map((draft): Rule => ({ ext: uto.name, selector: selector!, netns: null, ...draft }));
  using held = lock(lib, true);
  await replaceRules(lib, held, findScope(lib, sandbox.cgroup(end)), rules);
}

async function removeRules(lib: Bridge, sandbox: Sandbox): Promise<void> {
  using held = lock(lib, true);
  for (const end of ["client", "server"] as const) {
    await replaceRules(lib, held, findScope(lib, sandbox.cgroup(end)), []);
  }
}

class Stage implements AsyncDisposable {
  private readonly children: Child[] = [];

  constructor(
    readonly lib: Bridge,
    readonly sandbox: Sandbox,
    private readonly signal: AbortSignal,
  ) {
    // a dead child ends every wait for it, and the next step sees why
    signal.addEventListener("abort", () => this.children.forEach((child) => void child.kill()));
  }

  /** Between two steps: throws when the user has had enough. */
  check(): void {
    this.signal.throwIfAborted();
  }

  /** Starts a child process at a place and waits until it says that it is ready. */
  async start(role: string, place: Place, ready: string, ...args: string[]): Promise<Child> {
    const where = { netns: this.sandbox.netns(place), cgroup: this.sandbox.cgroup(place) };
    const child = new Child(role, where, ...args);
    this.children.push(child);
    const isReady = await child.wait(ready, READY_MS);
    this.check();
    if (isReady) return child;
    const complaint = await Promise.race([child.complaint(), Bun.sleep(100).then(() => "")]);
    throw new TcpxError(Exit.FAILED, `the ${role} process did not get ready ${complaint}`.trim());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.children.map((child) => child[Symbol.asyncDispose]()));
  }
}

async function startPair(stage: Stage, flavour: Flavour): Promise<Record<End, Child>> {
  const address = [ADDRESS.server, String(PORT[flavour])];
  const server = await stage.start("serve", "server", "listening", ...address);
  const client = await stage.start("dial", "client", "connected", ...address);
  return { client, server };
}

/** The option bytes of the client's SYN, as captured; every option described. */
async function capturedSyn(
  stage: Stage,
  capture: Child,
): Promise<{ described: string[]; uto: string | null }> {
  const deadline = Date.now() + READY_MS;
  while (Date.now() < deadline) {
    stage.check();
    for (const { hex } of capture.seen("frame")) {
      const frame = parseFrame(Uint8Array.fromHex(String(hex)));
      if (!frame?.syn || frame.ack || frame.destinationPort !== PORT.tcpx) continue;
      const option = frame.options.find(([kind]) => kind === UTO_KIND);
      return { described: frame.options.map(describeOption), uto: option?.toHex() ?? null };
    }
    await Bun.sleep(20);
  }
  throw new TcpxError(Exit.FAILED, "no SYN was captured");
}

async function observe(stage: Stage, pairs: Record<Flavour, Record<End, Child>>): Promise<Result[]> {
  const ends = (["tcpx", "plain"] as const).flatMap((flavour) =>
    (["client", "server"] as const).map((end) => ({ flavour, end, child: pairs[flavour][end] })),
  );
  const timeouts = ends.map(({ child }) => connectionOption(stage.lib, child.pid, TCP_USER_TIMEOUT) ?? 0);
  await stage.sandbox.forward(false);
  const cut = Date.now();
  return Promise.all(
    ends.map(async ({ flavour, end, child }, i) => {
      const ended = await child.wait("ended", WATCH_MS);
      const gaveUpMs = ended ? Number(ended.at) - cut : null;
      return { end, flavour, timeoutMs: timeouts[i]!, gaveUpMs, code: ended ? String(ended.code) : null };
    }),
  );
}

function resultTable(results: Result[]): string {
  const rows = results.map(({ end, flavour, timeoutMs, gaveUpMs }) => [
    end,
    flavour === "tcpx" ? "with tcpx" : "without",
    timeoutMs === 0 ? "not set" : formatDuration(timeoutMs),
    gaveUpMs === null
      ? `still trying after ${WATCH_MS / 1000} s`
      : `gave up after ${(gaveUpMs / 1000).toFixed(1)} s`,
  ]);
  return table(["END", "", "USER TIMEOUT", "AFTER THE CUT"], rows);
}

async function perform(io: Io, stage: Stage): Promise<ExitCode> {
  const { lib, sandbox } = stage;
  await sandbox.create();
  stage.check();
  for (const end of ["client", "server"] as const) {
    await applyRules(lib, sandbox, end);
    io.print(`${end}$ tcpx ${COMMANDS[end].words} --port ${PORT.tcpx}`);
  }
  const capture = await stage.start("capture", "client", "listening", "eth0");
  const pairs = { tcpx: await startPair(stage, "tcpx"), plain: await startPair(stage, "plain") };
  const syn = await capturedSyn(stage, capture);
  io.print(`\nThe client's SYN, captured on its way:\n  ${syn.described.join(", ")}`);
  io.print(`\nNow the router between them goes silent; looking for ${WATCH_MS / 1000} s ...`);
  const results = await observe(stage, pairs);
  stage.check();
  io.print(`\n${resultTable(results)}\n`);
  io.print("Without a user timeout Linux goes on for about 15 minutes (tcp_retries2).");
  const ok = syn.uto !== null && results.every((r) => (r.flavour === "tcpx") === (r.gaveUpMs !== null));
  io.json({
    ok,
    syn_option: syn.uto,
    watched_ms: WATCH_MS,
    ends: results.map(({ end, flavour, timeoutMs, gaveUpMs, code }) => ({
      end,
      tcpx: flavour === "tcpx",
      user_timeout_ms: timeoutMs || null,
      gave_up_after_ms: gaveUpMs,
      error: code,
    })),
  });
  if (!ok) io.messages.error("this is not what should have happened; see `tcpx doctor`");
  return ok ? Exit.DONE : Exit.FAILED;
}

/** Aborts on Ctrl-C, SIGTERM and SIGHUP, so that cleanup comes before the end. */
function interruption(): { signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const stop = (name: string) =>
    controller.abort(new TcpxError(Exit.FAILED, `interrupted by ${name}; everything was removed`));
  for (const name of signals) process.once(name, stop);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const name of signals) process.off(name, stop);
    },
  };
}

export const demo = leaf({
  summary:
    "A negotiated user timeout, in network namespaces and cgroups of its own: the option in a captured " +
    "SYN, both ends' timeouts, and how long each end takes to give up when the path is cut. About 15 s; " +
    "cleans up whatever happens.",
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
      await removeRules(lib, sandbox).catch(() => {}); // not yet set, perhaps
      await sandbox[Symbol.asyncDispose]();
    }
  },
});
