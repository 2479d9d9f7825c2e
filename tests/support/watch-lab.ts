// SPDX-License-Identifier: MIT
// A `tcpx watch` under way, and what it has said so far.
import { page } from "./json-page.ts";
import { type Child, type Lab, until } from "./lab.ts";
import { tcpxPath } from "./tcpx.ts";

// biome-ignore lint/suspicious/noExplicitAny: documents of the program under test
export type Event = any;

export interface WatchOptions {
  netns?: string;
  /** A command that runs the command after it. */
  wrap?: readonly string[];
  /** Instead of --json. */
  human?: boolean;
  /** What it has to have said before it is taken for ready. */
  ready?: string;
  /** Another executable than the one under test. */
  program?: string;
}

export class Watch {
  stdout = "";
  stderr = "";
  private readonly closed: Promise<unknown>;

  private constructor(
    readonly child: Child,
    /** It is another executable, which has fields of its own. */
    private readonly isOther: boolean,
  ) {
    const read = async (stream: ReadableStream<Uint8Array>, add: (text: string) => void) => {
      const decoder = new TextDecoder();
      for await (const chunk of stream) add(decoder.decode(chunk, { stream: true }));
    };
    this.closed = Promise.all([
      read(child.stdout as ReadableStream<Uint8Array>, (text) => {
        this.stdout += text;
      }),
      read(child.stderr as ReadableStream<Uint8Array>, (text) => {
        this.stderr += text;
      }),
    ]);
  }

  /** Started, and watching. */
  static async start(lab: Lab, args: readonly string[], options: WatchOptions = {}): Promise<Watch> {
    const flags = options.human ? [] : ["--json"];
    const child = lab.spawn(
      [...(options.wrap ?? []), options.program ?? tcpxPath(), "watch", ...args, ...flags],
      {
        ...(options.netns ? { netns: options.netns } : {}),
        stderr: "pipe",
      },
    );
    const watch = new Watch(child, options.program !== undefined);
    await watch.says(options.ready ?? "Ctrl-C ends it");
    return watch;
  }

  /** Waits for a word on stderr. */
  async says(text: string): Promise<void> {
    const said = () => this.stderr.includes(text) || this.child.exitCode !== null;
    if (!(await until(said, 30_000)) || !this.stderr.includes(text)) {
      throw new Error(`it does not say "${text}", but: ${this.stderr}`);
    }
  }

  get lines(): string[] {
    return this.stdout.split("\n").slice(0, -1);
  }

  get events(): Event[] {
    const events = this.lines.map((line) => JSON.parse(line));
    const wrong = this.isOther ? [] : events.flatMap((event) => page.problems(["watch"], event));
    if (wrong.length > 0) throw new Error(wrong.join("\n"));
    return events;
  }

  /** Those of one connection, in short: "iw granted 40 32". */
  of(port: number): string[] {
    const text = (value: object | null) => {
      const numbers = Object.values(value ?? {});
      return numbers.length === 1 ? String(numbers[0]) : JSON.stringify(value);
    };
    return this.events
      .filter((e) => e.local?.port === port || e.peer?.port === port)
      .map((e) => {
        const side = e.side === "peers" ? "their " : "";
        const reason = e.reason ? ` ${e.reason}` : "";
        return `${side}${e.extension} ${e.event} ${text(e.asked)} ${text(e.granted)}${reason}`;
      })
      .sort();
  }

  /** Waits until a connection has had these events, in whatever order, and no others. */
  async sees(port: number, wanted: readonly string[]): Promise<string[]> {
    await until(() => Bun.deepEquals(this.of(port), [...wanted].sort()), 15_000);
    return this.of(port);
  }

  /** Waits until there are so many lines. */
  has(count: number): Promise<boolean> {
    return until(() => this.lines.length >= count, 15_000);
  }

  /** Ends it; its exit code, or the signal that killed it. */
  async end(signal: NodeJS.Signals = "SIGINT"): Promise<number | string> {
    this.child.kill(signal);
    return await this.ended();
  }

  async ended(): Promise<number | string> {
    await this.child.exited;
    await this.closed;
    return this.child.signalCode ?? this.child.exitCode ?? -1;
  }
}
