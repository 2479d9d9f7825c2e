// SPDX-License-Identifier: MIT
// The routes of immediate ACKs (native-loader/agent/routes.c) in a namespace, judged by iproute2.
import { readdirSync, readFileSync } from "node:fs";
import { buildRoutes } from "./build.ts";
import type { Lab } from "./lab.ts";
import { LineClient, pairs } from "./line-protocol.ts";
import { type Child, until } from "./process.ts";

export const TABLE = 31904;
export const BIT = 0x2000;
const PROTOCOL = "202";

type Version = 4 | 6;
interface Leg {
  flags?: string[];
}
interface Route {
  type?: string;
  dst: string;
  protocol?: string;
  metrics?: Record<string, number>[];
  nexthops?: Leg[];
  flags?: string[];
  [key: string]: unknown;
}
export interface Rule {
  priority: number;
  table: string;
  fwmark?: string;
  fwmask?: string;
  [key: string]: unknown;
}

/** The program tests/support/routes. */
export class Driver extends LineClient {
  /** Answers after everything that has happened so far has been followed. Times are in microseconds. */
  async ask(command: string): Promise<Record<string, number>> {
    const fields = Object.entries(pairs(await this.request(command, 20_000)));
    return Object.fromEntries(fields.map(([key, value]) => [key, Number(value)]));
  }
  open = (bits = BIT) => this.ask(`open ${bits}`);
  stats = () => this.ask("stats");
}

/** Without what a copy has of its own: the metric, the protocol, and what the kernel says about the state. */
function plain(route: Route, copy: boolean): string {
  const { protocol, metrics, flags, nexthops, expires, cache, ...rest } = route;
  if (copy && protocol !== PROTOCOL) throw new Error(`not ours: ${JSON.stringify(route)}`);
  const { quickack, ...others } = Object.assign({}, ...(metrics ?? []));
  if (copy && quickack !== 1) throw new Error(`without quickack: ${JSON.stringify(route)}`);
  const legs = nexthops?.map(({ flags: _, ...leg }) => JSON.stringify(leg));
  return JSON.stringify({ ...rest, metrics: others, legs });
}

export class RoutesLab {
  private constructor(
    readonly lab: Lab,
    readonly netns: string,
    public driver: Driver,
  ) {}

  /** A namespace with two devices, veth "d1" and "d2", and addresses on them. */
  static async create(lab: Lab, name: string): Promise<RoutesLab> {
    const netns = await lab.netns(name);
    const it = new RoutesLab(lab, netns, await RoutesLab.driver(lab, netns));
    await it.ip(
      "link add d1 index 50 type veth peer name d2 index 51",
      "addr add 10.1.0.1/24 dev d1",
      "addr add fd01::1/64 dev d1 nodad",
      "addr add 10.2.0.1/24 dev d2",
      "link set d1 up",
      "link set d2 up",
    );
    return it;
  }

  private static async driver(lab: Lab, netns: string): Promise<Driver> {
    return new Driver(lab.spawn([await buildRoutes()], { netns }) as Child);
  }

  /** Another process like the first. */
  async restart(): Promise<void> {
    this.driver = await RoutesLab.driver(this.lab, this.netns);
  }

  /** Runs ip commands, all of one family when they begin with -4 or -6. */
  async ip(...commands: string[]): Promise<void> {
    for (const command of commands)
      await this.lab.exec(undefined, ["ip", "-n", this.netns, ...command.split(" ")]);
  }

  async batch(lines: string[], version: Version = 4): Promise<void> {
    await this.lab.exec(
      undefined,
      ["ip", `-${version}`, "-n", this.netns, "-batch", "-"],
      `${lines.join("\n")}\n`,
    );
  }

  private async json<T>(version: Version, ...words: string[]): Promise<T[]> {
    // A table that nothing was ever put into does not exist.
    const text = await this.lab.exec(undefined, [
      "ip",
      "-j",
      "-N",
      `-${version}`,
      "-n",
      this.netns,
      ...words,
    ]);
    return text.trim() ? JSON.parse(text) : [];
  }

  async rules(version: Version): Promise<Rule[]> {
    return await this.json<Rule>(version, "rule");
  }

  /** The raw routes of our table. */
  async copy(version: Version): Promise<Route[]> {
    return await this.json<Route>(version, "route", "show", "table", `${TABLE}`).catch((error) => {
      if (/does not exist/.test(`${error}`)) return [];
      throw error;
    });
  }

  /** Both tables in the form in which they have to be equal; IPv4's order counts. */
  async tables(version: Version): Promise<{ main: string[]; copy: string[] }> {
    await this.driver.stats();
    const main = (await this.json<Route>(version, "route", "show", "table", "254")).map((r) =>
      plain(r, false),
    );
    const copy = (await this.copy(version)).map((r) => plain(r, true));
    return version === 4 ? { main, copy } : { main: main.sort(), copy: copy.sort() };
  }

  /** What of ours is in the namespace. */
  async traces(): Promise<{ rules: number; routes: number }> {
    const rules = [...(await this.rules(4)), ...(await this.rules(6))].filter((r) => r.table === `${TABLE}`);
    return { rules: rules.length, routes: (await this.copy(4)).length + (await this.copy(6)).length };
  }

  /** The guards in this namespace. */
  guards(): number[] {
    const own = readFileSync(`/proc/${this.driver.pid}/stat`, "utf8") && this.inode(this.driver.pid);
    return readdirSync("/proc")
      .map(Number)
      .filter((pid) => pid > 0 && nameOf(pid) === "tcpx-guard" && this.inode(pid) === own);
  }

  /** The guard of an agent that has opened: it has its name once it runs, which a busy machine may put off. */
  async guard(): Promise<number> {
    await until(() => this.guards().length === 1);
    const [guard, ...others] = this.guards();
    if (guard === undefined || others.length > 0) throw new Error(`${this.guards().length} guards`);
    return guard;
  }

  private inode(pid: number): string | undefined {
    const got = Bun.spawnSync(["readlink", `/proc/${pid}/ns/net`])
      .stdout.toString()
      .trim();
    return got || undefined;
  }
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}
