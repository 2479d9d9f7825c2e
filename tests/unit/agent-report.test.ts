// SPDX-License-Identifier: MIT
// What is said about the agent, and the small readers behind it.
import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NO_STATS } from "../../cli/agent/engine.ts";
import { figuresJson, figuresOf, figuresTable, REASONS } from "../../cli/agent/figures.ts";
import { type AgentAnswer, healthJson, healthText, identity, isCurrent } from "../../cli/agent/health.ts";
import { checkRunDir, clearRunDir, ensureRunDir } from "../../cli/agent/run-dir.ts";
import { PROPERTIES, unitArguments } from "../../cli/agent/transient-unit.ts";
import { ack } from "../../cli/extensions/ack.ts";
import { ThinCounter } from "../../cli/layout/layout.generated.ts";
import { type Rule, ruleId } from "../../cli/policy/rule.ts";
import { parseSelectors } from "../../cli/policy/selector.ts";
import { flocksOn } from "../../cli/system/lock-holder.ts";

const answer: AgentAnswer = {
  ...identity(),
  pid: 42,
  since: Date.UTC(2026, 0, 2, 3, 4, 5),
  ending: false,
  thinning: true,
  scopes: ["/a", "/b"],
  covers: [],
  unseen: [],
  mark_bits: 0x80002000,
  unserved: false,
  cpu_ms: 1250,
  thread: {
    ...NO_STATS,
    flushed: 7,
    failed: 1,
    notices: 3,
    namespaces: 2,
    cpuNs: 5e6,
    routeChanges: 4,
    routeErrors: 1,
  },
  counters: [],
  problems: [],
  capabilities_missing: [],
  can_send: true,
  refused: null,
  denied: [],
};

describe("health", () => {
  test("for people", () => {
    expect(healthText(undefined)).toBe("agent: not running");
    expect(healthText(answer)).toBe(
      "agent: pid 42, since 2026-01-02T03:04:05Z, CPU 1.25 s\n" +
        "  thinning in 2 scope(s), at once by mark bit 13, 31, 2 namespace(s)\n" +
        "  7 ACKs sent late (1 failed), 4 route changes (1 failed)",
    );
    expect(healthText({ ...answer, problems: ["no timers"] })).toEndWith("\n  problem: no timers");
    expect(healthText({ ...answer, version: "0.0.1" })).toContain("tcpx 0.0.1, another build");
  });

  test("for scripts", () => {
    expect(healthJson(undefined)).toEqual({ running: false, pid: null });
    expect(healthJson({ ...answer, ending: true }).running).toBe(false);
    expect(healthJson(answer)).toMatchObject({
      running: true,
      pid: 42,
      since: "2026-01-02T03:04:05.000Z",
      flushed: 7,
      failed: 1,
      namespaces: 2,
      thread_cpu_ms: 5,
      route_errors: 1,
    });
  });

  test("an agent of another version, layout or build is another one", () => {
    expect(isCurrent(identity())).toBe(true);
    for (const other of [{ version: "0" }, { layout: 0 }, { size: 1 }]) {
      expect(isCurrent({ ...identity(), ...other })).toBe(false);
    }
  });
});

describe("figures", () => {
  const [selector] = parseSelectors({ to: "10.0.0.0/8" });
  const rule: Rule = {
    ext: "ack",
    selector: selector!,
    netns: null,
    ...ack.verbs.set!.draft({ every: "8" }).drafts[0]!,
  };
  const uto: Rule = { ...rule, ext: "uto", value: [30_000, 0] };
  const states = [{ id: 9n, name: "/a", alive: true, visible: true, rules: [uto, rule] }];
  const count = Array.from({ length: ThinCounter.COUNT }, (_, i) => i);

  test("matched by rule id; passed is the sum of the reasons", () => {
    const [made, ...rest] = figuresOf(states, { counters: [[ruleId(9n, rule), count]] });
    expect(rest).toEqual([]);
    expect(made).toMatchObject({ scope: "/a", dropped: ThinCounter.DROPPED, flushed: ThinCounter.FLUSHED });
    expect(made!.passed).toBe((ThinCounter.DROPPED * (ThinCounter.DROPPED - 1)) / 2);
    expect(Object.keys(made!.reasons)).toEqual(REASONS.map(({ name }) => name));
    expect(made!.reasons).toMatchObject({ first: 0, every: 1, unserved: 9 });
  });

  test("the same rule in another scope has counters of its own; without an agent all are zero", () => {
    expect(figuresOf(states, { counters: [[ruleId(8n, rule), count]] })[0]!.passed).toBe(0);
    expect(figuresOf(states, undefined)[0]).toMatchObject({ passed: 0, dropped: 0, flushed: 0 });
    expect(figuresOf([{ ...states[0]!, alive: false }], undefined)).toEqual([]);
  });

  test("JSON and text", () => {
    const figures = figuresOf(states, { counters: [[ruleId(9n, rule), count]] });
    expect(figuresJson(figures)[0]).toMatchObject({
      cgroup: "/a",
      extension: "ack",
      every: 8,
      counters: { dropped: 11, flushed: 12, reasons: { time: 2 } },
    });
    const lines = figuresTable(figures, true).split("\n");
    expect(lines[0]).toMatch(/^ACKS +PASSED +DROPPED +FLUSHED +PASSED BECAUSE +SCOPE$/);
    expect(lines[1]).toMatch(
      /^local every 8 --to 10.0.0.0\/8 +55 +11 +12 +path 10, unserved 9, window 8, small 7.* +\/a$/,
    );
    expect(lines).toHaveLength(2);
    expect(figuresTable(figures, false)).not.toContain("unserved");
  });
});

