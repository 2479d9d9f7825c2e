// SPDX-License-Identifier: MIT
// The one watcher of this host: tells the kernel's side what it wants, and takes what that has written.
//
// The wish is a time until which events are wanted. It is renewed as long as we live, so a watcher that was
// killed or stopped is forgotten. Rules may come and go meanwhile, and the maps with the last one.

import { join } from "node:path";
import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, Errno, isErrno, unwrap } from "../bridge/bridge.ts";
import { type Fd, lookup, mapId, openPin, valueSize } from "../bridge/maps.ts";
import { Direction, WatchSlot } from "../layout/layout.generated.ts";
import { decode, encode, sizeOf } from "../layout/struct.ts";
import { layoutDir, topDir } from "../loader/pins.ts";
import type { Selector } from "../policy/rule.ts";
import { findBpffs, requireOwn, unmountOwnBpffs } from "../system/host.ts";
import { tryFlock } from "../system/lock.ts";
import { lockHolder, nameOf, troubleOf } from "../system/lock-holder.ts";
import type { Note } from "./watch-report.ts";
import { LONGEST, Watched } from "./watched.ts";

/** Of a wish. Longer than a busy host keeps us waiting. */
const LEASE_NS = 10_000_000_000n;
const RENEW_NS = 1_000_000_000n;
/** Bytes that the kernel's side may be ahead: `events` in maps.bpf.h. */
export const RING = 1 << 20;
/** Bytes that are taken at once: what is made of them stays in the CPU's cache. */
const ROOM = 1 << 15;

/** What is to be told; 0, undefined: any. */
export interface Wish {
  /** Id of the cgroup that sockets were made in, or below. */
  scope: bigint;
  /** Inode number. */
  netns: number;
  /** Ids. */
  extensions: ReadonlySet<number> | undefined;
  /** Who opened the connection. */
  direction: Selector["direction"];
}

const DIRECTIONS = { both: Direction.BOTH, to: Direction.TO, from: Direction.FROM };

/** All that there is to tell of these extensions: 4 bits each. */
function newsOf(wanted: Wish["extensions"]): bigint {
  if (!wanted) return 2n ** 64n - 1n;
  return [...wanted].reduce((bits, id) => bits | (15n << BigInt(4 * id)), 0n);
}

export interface Polled {
  /** Good until the next poll; undefined: none. */
  events: Watched | undefined;
  notes: Note[];
  /** Rules have come, or the last one has gone. */
  turned: boolean;
}

const slot = (which: number) => new Uint8Array(new Uint32Array([which]).buffer);

