// SPDX-License-Identifier: MIT
// The two hosts of a trial: a namespace of a network and a cgroup each, with a link between them. They are on a host
// of their own (private-host.ts), and go with it.

import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Exit, TcpxError } from "../base/errors.ts";
import type { Places } from "../lab/stage.ts";
import { childEnvironment, programOf } from "../system/child.ts";
import { makeDirectories } from "../system/files.ts";
import { cgroupRoot } from "../system/host.ts";

export const ENDS = ["client", "server"] as const;
export type End = (typeof ENDS)[number];
export type Family = "v4" | "v6";

export const ADDRESS: Record<Family, Record<End, string>> = {
  v4: { client: "192.0.2.1", server: "192.0.2.2" },
  v6: { client: "2001:db8::1", server: "2001:db8::2" },
};
export const PORT = 7001;

/** A kernel without IPv6 has none of this. */
export const families = (): Family[] => (existsSync("/proc/sys/net/ipv6") ? ["v4", "v6"] : ["v4"]);

export class Network implements Places {
  netns(place: string): string {
    return join("/run/netns", place);
  }

  cgroup(place: string): string {
    return join(cgroupRoot(), place);
  }

  /** The program that runs the command behind it at an end. */
  door(end: End): string {
    return join("/run", end);
  }

  private async ip(lines: readonly string[]): Promise<void> {
    const argv = [programOf("ip") ?? "ip", "-batch", "-"];
    const input = new Blob([lines.map((line) => `${line}\n`).join("")]);
    const child = Bun.spawn(argv, {
      env: childEnvironment(),
      stdin: input,
      stdout: "ignore",
      stderr: "pipe",
    });
    const [text, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
    if (code !== 0) throw new TcpxError(Exit.FAILED, `ip: ${text.trim().split("\n")[0] ?? ""}`);
  }

  async create(): Promise<void> {
    const six = families().includes("v6");
    await this.ip(["link set lo up", ...ENDS.map((end) => `netns add ${end}`)]);
    await this.ip([`link add eth0 netns client type veth peer name eth0 netns server`]);
    for (const end of ENDS) {
      makeDirectories(this.cgroup(end), 0o755);
      writeFileSync(this.door(end), this.script(end), { mode: 0o755 });
    }
    const inside = (end: End, ...lines: string[]) => lines.map((line) => `netns exec ${end} ip ${line}`);
    await this.ip(
      ENDS.flatMap((end) =>
        inside(
          end,
          "link set lo up",
          `address add ${ADDRESS.v4[end]}/24 dev eth0`,
          "link set eth0 up",
          // of an address that was there before, the first question where it is gets no answer, for a second
          ...(six ? [`address add ${ADDRESS.v6[end]}/64 dev eth0 nodad`] : []),
        ),
      ),
    );
  }

  private script(end: End): string {
    const nsenter = programOf("nsenter") ?? "nsenter";
    return `#!/bin/sh
echo $$ >${this.cgroup(end)}/cgroup.procs && exec ${nsenter} --net=${this.netns(end)} -- "$@"
`;
  }
}
