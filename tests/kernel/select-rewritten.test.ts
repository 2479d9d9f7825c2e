// SPDX-License-Identifier: MIT
// Which address counts where somebody rewrites it: the one that the kernel's socket has. A load balancer at the
// socket rewrites before the socket has one; NAT rewrites packets, and sockets keep what they have.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { foreignRequirement } from "../support/foreign.ts";
import type { Connection, Routed } from "../support/lab.ts";
import { describeIf, labRequirement, natRequirement } from "../support/requires.ts";
import { balance, type Place } from "../support/rewrite.ts";
import { tcpx } from "../support/tcpx.ts";
import { type Side, UtoLab } from "../support/uto-lab.ts";

const SERVICE: Place = { v4: "10.96.0.1", v6: "fd96::1", port: 80 };
const BACKEND_PORT = 8080;
const FAMILIES = ["v4", "v6"] as const;
const WIDE = { v4: "10.96.0.0/16", v6: "fd96::/64" };

describeIf(labRequirement.ok, labRequirement.reason)("selectors where addresses are rewritten", () => {
  let u: UtoLab;
  let path: Routed;
  const open: Connection[] = [];

  beforeAll(async () => {
    u = await UtoLab.create(async (lab) => {
      path = await lab.routed();
      return path;
    });
  });
  afterEach(async () => {
    for (const c of open.splice(0)) {
      await u.client.peer.reset(c.client);
      await u.server.peer.close(c.server);
    }
    for (const netns of [u.client.netns, path.router, u.server.netns]) await u.lab.nft(netns, NONE);
    await u.clear();
  });
  afterAll(() => u[Symbol.asyncDispose]());

  const NONE = "add table inet rewrite\ndelete table inet rewrite\n";

  /** One nat chain in a namespace. */
  const nat = (netns: string, hook: string, rule: string) => {
    const chain = `type nat hook ${hook} priority ${hook === "postrouting" ? 100 : -100};`;
    return u.lab.nft(netns, `${NONE}table inet rewrite {\n chain c {\n ${chain}\n ${rule}\n }\n}\n`);
  };

  /** Connects to one place, and accepts at another. */
  async function connect(to: [string, number], at: [string, number]): Promise<Connection> {
    const { fd: listener, port } = await u.server.peer.listen(...at);
    const client = await u.client.peer.connect(...to);
    const { fd: server } = await u.server.peer.accept(listener);
    await u.server.peer.close(listener);
    const c = { listener, port, client, server };
    open.push(c);
    return c;
  }

  /** What tcpx says of a connection, by the port that the client has of its own. */
  async function shown(side: Side, own: number) {
    const { json } = await tcpx(["connections", "--cgroup", side.cgroup], { json: true });
    type Row = Record<"peer" | "local", { address: string; port: number }>;
    return (json.connections as Row[]).find(({ local, peer }) => local.port === own || peer.port === own);
  }

  describeIf(foreignRequirement.ok, foreignRequirement.reason)("a load balancer at the socket", () => {
    test.each(FAMILIES)("the backend counts, with its port, %s", async (family) => {
      const inner = u.lab.cgroup(`balanced-${family}`, u.client.cgroup);
      const peer = await u.lab.peer(u.client.netns, inner);
      const backend = { v4: u.server.v4, v6: u.server.v6, port: BACKEND_PORT };
      await balance(u.lab, inner, SERVICE, backend);
      await u.rule(u.client, `set 10s --to ${WIDE[family]}`);
      await u.rule(u.client, `set 20s --to ${SERVICE[family]} --port ${SERVICE.port}`);
      await u.rule(u.server, `set 50s --from ${u.client[family]} --port ${BACKEND_PORT}`);
      const { fd: listener } = await u.server.peer.listen(backend[family], BACKEND_PORT);
      const fresh = async () => {
        const client = await peer.connect(SERVICE[family], SERVICE.port);
        const { fd: server } = await u.server.peer.accept(listener);
        return {
          client: await u.timeout({ peer }, client),
          server: await u.timeout(u.server, server),
          fd: client,
        };
      };
      expect(await fresh()).toMatchObject({ client: 0, server: 50_000 });
      await u.rule(u.client, `set 30s --port ${SERVICE.port}`);
      expect((await fresh()).client).toBe(0);
      await u.rule(u.client, `set 40s --to ${backend[family]} --port ${BACKEND_PORT}`);
      const { client, fd } = await fresh();
      expect(client).toBe(40_000);
      // the application is told something else
      expect((await peer.peerName(fd)).addr).toBe(SERVICE[family]);
      const args = ["connections", "--cgroup", inner, "--to", backend[family]];
      const { json } = await tcpx(args, { json: true });
      expect(json.count).toBe(3);
      expect(json.connections[0].peer).toEqual({ address: backend[family], port: BACKEND_PORT });
      await u.server.peer.close(listener);
    });
  });

  describeIf(natRequirement.ok, natRequirement.reason)("NAT", () => {
    test.each(FAMILIES)(
      "DNAT of this host: the address that the program has named counts, %s",
      async (family) => {
        const [ip, to] = family === "v4" ? ["ip", u.server.v4] : ["ip6", `[${u.server.v6}]`];
        const match = `${ip} daddr ${SERVICE[family]} tcp dport ${SERVICE.port}`;
        await nat(u.client.netns, "output", `${match} dnat ${ip} to ${to}:${BACKEND_PORT}`);
        await u.rule(u.client, `set 10s --to ${WIDE[family]} --port ${SERVICE.port}`);
        await u.rule(u.client, `set 20s --to ${u.server[family]}`);
        await u.rule(u.client, `set 30s --port ${BACKEND_PORT}`);
        const c = await connect([SERVICE[family], SERVICE.port], [u.server[family], BACKEND_PORT]);
        expect(await u.timeout(u.client, c.client)).toBe(10_000);
        const { port } = await u.client.peer.sockName(c.client);
        expect((await shown(u.client, port))?.peer).toEqual({ address: SERVICE[family], port: SERVICE.port });
      },
    );

    test.each(FAMILIES)(
      "DNAT at the server: the port that it listens on counts there, %s",
      async (family) => {
        await nat(u.server.netns, "prerouting", `tcp dport ${SERVICE.port} redirect to :${BACKEND_PORT}`);
        await u.rule(u.client, `set 10s --to ${u.server[family]} --port ${SERVICE.port}`);
        const fresh = async () => {
          const c = await connect([u.server[family], SERVICE.port], [u.server[family], BACKEND_PORT]);
          return { c, timeouts: await u.timeouts(c) };
        };
        await u.rule(u.server, `set 20s --port ${SERVICE.port}`);
        expect((await fresh()).timeouts).toEqual({ client: 10_000, server: 0 });
        await u.rule(u.server, `set 30s --from ${u.client[family]} --port ${BACKEND_PORT}`);
        const { c, timeouts } = await fresh();
        expect(timeouts).toEqual({ client: 10_000, server: 30_000 });
        const { port } = await u.client.peer.sockName(c.client);
        expect((await shown(u.server, port))?.peer.address).toBe(u.client[family]);
      },
    );

    test.each(FAMILIES)("SNAT on the way: the address that the server sees counts, %s", async (family) => {
      await nat(path.router, "postrouting", `tcp dport ${BACKEND_PORT} masquerade`);
      const fresh = async () => {
        const c = await connect([u.server[family], BACKEND_PORT], [u.server[family], BACKEND_PORT]);
        return c;
      };
      await u.rule(u.server, `set 10s --from ${u.client[family]}`);
      const c = await fresh();
      expect(await u.timeout(u.server, c.server)).toBe(0);
      const { addr } = await u.server.peer.peerName(c.server);
      expect(addr).not.toBe(u.client[family]);
      await u.rule(u.server, `set 20s --from ${addr}`);
      expect(await u.timeout(u.server, (await fresh()).server)).toBe(20_000);
    });
  });
});
