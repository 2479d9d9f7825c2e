// SPDX-License-Identifier: MIT
// How the agent follows one plan after the other: parts are taken and given back in the right order. The
// parts are stand-ins here; tests/kernel/ack-agent.test.ts has the real ones.
import { describe, expect, test } from "bun:test";
import { Engine, NO_STATS, type Parts } from "../../cli/agent/engine.ts";
import type { AgentPlan } from "../../cli/agent/sync.ts";

interface World {
  /** Ids of the pinned maps; undefined: not pinned. */
  maps: string | undefined;
  /** Names of cgroups that cannot be attached to. */
  gone: Set<string>;
  thinnerError: string | undefined;
  threadError: string | undefined;
  routeError: string | undefined;
}

function create(world: Partial<World> = {}) {
  const w: World = {
    maps: "1",
    gone: new Set(),
    thinnerError: undefined,
    threadError: undefined,
    routeError: undefined,
    ...world,
  };
  const log: string[] = [];
  const open = (what: string): Disposable => {
    log.push(`+${what}`);
    return { [Symbol.dispose]: () => void log.push(`-${what}`) };
  };
  const parts: Parts = {
    lingerMs: 0,
    maps: () =>
      w.maps === undefined
        ? undefined
        : { identity: w.maps, conns: 1, served: 2, notices: 3, ...open(`maps ${w.maps}`) },
    async thinner() {
      if (w.thinnerError) throw new Error(w.thinnerError);
      return {
        heldFd: 7,
        holdsFd: 8,
        attach() {},
        detach() {},
        counters: () => new Map([[5, [1]]]),
        ...open("thinner"),
      };
    },
    thread(heldFd, _, holdsFd) {
      if (w.threadError) throw new Error(w.threadError);
      log.push(`+thread ${heldFd}${holdsFd < 0 ? "" : ` ${holdsFd}`}`);
      return {
        atOnce: (bits) => void log.push(`bits ${bits}`),
        serve(path) {
          log.push(`serve ${path}`);
          if (w.routeError) throw new Error(w.routeError);
        },
        stats: () => ({ ...NO_STATS, flushed: 9 }),
        denied: () => [],
        stop: () => void log.push("-thread"),
      };
    },
    attach(_, { name }) {
      if (w.gone.has(name)) throw new Error(`${name} has gone`);
      return open(name);
    },
  };
  /** What happened since the last look. */
  const seen = () => log.splice(0);
  return { world: w, engine: new Engine(parts), seen };
}

const plan = (thin: string[], markBits = 0): AgentPlan => ({
  needed: thin.length > 0 || markBits !== 0,
  thin: thin.map((name) => ({ id: BigInt(name.length), name })),
  markBits,
});

describe("Engine", () => {
  test("begins, and ends in reverse: links first, so that what is held back is still sent", async () => {
    const { engine, seen } = create();
    await engine.follow(plan(["/a", "/bb"], 8));
    expect(seen()).toEqual(["+maps 1", "+thinner", "+thread 7 8", "+/a", "+/bb", "bits 8"]);
    expect([engine.thinning, engine.markBits, engine.scopes.map((s) => s.name)]).toEqual([
      true,
      8,
      ["/a", "/bb"],
    ]);
    expect(engine.counters()).toEqual(new Map([[5, [1]]]));
    expect(engine.stats()?.flushed).toBe(9);
    await engine[Symbol.asyncDispose]();
    expect(seen()).toEqual(["-/a", "-/bb", "-thread", "-thinner", "-maps 1"]);
    expect([engine.thinning, engine.markBits, engine.scopes, engine.stats()]).toEqual([
      false,
      0,
      [],
      undefined,
    ]);
  });

  test("the same plan again changes nothing, and keeps no map open twice", async () => {
    const { engine, seen } = create();
    await engine.follow(plan(["/a"], 8));
    seen();
    await engine.follow(plan(["/a"], 8));
    expect(seen()).toEqual(["+maps 1", "-maps 1"]);
  });

  test("scopes come and go without a new thinner; off before on", async () => {
    const { engine, seen } = create();
    await engine.follow(plan(["/a/b"]));
    seen();
    await engine.follow(plan(["/a"]));
    expect(seen()).toEqual(["+maps 1", "-maps 1", "-/a/b", "+/a"]);
  });

  test("at once alone needs no thinner; with the first thinning rule it comes", async () => {
    const { engine, seen } = create();
    await engine.follow(plan([], 8));
    expect(seen()).toEqual(["+maps 1", "+thread -1", "bits 8"]);
    await engine.follow(plan(["/a"], 8));
    expect(seen()).toEqual(["+maps 1", "+thinner", "-thread", "-maps 1", "+thread 7 8", "+/a", "bits 8"]);
    await engine.follow(plan([], 8));
    expect(seen()).toEqual(["+maps 1", "-maps 1", "-/a"]);
  });

  test("maps that are pinned anew: everything begins again", async () => {
    const { engine, seen, world } = create();
    await engine.follow(plan(["/a"], 8));
    seen();
    world.maps = "2";
    await engine.follow(plan(["/a"], 8));
    expect(seen().sort()).toEqual(
      ["+/a", "+maps 2", "+thinner", "+thread 7 8", "-/a", "-maps 1", "-thinner", "-thread", "bits 8"].sort(),
    );
  });

  test("maps that are gone: it says so, and holds nothing", async () => {
    const { engine, seen, world } = create();
    await engine.follow(plan(["/a"]));
    seen();
    world.maps = undefined;
    await engine.follow(plan(["/a"]));
    expect(seen()).toEqual(["-/a", "-thread", "-thinner", "-maps 1"]);
    expect(engine.problems).toEqual(["the maps of the rules are not pinned"]);
  });

  test("nothing left to do", async () => {
    const { engine, seen } = create();
    await engine.follow(plan([]));
    expect(seen()).toEqual([]);
    expect(engine.problems).toEqual([]);
  });

  test("a scope that has gone is told, the others are attached", async () => {
    const { engine, seen, world } = create({ gone: new Set(["/a"]) });
    await engine.follow(plan(["/a", "/bb"]));
    expect(engine.problems).toEqual(["/a has gone"]);
    expect(seen()).toContain("+/bb");
    world.gone.clear();
    await engine.follow(plan(["/a", "/bb"]));
    expect(engine.problems).toEqual([]);
    expect(seen()).toContain("+/a");
  });

  test("a kernel that cannot thin: at once works all the same", async () => {
    const { engine, seen } = create({ thinnerError: "no timers" });
    await engine.follow(plan(["/a"], 8));
    expect(engine.problems).toEqual(["no timers"]);
    expect(seen()).toEqual(["+maps 1", "+thread -1", "bits 8"]);
  });

  test("a thread that does not start leaves nothing open", async () => {
    const { engine, seen } = create({ threadError: "EPERM" });
    await expect(engine.follow(plan(["/a"], 8))).rejects.toThrow("EPERM");
    expect(seen()).toEqual(["+maps 1", "+thinner", "-thinner", "-maps 1"]);
    expect(engine.scopes).toEqual([]);
  });

  test("a namespace is served at once where that is wanted, and its refusal is told", async () => {
    const { engine, seen, world } = create();
    await engine.follow(plan(["/a"]), "/proc/1/ns/net");
    expect(seen()).not.toContain("serve /proc/1/ns/net");
    world.routeError = "no";
    await engine.follow(plan(["/a"], 8), "/proc/1/ns/net");
    expect(seen()).toContain("serve /proc/1/ns/net");
    expect(engine.problems).toEqual(["no"]);
  });
});
