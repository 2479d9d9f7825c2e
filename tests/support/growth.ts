// SPDX-License-Identifier: MIT
// What makes the ACK agent's work grow: namespaces that come and go, routes that flap, connections that are thinned.
// All of it runs in a private host, so that its agent finds the namespaces, and says as JSON what it has seen itself.
import { AgentHost } from "./agent-host.ts";
import { until } from "./lab.ts";

const HEAD = `
import ctypes, fcntl, json, os, resource, select, socket, struct, sys, time
libc = ctypes.CDLL(None)
def own_netns():
    if libc.unshare(0x40000000): sys.exit("no namespace")
    s = socket.socket(); fcntl.ioctl(s, 0x8914, struct.pack("16sH22x", b"lo", 1))
def pair(listener, address):
    c = socket.socket(); c.connect((address, listener.getsockname()[1])); a, _ = listener.accept()
    return c, a
def listener():
    l = socket.socket(); l.bind(("0.0.0.0", 0)); l.listen(); return l
def wait(there, c, a, limit=10):
    t = time.monotonic()
    while not there():
        if time.monotonic() - t > limit: return -1
        c.send(b"x"); a.recv(10); time.sleep(0.003)
    return (time.monotonic() - t) * 1e3
def marked(c, a, limit=10): return wait(lambda: c.getsockopt(1, 36) & 0x2000, c, a, limit)
`;

/** Arguments: how many namespaces, at a time, seconds each. Milliseconds until a new connection there has its mark, and
 * until raw sockets are there; -1: never. */
const CROWD = `${HEAD}
total, most, hold = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
def live(out):
    own_netns()
    l = listener()
    mark = marked(*pair(l, "127.0.0.2"))
    r = pair(l, "127.0.0.1")
    raw = wait(lambda: len(open("/proc/self/net/raw").readlines()) > 1, *r)
    os.write(out, b"%.1f %.1f\\n" % (mark, raw)); time.sleep(hold); os._exit(0)
r, w = os.pipe(); begun = living = 0; text = b""
while begun < total or living:
    while begun < total and living < most:
        if os.fork() == 0: live(w)
        begun += 1; living += 1
    os.wait(); living -= 1
    while select.select([r], [], [], 0)[0]: text += os.read(r, 65536)
got = [line.split() for line in text.decode().splitlines()]
print(json.dumps({"mark": [float(a) for a, _ in got], "raw": [float(b) for _, b in got]}))
`;

/** Arguments: how many routes. Adds them; from one line on stdin to the next they go and come as fast as the kernel
 * takes them; after a third one a new connection is to be acknowledged at once again. */
const FLAP = `${HEAD}
n = int(sys.argv[1])
def attr(k, b): return struct.pack("=HH", 4 + len(b), k) + b
def message(kind, flags, i):
    to = struct.pack(">I", (10 << 24) + (100 << 16) + i)
    body = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 3, 253, 1, 0) + attr(1, to) + attr(4, struct.pack("=I", 1))
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body
def batches(kind, flags):
    return [b"".join(message(kind, flags, i) for i in range(a, min(a + 400, n))) for a in range(0, n, 400)]
own_netns(); l = listener(); first = marked(*pair(l, "127.0.0.2"))
add, rem = batches(24, 0x401), batches(25, 1)
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); s.bind((0, 0))
def run(all):
    for b in all: s.send(b)
run(add); print(json.dumps({"first": first, "pid": os.getpid()}), flush=True)
sys.stdin.readline(); changes = 0; t = time.monotonic()
while not select.select([sys.stdin], [], [], 0)[0]: run(rem); run(add); changes += 2 * n
sys.stdin.readline(); print(json.dumps({"perSecond": changes / (time.monotonic() - t)}), flush=True)
sys.stdin.readline(); again = -1
for _ in range(30): # a connection waits for two seconds
    if again < 0: again = marked(*pair(l, "127.0.0.2"), limit=2)
print(json.dumps({"again": again}), flush=True)
sys.stdin.readline()
`;

/** Arguments: how many connections, and how many bytes go over each of them, all at the same time. */
const THINNED = `${HEAD}
n, size, each = int(sys.argv[1]), int(sys.argv[2]), 5000
own_netns()
os.system("ip link set lo mtu 1500 gso_max_segs 1")
r, w = os.pipe(); go, goes = os.pipe()
def part(n):
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * n + 64, 2 * n + 64))
    l = listener(); pairs = [pair(l, "127.0.0.1") for i in range(n)]
    os.write(w, b"o"); os.read(go, 1)
    ep = select.epoll(); left = {}; by = {}
    for c, a in pairs:
        c.setsockopt(1, 47, 3000000); c.setblocking(False); a.setblocking(False) # paced, so that windows grow no more
        by[a.fileno()] = a; by[c.fileno()] = c
        left[c.fileno()] = size; left[a.fileno()] = size
        ep.register(c, 4); ep.register(a, 1)
    data = b"x" * 65536; open_ends = len(by)
    while open_ends:
        for fd, event in ep.poll():
            try: left[fd] -= by[fd].send(data[:left[fd]]) if event & 4 else len(by[fd].recv(65536))
            except BlockingIOError: continue
            if not left[fd]: ep.unregister(fd); open_ends -= 1
    os.write(w, b"s"); time.sleep(3600)
parts = [min(each, n - i) for i in range(0, n, each)]; children = []
for size_of in parts:
    children.append(os.fork())
    if children[-1] == 0: part(size_of)
def all_say():
    for _ in parts: os.read(r, 1)
all_say(); print(json.dumps({"open": n}), flush=True)
os.write(goes, b"g" * len(parts)); all_say(); print(json.dumps({"sent": n * size}), flush=True)
sys.stdin.readline()
for pid in children: os.kill(pid, 9)
`;

