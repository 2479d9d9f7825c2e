// SPDX-License-Identifier: MIT
// The environment does not steer the runtime in the executable: no variable runs code, writes files, opens a
// port, or connects; only what tcpx gives its own processes still has an effect.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { engineVariables, JSC } from "../../cli/system/runtime-env.ts";
import { OPTIONS, REPLACED, TAKEN } from "../../scripts/lib/runtime-names.ts";
import { takeNames } from "../../scripts/lib/runtime-patch.ts";
import { stop, until } from "../support/process.ts";
import { testIf } from "../support/requires.ts";
import { type TcpxResult, tcpx, tcpxPath } from "../support/tcpx.ts";

const dir = mkdtempSync(join(tmpdir(), "tcpx-runtime-test-"));
const root = process.getuid?.() === 0;
afterAll(() => rmSync(dir, { recursive: true, force: true }));

let plain: TcpxResult;
beforeAll(async () => {
  plain = await tcpx(["version"]);
  expect(plain).toMatchObject({ code: 0, stderr: "" });
});

/** A file that leaves a trace when a runtime runs it. */
function codeToRun(name: string): { path: string; ran: () => string[] } {
  const path = join(dir, `${name}.js`);
  writeFileSync(path, `require("node:fs").writeFileSync(${JSON.stringify(join(dir, `ran-${name}`))}, "");`);
  return { path, ran: () => readdirSync(dir).filter((file) => file === `ran-${name}`) };
}

/** What connects to a socket of its own while something runs. */
async function connectionsWhile(run: (url: string) => Promise<void>): Promise<number> {
  const unix = join(dir, `socket-${crypto.randomUUID()}`);
  let connections = 0;
  const opened = Promise.withResolvers<void>();
  const open = () => {
    connections++;
  };
  using _server = Bun.listen({ unix, socket: { open, data: () => opened.resolve() } });
  await run(`unix://${unix}`);
  // who connected before is accepted before our own connection
  using own = await Bun.connect({ unix, socket: { data() {} } });
  own.write("ours");
  await opened.promise;
  return connections - 1;
}

describe("a variable that would run code", () => {
  test("BUN_OPTIONS", async () => {
    const { path, ran } = codeToRun("options");
    const env = { BUN_OPTIONS: `--preload ${path}` };
    expect(await tcpx(["version"], { env })).toEqual(plain);
    expect(ran()).toEqual([]);
  });

  test("BUN_BE_BUN", async () => {
    const { path, ran } = codeToRun("be-bun");
    const result = await tcpx([path], { env: { BUN_BE_BUN: "1" } });
    expect([result.code, result.stderr]).toEqual([
      2,
      `tcpx: unknown command '${path}'; see \`tcpx --help\`\n`,
    ]);
    expect(ran()).toEqual([]);
  });

  test("BUN_INSPECT_PRELOAD, which Bun itself obeys", async () => {
    const { path, ran } = codeToRun("preload");
    await tcpx(["-e", "1"], { env: { BUN_BE_BUN: "1", BUN_INSPECT_PRELOAD: path } });
    expect(ran()).toEqual([]);
  });

  test("BUN_INSPECT_CONNECT_TO", async () => {
    const connections = await connectionsWhile(async (url) => {
      expect(await tcpx(["version"], { env: { BUN_INSPECT_CONNECT_TO: url } })).toEqual(plain);
    });
    expect(connections).toBe(0);
  });

  test("BUN_INSPECT_NOTIFY", async () => {
    const connections = await connectionsWhile(async (url) => {
      const env = { BUN_INSPECT: "127.0.0.1:0", BUN_INSPECT_NOTIFY: url };
      expect(await tcpx(["version"], { env })).toEqual(plain);
    });
    expect(connections).toBe(0);
  });

  test("options of JavaScriptCore, by Bun's prefix: a variable for another program", async () => {
    for (const option of ["functionOverrides=/nonexistent", "dumpOptions=2", "nonsense=1"]) {
      const [name, value] = option.split("=");
      expect(await tcpx(["version"], { env: { [`BUN_JSC_${name}`]: value } })).toEqual(plain);
      expect(await tcpx(["version"], { env: { [`JSC_${name}`]: value } })).toEqual(plain);
    }
  });

  test("options of JavaScriptCore, by the executable's prefix: unknown, but for those that tcpx uses", async () => {
    for (const option of ["functionOverrides=/nonexistent", "dumpOptions=2", "useDollarVM=1"]) {
      const [name, value] = option.split("=");
      const result = await tcpx(["version"], { env: { [`${JSC.prefix}${name}`]: value } });
      expect([result.code, result.stdout]).toEqual([1, ""]);
      expect(result.stderr).toStartWith("error: invalid JSC environment variable");
      expect(result.stderr).not.toContain("IO ERROR");
    }
    expect(await tcpx(["version"], { env: engineVariables(JSC.prefix) })).toEqual(plain);
  });
});

