// SPDX-License-Identifier: MIT
// The ACK lab in the guest: a path between two namespaces, and one scenario after the other on it.

import { readFileSync } from "node:fs";
import { quantile } from "../bench/stats.ts";
import { buildSupport } from "../support/build.ts";
import { type Child, connectPeers, Lab, type LinkEnd } from "../support/lab.ts";
import { type Counters, type Measured, ratioBetween, type Sample, settledAfter } from "./ack-lab-report.ts";
import {
  type Path,
  RULES,
  type RuleName,
  type Rules,
  type Scenario,
  type Traffic,
} from "./ack-lab-scenarios.ts";
import { check, TCP_ECN_ACCECN, tcpxOk } from "./support.ts";

/** The bit of ECN in TCP_INFO's options. */
const TCPI_OPT_ECN = 8;
/** Without tcpx a receiver acknowledges every second segment at the least. */
const DEFAULT_RATIO = 2.1;

interface Side extends LinkEnd {
  cgroup: string;
}

/** The lines of JSON that a program says. */
class Lines {
  private readonly waiting: string[] = [];
  private rest = "";
  private readonly chunks: AsyncIterator<Uint8Array>;

  constructor(readonly child: Child) {
    this.chunks = (child.stdout as ReadableStream<Uint8Array>)[Symbol.asyncIterator]();
  }

  // biome-ignore lint/suspicious/noExplicitAny: documents of the test program, of several shapes
  async next(): Promise<any> {
    while (this.waiting.length === 0) {
      const { done, value } = await this.chunks.next();
      if (done) throw new Error(`a program of the lab ended (${await this.child.exited})`);
      const lines = (this.rest + Buffer.from(value).toString()).split("\n");
      this.rest = lines.pop()!;
      this.waiting.push(...lines);
    }
    return JSON.parse(this.waiting.shift()!);
  }
}

const COUNTERS = ["TCPLossProbes", "TCPTimeouts", "RetransSegs", "TCPDSACKRecv", "TCPSpuriousRTOs"] as const;

/** /proc/net/netstat and snmp: a line of names, and one of values. */
function parseCounters(text: string): Counters {
  const lines = text.split("\n").map((line) => line.split(" "));
  const of = (name: string) => {
    const at = lines.findIndex((words) => words.includes(name));
    check(at >= 0, `the kernel has no counter ${name}`);
    return Number(lines[at + 1]![lines[at]!.indexOf(name)]);
  };
  return Object.fromEntries(COUNTERS.map((name) => [name, of(name)])) as unknown as Counters;
}

const toSample = ([at, segments, acks, retransmitted, acked]: number[]): Sample =>
  ({ at, segments, acks, retransmitted, acked }) as Sample;

/** Of the clock that the samples have. */
const monotonicMs = () => Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1000;

async function agentPid(): Promise<number> {
  const pid: unknown = (await tcpxOk(["status"])).json?.agent?.pid;
  check(typeof pid === "number" && pid > 1, `tcpx status says that the agent is ${pid}`);
  return pid as number;
}

async function negotiatesEcn(lab: Lab, a: LinkEnd, b: LinkEnd): Promise<boolean> {
  const [from, to] = [await lab.peer(a.netns), await lab.peer(b.netns)];
  const { client } = await connectPeers(from, to, b.v4);
  const { options = 0 } = await from.tcpInfo(client);
  return (options & TCPI_OPT_ECN) !== 0;
}

/** Not lab.netem: busybox's nsenter would run busybox's own tc. */
async function netem(lab: Lab, { netns, device }: LinkEnd, how: string): Promise<void> {
  const words = ["tc", "-n", netns, "qdisc", "replace", "dev", device, "root", "netem", ...how.split(" ")];
  await lab.exec(undefined, words);
}

export class AckLab implements AsyncDisposable {
  private port = 5000;
  private rules: RuleName | undefined;

  private constructor(
    private readonly lab: Lab,
    private readonly sender: Side,
    private readonly receiver: Side,
    private readonly program: string,
  ) {}

  static async create({ rttMs, mbit, loss = 0, accEcn }: Path): Promise<AckLab> {
    const lab = await Lab.create();
    await lab.netns("sender");
    await lab.netns("receiver");
    const { a, b } = await lab.link("sender", "receiver");
    for (const { netns, device } of [a, b]) {
      // every segment is a packet of its own, so that an ACK is for what it says
      await lab.exec(netns, ["ethtool", "-K", device, "tso", "off", "gso", "off"]);
      await lab.sysctl(netns, "net.ipv4.tcp_no_metrics_save", 1);
      await lab.sysctl(netns, "net.ipv4.tcp_rmem", "4096 131072 33554432");
      await lab.sysctl(netns, "net.ipv4.tcp_wmem", "4096 65536 33554432");
      if (accEcn) await lab.sysctl(netns, "net.ipv4.tcp_ecn", TCP_ECN_ACCECN);
      if (accEcn === "flags only") await lab.sysctl(netns, "net.ipv4.tcp_ecn_option", 0);
    }
    const ecn = await negotiatesEcn(lab, a, b);
    check(ecn === (accEcn !== undefined), `ECN is ${ecn ? "" : "not "}negotiated`);
    const delay = `delay ${rttMs / 2}ms`;
    // twice what fits on the path: netem counts the delayed packets too
    const limit = Math.round(((mbit * rttMs * 125) / 1500) * 2 + 30);
    const lossy = loss > 0 ? ` loss ${loss}%` : "";
    await netem(lab, a, `${delay} rate ${mbit}mbit limit ${limit}${lossy}`);
    await netem(lab, b, `${delay} limit 100000`);
    const side = (end: LinkEnd, name: string): Side => ({ ...end, cgroup: lab.cgroup(name) });
    const made = new AckLab(lab, side(a, "sender"), side(b, "receiver"), (await buildSupport()).load);
    // the first connection waits for neighbours to be found
    await made.fetch("cubic", { kind: "fetch", count: 1, bytes: 1000, thinkMs: 0, mode: "keep" });
    return made;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.use(undefined);
    await this.lab[Symbol.asyncDispose]();
  }

