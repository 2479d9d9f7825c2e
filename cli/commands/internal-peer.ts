// SPDX-License-Identifier: MIT
// The ends of demo's and doctor's connections: ordinary programs with ordinary sockets. Not for people.

import { appendFileSync, readSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { type Args, globalArgs, textArg } from "../base/args.ts";
import { Exit, usageError } from "../base/errors.ts";
import { type Bridge, bridge, cstr, unwrap } from "../bridge/bridge.ts";
import { paceListener, viewConnection } from "../lab/own-sockets.ts";
import { writeDocument } from "../output/io.ts";
import { leaf } from "./types.ts";

/** Between two writes: often enough that there is always something unacknowledged. */
const WRITE_MS = 100;

function tell(event: string, details: Record<string, unknown> = {}): void {
  writeDocument({ event, ...details });
}

/** Writes all the time and tells when the connection has ended. */
function converse(socket: Socket): void {
  const timer = setInterval(() => socket.write("x"), WRITE_MS);
  let code = "closed";
  socket.on("error", (error: NodeJS.ErrnoException) => {
    code = error.code ?? error.message;
  });
  socket.on("data", () => {});
  socket.on("close", () => {
    clearInterval(timer);
    tell("ended", { code, at: Date.now() });
  });
}

function serve(address: string, port: number): void {
  const server = createServer((socket) => {
    tell("connected");
    converse(socket);
  });
  server.listen(port, address, () => tell("listening"));
}

function dial(address: string, port: number): void {
  const socket = connect({ host: address, port }, () => tell("connected"));
  converse(socket);
}

/** More than what it is paced to. */
const CHUNK = Buffer.alloc(32_768);

/** Sends for some time to whoever connects, and leaves the connection open to be looked at. */
function send(address: string, port: number, ms: number): void {
  const server = createServer((socket) => {
    const end = performance.now() + ms;
    socket.on("error", () => {});
    const timer = setInterval(() => {
      if (performance.now() < end) {
        if (socket.writableLength === 0) socket.write(CHUNK);
        return;
      }
      clearInterval(timer);
      tell("sent");
    }, 1);
  });
  server.listen(port, address, () => tell("listening"));
}

/** Reads whatever comes. */
function read(address: string, port: number): void {
  const socket = connect({ host: address, port }, () => tell("connected"));
  socket.on("data", () => {});
  socket.on("error", (error) => tell("failed", { what: error.message }));
}

/** Tells every frame of an interface, as hex. */
function capture(lib: Bridge, device: string): void {
  const fd = unwrap(`capture on ${device}`, lib.tcpx_packet_socket(cstr(device)));
  const frame = new Uint8Array(65536);
  tell("listening");
  setInterval(() => {
    for (;;) {
      try {
        const n = readSync(fd, frame);
        tell("frame", { hex: frame.subarray(0, n).toHex() });
      } catch {
        return; // EAGAIN: nothing more for now
      }
    }
  }, 20);
}

/** A connection to ourselves over loopback, held open for somebody to look at. */
function loopback(): void {
  const server = createServer((socket) => socket.pipe(socket));
  server.on("error", (error) => tell("failed", { what: error.message }));
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo;
    const client = connect({ host: "127.0.0.1", port }, () => client.write("x"));
    client.once("data", () => tell("connected"));
    client.on("error", (error) => tell("failed", { what: error.message }));
  });
}

function play(lib: Bridge, role: string, [first = "", second = "", third = ""]: string[]): void {
  if (role === "serve") serve(first, Number(second));
  else if (role === "dial") dial(first, Number(second));
  else if (role === "send") send(first, Number(second), Number(third));
  else if (role === "read") read(first, Number(second));
  else if (role === "capture") capture(lib, first);
  else if (role === "loopback") loopback();
  else throw usageError(`unknown role '${role}'`, role);
}

/** Does what the parent asks for, `WORD NUMBER ARGUMENT`, and says so under the first two. */
function obey(lib: Bridge, request: string): void {
  const [word = "", number = "", argument] = request.split(" ");
  if (word === "pace") paceListener(lib, Number(argument));
  const view = word === "view" ? viewConnection(lib) : undefined;
  tell(`${word} ${number}`, { view });
}

/** The parent holds our stdin open; when it is gone, however it went, so are we. */
async function followParent(lib: Bridge): Promise<void> {
  let rest = "";
  for await (const chunk of process.stdin) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) obey(lib, line);
  }
  process.exit(0);
}

async function enter(lib: Bridge, args: Args): Promise<void> {
  const cgroup = textArg(args, "cgroup");
  const netns = textArg(args, "netns") ?? "new";
  if (cgroup !== "-" && cgroup !== undefined)
    appendFileSync(join(cgroup, "cgroup.procs"), String(process.pid));
  if (netns === "new") unwrap("new network namespace", lib.tcpx_netns_new());
  else if (netns !== "-") unwrap("enter namespace", lib.tcpx_netns_enter(cstr(netns)));
}

export const internalPeer = leaf({
  summary: "One end of a connection that tcpx demo or doctor makes; not for people.",
  args: {
    role: { type: "positional" },
    netns: { type: "positional" },
    cgroup: { type: "positional" },
    parameters: { type: "positional" },
    ...globalArgs,
  },
  async run(args) {
    const lib = await bridge();
    await enter(lib, args);
    void followParent(lib);
    play(lib, textArg(args, "role") ?? "", (textArg(args, "parameters") ?? "").split(","));
    return Exit.DONE; // the sockets keep the process alive until it is killed
  },
});
