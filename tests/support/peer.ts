// SPDX-License-Identifier: MIT
// Kernel sockets in a process of their own (peer/main.c).
import { LineClient, pairs } from "./line-protocol.ts";

export interface Endpoint {
  addr: string;
  port: number;
}

export interface ConnectOptions {
  timeoutMs?: number;
  mptcp?: boolean;
  /** [level, name, value], set before connect(). */
  options?: readonly (readonly [number, number, number])[];
  cc?: string;
}

/** Fields of struct tcp_info without the tcpi_ prefix: state, rto, rtt, snd_cwnd, total_retrans, ... */
export type TcpInfo = Record<string, number>;

function family(addr: string): 4 | 6 {
  return addr.includes(":") ? 6 : 4;
}

/** A process with kernel sockets. The numbers are its real file descriptors. */
export class Peer extends LineClient {
  async listen(addr: string, port = 0, { mptcp = false, v6only = true } = {}) {
    const kind = `${mptcp ? "mptcp" : ""}${family(addr)}`;
    const words = (await this.request(`listen${kind} ${addr} ${port} ${v6only ? 1 : 0}`)).split(" ");
    return { fd: Number(words[0]), port: Number(words[1]) };
  }

  async connect(addr: string, port: number, how: ConnectOptions = {}): Promise<number> {
    const fd = await this.socket(family(addr), how.mptcp);
    for (const [level, name, value] of how.options ?? []) await this.setopt(fd, level, name, value);
    if (how.cc) await this.setcc(fd, how.cc);
    await this.connectFd(fd, addr, port, how.timeoutMs);
    return fd;
  }

  socket(version: 4 | 6, mptcp = false): Promise<number> {
    return this.number(`${mptcp ? "mptcp" : "socket"}${version}`);
  }

  /** Fails with ETIME after ms, with ETIMEDOUT when the kernel gave up. */
  async connectFd(fd: number, addr: string, port: number, ms = 5000): Promise<void> {
    await this.request(`connectfd ${fd} ${addr} ${port} ${ms}`, ms);
  }

  /** Ends the connection; the socket may open another one. */
  async disconnect(fd: number): Promise<void> {
    await this.request(`disconnect ${fd}`);
  }

  bind(fd: number, addr: string, port = 0): Promise<number> {
    return this.number(`bind ${fd} ${addr} ${port}`);
  }

  listenFd(fd: number, backlog = 128): Promise<number> {
    return this.number(`listenfd ${fd} ${backlog}`);
  }

  async accept(fd: number, ms = 5000): Promise<Endpoint & { fd: number }> {
    const [got, addr = "", port] = (await this.request(`accept ${fd} ${ms}`, ms)).split(" ");
    return { fd: Number(got), addr, port: Number(port) };
  }

  async setopt(fd: number, level: number, name: number, value: number): Promise<void> {
    await this.request(`setopt ${fd} ${level} ${name} ${value}`);
  }

  /** For options that are buffers. */
  async setBytes(fd: number, level: number, name: number, value: Uint8Array): Promise<void> {
    await this.request(`setbytes ${fd} ${level} ${name} ${Buffer.from(value).toString("hex")}`);
  }

  getopt(fd: number, level: number, name: number): Promise<number> {
    return this.number(`getopt ${fd} ${level} ${name}`);
  }

  /** For options that are buffers, such as TCP_SAVED_SYN. */
  getoptHex(fd: number, level: number, name: number): Promise<string> {
    return this.request(`getopt ${fd} ${level} ${name} hex`);
  }

  async setcc(fd: number, name: string): Promise<void> {
    await this.request(`setcc ${fd} ${name}`);
  }

  getcc(fd: number): Promise<string> {
    return this.request(`getcc ${fd}`);
  }

  /** Sends exactly n bytes; returns a hash of them, the same that recv returns at the other side. */
  async send(fd: number, n: number, ms = 5000): Promise<string> {
    return (await this.request(`send ${fd} ${n} ${ms}`, ms)).split(" ")[1] ?? "";
  }

  async recv(fd: number, n: number, ms = 5000): Promise<string> {
    return (await this.request(`recv ${fd} ${n} ${ms}`, ms)).split(" ")[1] ?? "";
  }

  /** Ping-pong against an echo(); returns the microseconds that it took. */
  async exchange(fd: number, count: number, size: number, ms = 5000): Promise<number> {
    return Number((await this.request(`exchange ${fd} ${count} ${size} ${ms}`, ms)).split(" ")[1]);
  }

  async echo(fd: number): Promise<void> {
    await this.request(`echo ${fd}`);
  }

  async sink(fd: number): Promise<void> {
    await this.request(`sink ${fd}`);
  }

  /** Waits for an error or a close, without reading. */
  async waitError(fd: number, ms: number) {
    const [errno, elapsed, why] = (await this.request(`waiterr ${fd} ${ms}`, ms)).split(" ");
    return { errno: Number(errno), ms: Number(elapsed), why: why as "error" | "closed" | "timeout" };
  }

  /** Data with the SYN, on a socket that is not connected yet; the first time only fetches the cookie. */
  sendFastOpen(fd: number, addr: string, port: number, n: number): Promise<number> {
    return this.number(`sendfastopen ${fd} ${addr} ${port} ${n}`);
  }

  async tcpInfo(fd: number): Promise<TcpInfo> {
    const fields = Object.entries(pairs(await this.request(`tcpinfo ${fd}`)));
    return Object.fromEntries(fields.map(([key, value]) => [key, Number(value)]));
  }

  sockName(fd: number): Promise<Endpoint> {
    return this.name("sockname", fd);
  }

  peerName(fd: number): Promise<Endpoint> {
    return this.name("peername", fd);
  }

  private async name(which: string, fd: number): Promise<Endpoint> {
    const [addr = "", port] = (await this.request(`${which} ${fd}`)).split(" ");
    return { addr, port: Number(port) };
  }

  async shutdown(fd: number): Promise<void> {
    await this.request(`shutdown ${fd}`);
  }

  async close(fd: number): Promise<void> {
    await this.request(`close ${fd}`);
  }

  /** Closes with an RST. */
  async reset(fd: number): Promise<void> {
    await this.request(`reset ${fd}`);
  }
}

export interface Connection {
  listener: number;
  port: number;
  /** File descriptor at the side that opened. */
  client: number;
  /** File descriptor at the side that accepted. */
  server: number;
}

/** One connection between two peers through a new listener. */
export async function connectPeers(
  client: Peer,
  server: Peer,
  addr: string,
  how: ConnectOptions & { port?: number } = {},
): Promise<Connection> {
  const { fd: listener, port } = await server.listen(addr, how.port, { mptcp: how.mptcp ?? false });
  const [fd, got] = await Promise.all([client.connect(addr, port, how), server.accept(listener)]);
  return { listener, port, client: fd, server: got.fd };
}