  private start(side: Side, ...args: (string | number)[]): Lines {
    return new Lines(this.lab.spawn([this.program, ...args.map(String)], side));
  }

  private async counters(): Promise<Counters> {
    const files = ["/proc/net/netstat", "/proc/net/snmp"];
    return parseCounters(await this.lab.exec(this.sender.netns, ["cat", ...files]));
  }

  private ends(rules: Rules): [Side, string[]][] {
    return [
      [this.sender, rules.sender ?? []],
      [this.receiver, rules.receiver ?? []],
    ];
  }

  /** Exchanges the rules in force for these, unless they are the same. */
  private async use(rules: RuleName | undefined): Promise<void> {
    if (rules === this.rules) return;
    const old: Rules = this.rules ? RULES[this.rules] : {};
    this.rules = undefined;
    for (const [{ cgroup }, commands] of this.ends(old)) {
      if (commands.length === 0) continue;
      const { json } = await tcpxOk(["status", "--cgroup", cgroup]);
      console.log(`guest: ${JSON.stringify(json.ack_rules)} ${JSON.stringify(json.agent)}`);
      await tcpxOk(["ack", "unset", "--all", "--cgroup", cgroup]);
    }
    // half of them may be there when it fails, and then have to go
    this.rules = rules;
    for (const [{ cgroup }, commands] of this.ends(rules ? RULES[rules] : {})) {
      for (const words of commands) await tcpxOk([...words.split(" "), "--cgroup", cgroup]);
    }
  }

  /** Sets the rules, where they are not those of the scenario before, and runs the traffic. */
  async run({ rules, algorithm, traffic }: Scenario): Promise<Measured> {
    await this.use(rules);
    const before = await this.counters();
    const measured = await (traffic.kind === "bulk"
      ? this.bulk(algorithm, traffic)
      : this.fetch(algorithm, traffic));
    const counters = await this.counters();
    for (const name of COUNTERS) counters[name] -= before[name];
    return { ...measured, counters };
  }

  private async bulk(
    algorithm: string,
    { ms, up, killAfterMs, family = "v4" }: Traffic & { kind: "bulk" },
  ): Promise<Omit<Measured, "counters">> {
    const port = ++this.port;
    const agent = killAfterMs === undefined ? undefined : await agentPid();
    const listens = up ? this.receiver : this.sender;
    const listener = up
      ? this.start(listens, "collect", listens[family], port, ms)
      : this.start(listens, "serve", listens[family], port, algorithm);
    await listener.next();
    const opener = up
      ? this.start(this.sender, "push", listens[family], port, algorithm, ms)
      : this.start(this.receiver, "bulk", listens[family], port, ms);
    let killed: number | undefined;
    if (agent !== undefined) {
      await Bun.sleep(killAfterMs!);
      process.kill(agent, "SIGKILL");
      killed = monotonicMs();
    }
    const [heard, told] = [await opener.next(), await listener.next()];
    listener.child.kill();
    const [source, sink] = up ? [heard, told] : [told, heard];
    // the last sample is from after the end of the connection
    const samples: Sample[] = source.samples.slice(0, -1).map(toSample);
    const [first, last] = [samples[0]!, samples.at(-1)!];
    return {
      sent: source.sent,
      received: sink.received,
      intact: sink.intact,
      mbit: (sink.inTime * 8) / ms / 1000,
      ratio: ratioBetween(samples, first.at + ms / 2, last.at),
      segments: last.segments,
      acks: last.acks,
      ...(killed === undefined ? {} : { kill: this.killed(samples, killed) }),
    };
  }

  private killed(samples: Sample[], at: number): Measured["kill"] {
    return {
      before: ratioBetween(samples, at - 1000, at),
      after: ratioBetween(samples, at + 1000, Number.POSITIVE_INFINITY),
      settledMs: settledAfter(samples, at, DEFAULT_RATIO),
    };
  }

  private async fetch(
    algorithm: string,
    { count, bytes, thinkMs, mode }: Traffic & { kind: "fetch" },
  ): Promise<Omit<Measured, "counters">> {
    const port = ++this.port;
    const listener = this.start(this.sender, "serve", this.sender.v4, port, algorithm);
    await listener.next();
    const sink = await this.start(
      this.receiver,
      "fetch",
      this.sender.v4,
      port,
      count,
      bytes,
      thinkMs,
      mode,
    ).next();
    let sent = 0;
    for (let i = 0; i < (mode === "new" ? count : 1); i++) sent += (await listener.next()).sent;
    listener.child.kill();
    const { received, intact, times } = sink;
    console.log(`guest: ${mode}: ${times.map((ms: number) => ms.toFixed(0)).join(" ")}`);
    return { sent, received, intact, p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
  }
}
