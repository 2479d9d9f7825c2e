// SPDX-License-Identifier: MIT
// Devices, addresses and routes between network namespaces.
import { run } from "./process.ts";

export interface LinkEnd {
  netns: string;
  device: string;
  v4: string;
  v6: string;
}

export interface Link {
  a: LinkEnd;
  b: LinkEnd;
}

export interface Routed {
  client: LinkEnd;
  server: LinkEnd;
  router: string;
  /** The router drops without a word: a black hole, no ICMP. */
  cut(direction?: "both" | "toServer" | "toClient"): Promise<void>;
  mend(): Promise<void>;
}

export async function sysctl(netns: string, key: string, value: string | number): Promise<void> {
  // /proc/sys/net shows the namespace of the process that opens the file, so a process has to.
  const path = `/proc/sys/${key.replaceAll(".", "/")}`;
  await run(["sh", "-c", 'printf "%s\\n" "$1" > "$0"', path, `${value}`], { netns });
}

export async function nft(netns: string, ruleset: string): Promise<void> {
  await run(["nft", "-f", "-"], { netns }, ruleset);
}

/** A veth pair with these ends; n is another number for every pair of a lab. */
export async function veth(n: number, left: LinkEnd, right: LinkEnd): Promise<void> {
  // Different indices: with the same one at both ends, which is usual in fresh namespaces, the kernel takes
  // the carrier change for one that is not urgent, and IPv6 is not ready for a second.
  const [first, second] = [`${100 + 2 * n}`, `${101 + 2 * n}`];
  const peer = ["type", "veth", "peer", "name", right.device, "index", second, "netns", right.netns];
  await run(["ip", "-n", left.netns, "link", "add", left.device, "index", first, ...peer]);
  for (const { netns, device, v4, v6 } of [left, right]) {
    const steps = [
      `addr add ${v4}/24 dev ${device}`,
      `addr add ${v6}/64 dev ${device} nodad`,
      `link set ${device} up`,
    ];
    await run(["ip", "-n", netns, "-batch", "-"], {}, `${steps.join("\n")}\n`);
  }
}

/** Makes the namespace between two links a router, and the way to everywhere for their other ends. */
export async function route(near: Link, far: Link): Promise<Routed> {
  const router = near.b.netns;
  await sysctl(router, "net.ipv4.ip_forward", 1);
  await sysctl(router, "net.ipv6.conf.all.forwarding", 1);
  for (const [end, gate] of [[near.a, near.b] as const, [far.b, far.a] as const]) {
    const routes = `route add default via ${gate.v4}\nroute add default via ${gate.v6}\n`;
    await run(["ip", "-n", end.netns, "-batch", "-"], {}, routes);
  }
  const out = { both: "", toServer: `oifname "${far.a.device}" `, toClient: `oifname "${near.b.device}" ` };
  const empty = "add table inet cut\ndelete table inet cut\n";
  return {
    client: near.a,
    server: far.b,
    router,
    cut: async (direction = "both") => {
      const chain = "type filter hook forward priority 0; policy accept;";
      await nft(router, `${empty}table inet cut {\n chain f {\n ${chain}\n ${out[direction]}drop\n }\n}\n`);
    },
    mend: async () => await nft(router, empty),
  };
}
