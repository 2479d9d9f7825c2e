// SPDX-License-Identifier: MIT
// Which variables the executable asks for: each has been looked at, so that a new Bun brings no unknown one.

import { afterAll, expect } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildAsked } from "../support/build.ts";
import { testIf } from "../support/requires.ts";
import { tcpx } from "../support/tcpx.ts";

const dir = mkdtempSync(join(tmpdir(), "tcpx-asked-test-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Seen with strace and by what they say: colours, words, sizes, timers and ways to do the same (Bun 1.4.5). */
const HARMLESS = [
  ...["NO_COLOR", "FORCE_COLOR", "NODE_NO_WARNINGS", "LANG", "LC_ALL", "LC_MESSAGES", "TZ", "TERM"],
  ...["BUN_GC_TIMER_DISABLE", "BUN_GC_TIMER_INTERVAL", "BUN_GC_RUNS_UNTIL_SKIP_RELEASE_ACCESS"],
  ...["BUN_IDLE_GC_SECONDS", "BUN_DISABLE_STOP_IF_NECESSARY_TIMER", "BUN_DESTRUCT_VM_ON_EXIT"],
  ...["BUN_FEATURE_FLAG_DISABLE_STANDALONE_MADVISE", "BUN_FEATURE_FLAG_DISABLE_EPOLL_PWAIT2"],
  ...["BUN_FEATURE_FLAG_DISABLE_ASYNC_TRANSPILER", "BUN_FEATURE_FLAG_DISABLE_RWF_NONBLOCK"],
  ...["UV_THREADPOOL_SIZE", "GOMAXPROCS", "BUN_THREADPOOL_STATS", "WTF_numberOfProcessorCores"],
  ...["SIMDUTF_FORCE_IMPLEMENTATION", "GLIBCXX_TUNABLES", "HYPERFINE_RANDOMIZED_ENVIRONMENT_OFFSET"],
  // a descriptor for messages, which nobody here listens to: it is not touched
  "NODE_CHANNEL_FD",
  // which instructions of the CPU the library for TLS may use
  "OPENSSL_ia32cap",
  // another signal for stopping threads
  "JSC_SIGNAL_FOR_GC",
  // whether to take the C library's malloc(); their values are not looked at on Linux
  ...["WebKitSystemHeapOverrideEnablement", "WebKitMallocForceEnabled", "DYLD_INSERT_LIBRARIES", "Malloc"],
  ...["MallocLogFile", "MallocStackLogging", "MallocScribble", "MallocHelp", "MallocGuardEdges"],
  ...["MallocErrorAbort", "MallocCorruptionAbort", "MallocDoNotProtectPrelude", "MallocDoNotProtectPostlude"],
  ...["MallocCheckHeapStart", "MallocCheckHeapSleep", "MallocCheckHeapEach", "MallocCheckHeapAbort"],
];

/** A name that the build has taken away: it begins with NUL. */
const TAKEN = "";

const header = readFileSync(process.execPath).subarray(0, 4096).toString("latin1");
testIf(/ld-linux/.test(header), "glibc")(
  "the executable asks for no variable that is not known",
  async () => {
    const file = join(dir, "asked");
    const env = { LD_PRELOAD: await buildAsked(), ASKED: file };
    for (const words of [["version"], ["--help"], ["status"], ["metrics"], ["connections"]]) {
      await tcpx(words, { env });
    }
    const asked = new Set(readFileSync(file, "utf8").trimEnd().split("\n"));
    expect(asked).toContain(TAKEN);
    expect([...asked].filter((name) => ![TAKEN, ...HARMLESS].includes(name)).sort()).toEqual([]);
  },
);