describe("a variable that would write a file", () => {
  test.each(["BUN_BYTECODE_ORDER_OUT", "BUN_BYTECODE_DIGEST_OUT"])("%s", async (name) => {
    const path = join(dir, name);
    writeFileSync(path, "before");
    expect(await tcpx(["version"], { env: { [name]: path } })).toEqual(plain);
    expect(readFileSync(path, "utf8")).toBe("before");
  });
});

testIf(root, "root")("JavaScriptCoreUseJIT does not switch off what loads the bridge", async () => {
  expect(await tcpx(["metrics"], { env: { JavaScriptCoreUseJIT: "0" } })).toMatchObject({
    code: 0,
    stderr: "",
  });
});

/** A port that nobody else listens on. */
function freePort(): number {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  server.stop(true);
  return server.port;
}

/** A tcpx that serves until it is ended. */
async function serving(env: Record<string, string>, wrap: string[] = []) {
  const child = Bun.spawn([...wrap, tcpxPath(), "metrics", "--listen", `127.0.0.1:${freePort()}`], {
    env: { ...process.env, ...env },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  let text = "";
  for await (const part of child.stdout) {
    text += Buffer.from(part).toString();
    const [, pid = `${child.pid}`, url] = /^(?:(\d+)\n)?.*?listening on (\S+)\n/s.exec(text) ?? [];
    if (url) return { child, url, pid: Number(pid) };
  }
  throw new Error(`tcpx ended: ${await child.stderr.text()}`);
}

const threadsOf = (pid: number) =>
  readdirSync(`/proc/${pid}/task`).map((task) =>
    readFileSync(`/proc/${pid}/task/${task}/comm`, "utf8").trim(),
  );

testIf(root, "root")("BUN_INSPECT opens no port", async () => {
  const port = freePort();
  const { child } = await serving({ BUN_INSPECT: `127.0.0.1:${port}` });
  try {
    const connected = Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
    await expect(connected).rejects.toThrow("Failed to connect");
  } finally {
    await stop(child);
  }
});

testIf(root, "root")("BUN_FEATURE_FLAG_NO_ORPHANS does not end tcpx with its parent", async () => {
  const shell = ["sh", "-c", '"$@" & echo $!; read -r _', "sh"];
  const { child, url, pid } = await serving({ BUN_FEATURE_FLAG_NO_ORPHANS: "1" }, shell);
  try {
    void child.stdin.end();
    await child.exited;
    expect((await fetch(url)).status).toBe(200);
  } finally {
    process.kill(pid, "SIGKILL");
  }
});

testIf(root, "root")("a crash is reported to nobody, with BUN_CRASH_REPORT_URL and without it", async () => {
  const [bin, calls] = [join(dir, "bin"), join(dir, "calls")];
  await Bun.write(join(bin, "curl"), `#!/bin/sh\necho "$@" >>'${calls}.new'; mv '${calls}.new' '${calls}'\n`);
  await Bun.$`chmod 755 ${join(bin, "curl")}`.quiet();
  for (const env of [{}, { BUN_CRASH_REPORT_URL: "http://127.0.0.1:9" }]) {
    rmSync(calls, { force: true });
    const PATH = `${bin}:${process.env.PATH}`;
    const { child } = await serving({ ...env, PATH, BUN_ENABLE_CRASH_REPORTING: "1" });
    child.kill("SIGSEGV");
    await child.exited;
    expect(await until(() => readdirSync(dir).includes("calls"))).toBe(true);
    const urls = readFileSync(calls, "utf8").match(/\S+:\S+/g);
    expect(urls).toEqual([expect.stringMatching(/^about:\/\/bun\.report\//)]);
  }
});

testIf(root, "root")(
  "who waits for long has no threads of compilers, by the executable's prefix only",
  async () => {
    const compilers = async (env: Record<string, string>, wrap: string[] = []) => {
      const { child, pid } = await serving(env, wrap);
      try {
        return threadsOf(pid).filter((name) => name === "JITWorker").length > 0;
      } finally {
        await stop(child);
      }
    };
    const [name, value] = ["useConcurrentJIT", "0"];
    // as a unit has it: with these it does not start anew, and so does not set these variables itself
    const capabilities = ["bpf", "net_admin", "net_bind_service", "perfmon", "sys_ptrace"];
    const bounding = ["-all", ...capabilities.map((capability) => `+${capability}`)].join(",");
    const unit = ["setpriv", "--no-new-privs", "--inh-caps=-all", `--bounding-set=${bounding}`];
    const started = { BUN_GC_TIMER_DISABLE: "0" };
    expect(await compilers({})).toBe(false);
    expect(await compilers({ ...started, [`${JSC.prefix}${name}`]: value }, unit)).toBe(false);
    expect(await compilers({ ...started, [`BUN_JSC_${name}`]: value }, unit)).toBe(true);
  },
);

test("nothing of these names is left in the executable", () => {
  const data = readFileSync(tcpxPath());
  const left = [...TAKEN.map(({ name }) => name), ...REPLACED.map(({ text }) => text)];
  expect(left.filter((text) => data.includes(text))).toEqual([]);
});

describe("the Bun that it is made of", () => {
  const bun = readFileSync(process.execPath);

  test("has the same length and the same bytes elsewhere", () => {
    const data = Buffer.from(bun);
    takeNames(data);
    expect(data.length).toBe(bun.length);
    let changed = 0;
    for (let at = 0; at < data.length; at++) if (data[at] !== bun[at]) changed++;
    const names = TAKEN.filter(({ name }) => !TAKEN.some((o) => o.name !== name && name.startsWith(o.name)));
    const places = names.reduce((sum, one) => sum + one.places, 0);
    const differ = (a: string, b: string) => [...a].filter((character, i) => character !== b[i]).length;
    const texts = REPLACED.reduce((sum, { text, by }) => sum + differ(text, by), 0);
    const options = OPTIONS.names - OPTIONS.left.length;
    expect(changed).toBe(places + texts + options + differ(OPTIONS.prefix, OPTIONS.by));
  });

  test.each([
    ["a name more", "BUN_OPTIONS", "BUN_OPTIONS: 3, not 2"],
    ["an option more", "\0JSC_writesFiles\0", "options of JavaScriptCore: 641, not 640"],
    ["an address more", "https://bun.report", "https://bun.report: 2, not 1"],
  ])("%s is an error that says which, and nothing is changed", (_, text, message) => {
    const data = Buffer.concat([bun, Buffer.from(text)]);
    const before = Bun.hash(data);
    expect(() => takeNames(data)).toThrow(message);
    expect(Bun.hash(data)).toBe(before);
  });

  test("a name less, too", () => {
    const data = Buffer.from(bun);
    data.write("X", data.indexOf("BUN_BE_BUN"));
    expect(() => takeNames(data)).toThrow("BUN_BE_BUN: 0, not 1");
  });
});
