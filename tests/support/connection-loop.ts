// SPDX-License-Identifier: MIT
// Short connections without end, each of them judged, while rules are changed or taken over.
import type { UtoLab } from "./uto-lab.ts";

/** The sockets of one connection. */
export interface Ends {
  client: number;
  server: number;
}

/**
 * Connects as long as `work` takes, over each of these families at once, and once at least.
 * @param judge says what a connection has, while it is there
 * @returns the verdicts
 */
export async function connecting<T>(
  u: UtoLab,
  judge: (ends: Ends) => Promise<T>,
  work: () => Promise<unknown>,
  families: readonly ("v4" | "v6")[] = ["v4"],
): Promise<T[]> {
  let busy = true;
  const seen: T[] = [];
  const loop = async (address: string) => {
    const { fd: listener, port } = await u.server.peer.listen(address);
    do {
      const client = await u.client.peer.connect(address, port);
      const { fd: server } = await u.server.peer.accept(listener);
      seen.push(await judge({ client, server }));
      await Promise.all([u.client.peer.reset(client), u.server.peer.close(server)]);
    } while (busy);
  };
  const loops = Promise.all(families.map((family) => loop(u.server[family])));
  try {
    await Promise.race([work(), loops]);
  } finally {
    busy = false;
    await loops;
  }
  return seen;
}