test("the holder of a lock, from /proc/locks", () => {
  const locks = [
    "1: POSIX  ADVISORY  WRITE 100 00:19:1234 0 EOF",
    "2: FLOCK  ADVISORY  WRITE 708 00:19:1234 0 EOF",
    "2: -> FLOCK  ADVISORY  WRITE 709 00:19:1234 0 EOF",
    "3: FLOCK  ADVISORY  WRITE 710 00:1a:1234 0 EOF",
    "4: FLOCK  ADVISORY  READ  711 00:19:1234 0 EOF",
    "5: FLOCK  ADVISORY  WRITE 0 103:02:99 0 EOF",
    "",
  ].join("\n");
  const of = (ino: number, dev: number) => flocksOn(locks, { ino, dev });
  expect(of(1234, 0x19)).toEqual([
    { pid: 708, exclusive: true },
    { pid: 711, exclusive: false },
  ]);
  expect(of(1235, 0x19)).toEqual([]);
  expect(of(99, (0x103 << 8) | 2)).toEqual([{ pid: 0, exclusive: true }]); // of another pid namespace
});

describe("the directory", () => {
  const dir = mkdtempSync(join(tmpdir(), "agent-unit-"));
  const path = join(dir, "tcpx");

  test("is made, found again, cleared; a stranger's file keeps it", () => {
    expect(checkRunDir(path)).toBe(false);
    ensureRunDir(path);
    ensureRunDir(path);
    expect(checkRunDir(path)).toBe(true);
    for (const name of ["agent.sock", "agent.error", "other"]) writeFileSync(join(path, name), "");
    clearRunDir(path);
    expect(readdirSync(path)).toEqual(["other"]);
    rmSync(join(path, "other"));
    clearRunDir(path);
    expect(checkRunDir(path)).toBe(false);
  });

  test("is refused as a link, as a file, and when others can enter", () => {
    mkdirSync(join(dir, "real"), { mode: 0o700 });
    symlinkSync(join(dir, "real"), path);
    expect(() => ensureRunDir(path)).toThrow("not a directory of ours alone");
    rmSync(path);
    writeFileSync(path, "");
    expect(() => checkRunDir(path)).toThrow(path);
    rmSync(path);
    for (const mode of [0o755, 0o701, 0o770]) {
      mkdirSync(path);
      chmodSync(path, mode);
      expect(() => ensureRunDir(path)).toThrow("not a directory of ours alone");
      rmSync(path, { recursive: true });
    }
    rmSync(dir, { recursive: true });
  });

  test("no place for it", () => {
    expect(() => ensureRunDir("/nowhere/at/all")).toThrow("cannot be made (ENOENT)");
  });
});

test("the unit: what an agent needs is not taken from it", () => {
  const command = unitArguments(["/usr/bin/tcpx", "internal-agent"]);
  expect(command.slice(-3)).toEqual(["--", "/usr/bin/tcpx", "internal-agent"]);
  for (const name of ["BPF", "NET_ADMIN", "NET_RAW", "PERFMON", "SYS_ADMIN", "SYS_PTRACE"]) {
    expect(PROPERTIES.CapabilityBoundingSet).toContain(`CAP_${name}`);
  }
  for (const not of ["MemoryDenyWriteExecute", "ProtectKernelTunables", "PrivateTmp", "PrivateNetwork"]) {
    expect(command.join(" ")).not.toContain(not);
  }
});