/** The lock of the only reader; undefined while there are no rules. @throws TcpxError (busy) */
function readersLock(lib: Bridge, dir: string): Fd | undefined {
  try {
    const lock = tryFlock(lib, dir);
    if (lock) return lock;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  const holder = lockHolder(dir);
  const trouble = holder && troubleOf(holder);
  const what = `another \`tcpx watch\` is open on this host, and there can be one only: ${nameOf(holder)}`;
  throw new TcpxError(Exit.BUSY, trouble ? `${what} ${trouble.is}` : what, {
    holder: holder ?? null,
    ...(trouble && { hint: trouble.hint }),
  });
}

/** The maps that all scopes' programs share, and the right to read them. */
class Attached implements Disposable {
  private readonly records = new Uint8Array(ROOM);
  private lost: bigint;

  private constructor(
    private readonly lib: Bridge,
    readonly id: number,
    private readonly watch: Fd,
    private readonly ring: bigint,
    private readonly held: DisposableStack,
  ) {
    this.lost = this.counted();
    while (this.take()); // what a watcher before us has left
  }

  /** Undefined while there are no rules. @throws TcpxError (busy) when somebody else is watching */
  static open(lib: Bridge): Attached | undefined {
    const bpffs = findBpffs(lib);
    if (bpffs === undefined) return undefined;
    requireOwn(topDir(bpffs));
    const dir = layoutDir(bpffs);
    using stack = new DisposableStack();
    const lock = readersLock(lib, dir);
    if (!lock) return undefined;
    stack.use(lock);
    const watch = openPin(lib, join(dir, "watch"));
    if (watch) stack.use(watch);
    using events = openPin(lib, join(dir, "events"));
    if (!watch || !events) return undefined; // a first rule is being set, or the last one was removed
    if (valueSize(lib, watch.fd) !== sizeOf("tcpx_watch")) {
      throw new TcpxError(Exit.FAILED, "the rules were set by another build of tcpx", {
        hint: "`tcpx reset` removes them",
      });
    }
    const out = new BigUint64Array(1);
    unwrap("open ring buffer", lib.tcpx_ring_open(events.fd, out));
    stack.defer(() => lib.tcpx_ring_close(out[0]!));
    return new Attached(lib, mapId(lib, events.fd), watch, out[0]!, stack.move());
  }

  private counted(): bigint {
    const bytes = lookup(this.lib, this.watch.fd, slot(WatchSlot.COUNTED), sizeOf("tcpx_watch"));
    return decode("tcpx_watch", bytes).lost;
  }

  /** Events that the ring had no room for since the last call. */
  newlyLost(): number {
    const now = this.counted();
    const more = Number(now - this.lost);
    this.lost = now;
    return more;
  }

  want({ scope, netns, extensions, direction }: Wish, untilNs: bigint): void {
    const wish = encode("tcpx_watch", {
      ...{ until_ns: untilNs, scope, netns },
      ...{ news: newsOf(extensions), direction: DIRECTIONS[direction] },
    });
    unwrap("wish", this.lib.tcpx_map_update(this.watch.fd, slot(WatchSlot.WANTED), wish, 0n));
  }

  /** Some events, good until the next call; undefined: there are none. */
  take(): Watched | undefined {
    const { lib, ring, records } = this;
    const size = unwrap("read events", lib.tcpx_ring_take(ring, records, LONGEST, ROOM));
    return size === 0 ? undefined : new Watched(records.subarray(0, size), ROOM - size < LONGEST);
  }

  [Symbol.dispose](): void {
    this.held[Symbol.dispose]();
  }
}

/** Id of the pinned ring; undefined without rules. */
function pinnedId(lib: Bridge): number | undefined {
  const bpffs = findBpffs(lib);
  using pin = bpffs === undefined ? undefined : openPin(lib, join(layoutDir(bpffs), "events"));
  return pin && mapId(lib, pin.fd);
}

/** Nanoseconds since boot, as the programs count them. @throws TcpxError (unsupported) */
function bootNs(lib: Bridge): bigint {
  const out = new BigUint64Array(1);
  const result = lib.tcpx_monotonic(out);
  if (result >= 0) return out[0]!;
  const cause = new Errno("clock", -result);
  throw new TcpxError(Exit.UNSUPPORTED, `the offset of this time namespace is not known (${cause.code})`, {
    hint: "run tcpx on the host itself, or put a shell between unshare and tcpx",
    cause,
  });
}

/** Is anybody watching? */
export function isWatched(lib: Bridge): boolean {
  const bpffs = findBpffs(lib);
  using map = bpffs === undefined ? undefined : openPin(lib, join(layoutDir(bpffs), "watch"));
  if (!map || valueSize(lib, map.fd) !== sizeOf("tcpx_watch")) return false;
  const bytes = lookup(lib, map.fd, slot(WatchSlot.WANTED), sizeOf("tcpx_watch"));
  return decode("tcpx_watch", bytes).until_ns > bootNs(lib);
}

export class Watcher implements Disposable {
  private attached: Attached | undefined;
  private nextLook = 0n;
  private until = 0n;
  stopped = false;

  /** @throws TcpxError (busy) when somebody else is watching */
  constructor(
    private readonly lib: Bridge,
    private readonly wish: Wish,
  ) {
    this.look([], true);
  }

  /** Are there rules, and so somebody who could tell? */
  get active(): boolean {
    return this.attached !== undefined;
  }

  /** Nanoseconds since boot. */
  now(): bigint {
    return bootNs(this.lib);
  }

  /** Renews the wish. @param drained nothing is left in maps that may be gone */
  private look(notes: Note[], drained: boolean): void {
    const now = this.now();
    if (this.stopped || now < this.nextLook) return;
    this.nextLook = now + RENEW_NS;
    if (drained && this.attached && pinnedId(this.lib) !== this.attached.id) {
      this.letGo();
    }
    if (!this.attached) {
      this.attached = Attached.open(this.lib);
      if (!this.attached) return;
    } else if (now > this.until) {
      notes.push({ event: "paused", ms: Number((now - this.until) / 1_000_000n) });
    }
    this.until = now + LEASE_NS;
    this.attached.want(this.wish, this.until);
  }

  /** To be called often: the next events, if any, and what happened to the watching itself. */
  poll(): Polled {
    const notes: Note[] = [];
    const { active } = this;
    const events = this.attached?.take();
    const lost = this.attached?.newlyLost() ?? 0;
    if (lost > 0) notes.push({ event: "lost", lost });
    this.look(notes, !events);
    return { events, notes, turned: active !== this.active };
  }

  /** No more events are wanted; what there is can still be taken. */
  stop(): void {
    if (!this.stopped) this.attached?.want(this.wish, 0n);
    this.stopped = true;
  }

  [Symbol.dispose](): void {
    try {
      this.stop();
    } finally {
      this.letGo();
    }
  }

  /** Closes what it has open of bpffs, which nobody could unmount as long as that was so. */
  private letGo(): void {
    if (!this.attached) return;
    this.attached[Symbol.dispose]();
    this.attached = undefined;
    unmountOwnBpffs(this.lib);
  }
}