export interface Held {
  /** Descriptors of the agent. */
  descriptors: number;
  threads: number;
  guards: number;
  /** Its namespaces. */
  namespaces: number;
  /** KB: resident, and of these its own. */
  resident: number;
  own: number;
}

export class Growth implements AsyncDisposable {
  private constructor(readonly a: AgentHost) {}

  /** Connections to 127.0.0.2 are acknowledged at once, those to 127.0.0.1 thinned. */
  static async create(): Promise<Growth> {
    const a = await AgentHost.create();
    await a.ack("set --every 1 --to 127.0.0.2");
    await a.ack("set --every 40 --min-acks-per-rtt 0 --from 127.0.0.1");
    return new Growth(a);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.a[Symbol.asyncDispose]();
  }

  private spawn(program: string, args: readonly number[]) {
    const words = [...this.a.host.wrap, "python3", "-c", program, ...args.map(String)];
    return new Talker(this.a.lab.spawn(words, { cgroup: this.a.inner }));
  }

  /** How long new connections of each namespace have waited, ms; negative: in vain. */
  async crowd(total: number, atOnce: number, seconds: number): Promise<{ mark: number[]; raw: number[] }> {
    return (await this.spawn(CROWD, [total, atOnce, seconds]).says()) as { mark: number[]; raw: number[] };
  }

  flap = (routes: number) => this.spawn(FLAP, [routes]);
  thinned = (connections: number, bytes: number) => this.spawn(THINNED, [connections, bytes]);

  async held(): Promise<Held> {
    const agent = await this.a.agent();
    const of = `/proc/${agent.pid}`;
    const text = await this.a.host
      .sh(
        `ls ${of}/fd | wc -l; ls ${of}/task | wc -l; pgrep -xc tcpx-guard; awk '/^Rss:|^Anonymous:/ {print $2}' ${of}/smaps_rollup`,
      )
      .catch(() => "");
    const [descriptors, threads, guards, resident, own] = text.trim().split("\n").map(Number);
    return {
      namespaces: agent.namespaces,
      ...({ descriptors, threads, guards, resident, own } as Omit<Held, "namespaces">),
    };
  }

  /** When the agent has come to rest after the last request. */
  async atRest(): Promise<Held> {
    await Bun.sleep(3000);
    const { pid } = (await this.a.agents())[0]!;
    let own = 0;
    let resident = 0;
    await until(async () => {
      const text = await this.a.host.sh(`awk '/^Rss:|^Anonymous:/ {print $2}' /proc/${pid}/smaps_rollup`);
      [resident, own] = text.trim().split("\n").map(Number) as [number, number];
      return resident < own + 20_000;
    });
    return { ...(await this.held()), resident, own };
  }

  /** ACKs that were held back so far, and of these sent by the agent. */
  async counted(): Promise<{ dropped: number; flushed: number }> {
    const { ack_rules } = (await this.a.host.ok(["status"], { json: true })).json;
    const { dropped, flushed } = ack_rules.find((rule: { every: number }) => rule.every === 40).counters;
    return { dropped, flushed };
  }
}

/** A program that prints documents, one a line, and goes on when it is told to. */
class Talker {
  private text = "";
  private readonly reader;

  constructor(private readonly child: ReturnType<AgentHost["lab"]["spawn"]>) {
    this.reader = (child.stdout as ReadableStream<Uint8Array>).getReader();
  }

  async says(): Promise<Record<string, unknown>> {
    for (;;) {
      const end = this.text.indexOf("\n");
      if (end >= 0) {
        const line = this.text.slice(0, end);
        this.text = this.text.slice(end + 1);
        return JSON.parse(line) as Record<string, unknown>;
      }
      const { value, done } = await this.reader.read();
      if (done) throw new Error(`ended after '${this.text}'`);
      this.text += new TextDecoder().decode(value);
    }
  }

  async next(): Promise<Record<string, unknown>> {
    this.child.stdin.write("go\n");
    this.child.stdin.flush();
    return this.says();
  }

  go(): void {
    this.child.stdin.write("go\n");
    this.child.stdin.flush();
  }
}
