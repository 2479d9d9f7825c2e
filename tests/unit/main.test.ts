// SPDX-License-Identifier: MIT
// The executable's outside, as far as it needs neither root nor a kernel: words in, exit codes and
// documents out. Nothing here may reach a command that changes the host.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { version } from "../../cli/base/version.ts";

const MAIN = join(import.meta.dir, "..", "..", "cli", "main.ts");

async function tcpx(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = Bun.spawn([process.execPath, MAIN, ...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, out, err };
}

describe("version", () => {
  test("for people", async () => {
    const { code, out, err } = await tcpx("version");
    expect([code, err]).toEqual([0, ""]);
    expect(out).toStartWith(`tcpx ${version}\n`);
    expect(out).toContain("libbpf");
  });

  test("for scripts", async () => {
    const { code, out, err } = await tcpx("version", "--json");
    expect([code, err]).toEqual([0, ""]);
    expect(JSON.parse(out)).toMatchObject({
      schema: 2,
      version,
      bun: Bun.version,
      libraries: { libbpf: expect.any(String) },
    });
  });

  test.each([{ words: ["--version"] }, { words: ["-V"] }, { words: ["--version", "-v"] }])(
    "tcpx $words",
    async ({ words }) => {
      expect(await tcpx(...words)).toMatchObject({
        code: 0,
        out: expect.stringContaining(`tcpx ${version}`),
      });
    },
  );

  test("--quiet leaves nothing", async () => {
    expect(await tcpx("version", "-q")).toEqual({ code: 0, out: "", err: "" });
  });

  test("--licences", async () => {
    const { code, out } = await tcpx("version", "--licences");
    expect(code).toBe(0);
    expect(out).toMatch(/libbpf/i);
  });
});

describe("flags in front of the command", () => {
  test("those that every command knows", async () => {
    expect(JSON.parse((await tcpx("--json", "version")).out)).toMatchObject({ version });
    const { code, out } = await tcpx("uto", "--json", "set", "5m");
    expect(code).toBe(2);
    expect(JSON.parse(out)).toMatchObject({ error: { code: 2, value: "5m" } });
  });

  test.each([["--cgroup"], ["--to"], ["--dry-run"], ["--all-netns"], ["--wait"]])(
    "%s is told to stand behind it",
    async (flag) => {
      const { code, err } = await tcpx(flag, "/x", "status");
      expect(code).toBe(2);
      expect(err).toMatch(new RegExp(`'?${flag}'? must stand behind`));
    },
  );

  test.each([
    { words: ["--bogus"] },
    { words: ["--bogus", "version"] },
    { words: ["--version", "--bogus"] },
    { words: ["--bogus", "--version"] },
    { words: ["-x", "version"] },
    { words: ["-qv", "version"] },
    { words: ["version", "-vh"] },
    { words: ["version", "--h"] },
  ])("$words: an unknown flag is an error, whatever else is asked for", async ({ words }) => {
    const { code, out, err } = await tcpx(...words);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain("unknown flag");
  });
});

describe("help", () => {
  test("no words at all, --help and -h are the same", async () => {
    const [none, long, short] = await Promise.all([tcpx(), tcpx("--help"), tcpx("-h")]);
    expect(none.code).toBe(0);
    expect(long).toEqual(none);
    expect(short).toEqual(none);
    const text = none.out.replaceAll("\n", " ");
    for (const code of ["0 done", "1 failed", "2 usage", "4 permission", "5 busy"])
      expect(text).toContain(code);
  });

  test("names every flag that may stand in front of a command", async () => {
    const { out } = await tcpx("--help");
    for (const flag of ["-V, --version", "--json", "-q, --quiet", "-v, --verbose", "-h, --help"]) {
      expect(out).toContain(flag);
    }
  });

  test("before and behind the command; a command is not run when help is asked for", async () => {
    const wanted = await tcpx("uto", "set", "--help");
    expect(wanted.out).toContain("Usage: tcpx uto set");
    for (const words of [
      ["--help", "uto", "set"],
      ["uto", "--help", "set"],
      ["uto", "set", "-h"],
      ["uto", "set", "5m", "--help"],
      ["uto", "set", "--json", "--help"],
      ["uto", "set", "--to", "--help"],
    ]) {
      expect([words, await tcpx(...words)]).toEqual([words, wanted]);
    }
  });

  test("help is given although the rest of the words is wrong", async () => {
    expect(await tcpx("version", "--bogus", "--help")).toMatchObject({ code: 0, err: "" });
    expect(await tcpx("uto", "set", "x", "y", "--help")).toMatchObject({ code: 0, err: "" });
  });

  test("but not for a command that there is not", async () => {
    expect((await tcpx("bogus", "--help")).code).toBe(2);
    expect((await tcpx("uto", "bogus", "--help")).code).toBe(2);
  });
});

describe("tcpx help", () => {
  test.each<{ words: string[] }>([
    { words: [] },
    { words: ["uto"] },
    { words: ["uto", "set"] },
    { words: ["status"] },
    { words: ["help"] },
    { words: ["persist", "off"] },
  ])("$words is what --help prints there", async ({ words }) => {
    const wanted = await tcpx(...words, "--help");
    expect(wanted.code).toBe(0);
    expect(await tcpx("help", ...words)).toEqual(wanted);
    expect(await tcpx("-j", "help", ...words)).toEqual(wanted);
  });
});

test("a key of `run --ack`: did you mean", async () => {
  const { code, err } = await tcpx("run", "--ack", "evry=8", "--", "true");
  expect(code).toBe(125);
  expect(err).toMatch(/'evry=8' is not KEY=VALUE of a known key; did you mean every\?/);
});

test("-j is --json, before and behind the command", async () => {
  const wanted = await tcpx("version", "--json");
  expect(await tcpx("version", "-j")).toEqual(wanted);
  expect(await tcpx("-j", "version")).toEqual(wanted);
  expect(await tcpx("version", "-j", "--json")).toMatchObject({ code: 2 });
  expect(JSON.parse((await tcpx("bogus", "-j")).out)).toMatchObject({ error: { value: "bogus" } });
});

test("show is another name of status", async () => {
  const [status, show] = await Promise.all([tcpx("status", "--help"), tcpx("show", "--help")]);
  expect(show.out).toBe(status.out.replace("Usage: tcpx status", "Usage: tcpx show"));
});

describe("mistakes", () => {
  const cases: [words: string[], what: RegExp, value: string | null][] = [
    [["bogus"], /unknown command 'bogus'.*tcpx --help/, "bogus"],
    [[""], /unknown command ''/, ""],
    [["__proto__"], /unknown command '__proto__'/, "__proto__"],
    [["toString"], /unknown command 'toString'/, "toString"],
    [["uto"], /tcpx uto needs one of: set, accept, show, unset/, null],
    [["uto", "sett"], /tcpx uto has no 'sett'.*set, accept, show, unset/, "sett"],
    [["stauts"], /unknown command 'stauts'; did you mean status\? see `tcpx --help`/, "stauts"],
    [["hlep"], /did you mean help\?/, "hlep"],
    [["conn"], /did you mean connections\?/, "conn"],
    [["set"], /did you mean one of tcpx uto set, .*tcpx ack set\?/, "set"],
    [["uto", "sett"], /did you mean set\?/, "sett"],
    [["uto", "help"], /did you mean `tcpx uto --help`\?/, "help"],
    [["help", "stauts"], /unknown command 'stauts'; did you mean status\?/, "stauts"],
    [["help", "uto", "sett"], /tcpx uto has no 'sett'; did you mean set\?/, "sett"],
    [["help", "status", "x"], /stray argument 'x'.*has no verbs/, "x"],
    [["help", "uto", "set", "x"], /stray argument 'x'/, "x"],
    [["help", "--bogus"], /unknown flag '--bogus'/, "--bogus"],
    [["--verson"], /did you mean --version\?/, "--verson"],
    [["version", "-qv"], /unknown flag '-qv'; did you mean -q -v\?/, "-qv"],
    [["version", "-J"], /did you mean -j\?/, "-J"],
    [["uto", "set", "30s", "--prot", "80"], /did you mean --port\?/, "--prot"],
    [["uto", "set", "30s", "-t", "::1"], /did you mean --to\?/, "-t"],
    [["uto", "unset", "locl"], /did you mean local\?/, "locl"],
    [["cc-request", "set", "bbrr"], /did you mean bbr\?/, "bbrr"],
    [["connections", "--state", "estab"], /did you mean established\?/, "estab"],
    [["watch", "--ext", "utoo"], /did you mean uto\?/, "utoo"],
    [["uto", "constructor"], /tcpx uto has no 'constructor'/, "constructor"],
    [["uto", "set"], /DURATION is missing.*tcpx uto set --help/, null],
    [["uto", "set", "5m"], /DURATION '5m' is not a duration.*2min/, "5m"],
    [["uto", "set", "-5s"], /DURATION '-5s' is not a duration/, "-5s"],
    [["uto", "set", "30s", "--to", "localhost"], /--to 'localhost' is a host name/, "localhost"],
    [
      ["uto", "set", "30s", "--port", "http"],
      /--port 'http' is not a port number; accepted is 1 to 65535/,
      "http",
    ],
    [["uto", "set", "30s", "extra"], /stray argument 'extra'/, "extra"],
    [["uto", "accept", "--min", "2h", "--max", "1h"], /--min 2h is longer than --max 1h/, "2h"],
    [["uto", "unset", "locl"], /'locl'.*ask, local, accept/, "locl"],
    [["uto", "unset", "--all", "--to", "10.0.0.0/8"], /--all and --to exclude each other/, "--all"],
    [
      ["cc-request", "set", "BBR", "--dry-run"],
      /ALGORITHM 'BBR' is not known; did you mean bbr\? accepted is .*bbr.* none$/m,
      "BBR",
    ],
    [["cc-request", "set", "bbr", "--force", "--dry-run"], /--force is for --local and accept/, "--force"],
    [
      ["cc-request", "set", "bbr", "--from", "10.0.0.0/8", "--dry-run"],
      /--from is not for.*use --to$/m,
      "10.0.0.0/8",
    ],
    [["cc-request", "accept", "bbr", "--to", "::1", "--dry-run"], /--to is not for.*use --from$/m, "::1"],
    [["cc-request", "accept", "bbr", "cubic", "--dry-run"], /stray argument 'cubic'/, "cubic"],
    [["iw", "set", "1025", "--dry-run"], /SEGMENTS '1025' is not.*1 to 1024, or none/, "1025"],
    [["iw", "set", "1024", "--from", "::1", "--dry-run"], /--from is not for iw ask rules/, "::1"],
    [["iw", "accept", "--dry-run"], /--max is missing; accepted is 1 to 1024/, null],
    [["iw", "accept", "40", "--dry-run"], /stray argument '40'.*--max SEGMENTS/, "40"],
    [["ack", "set", "--dry-run"], /--every or --delay is missing; see `tcpx ack set --help`/, null],
    [["ack", "set", "--every", "0", "--dry-run"], /--every '0' is out of range; accepted is 1 to 255/, "0"],
    [
      ["ack", "set", "--every", "100000", "--dry-run"],
      /--every '100000' is out of range; accepted is 1 to 255/,
      "100000",
    ],
    [
      ["ack", "set", "--delay", "rtt/0", "--dry-run"],
      /--delay 'rtt\/0' is out of range; accepted is rtt\/1/,
      "rtt/0",
    ],
    [
      ["ack", "set", "--delay", "201ms", "--dry-run"],
      /--delay '201ms' .*the kernel never delays an ACK longer than 200 ms/,
      "201ms",
    ],
    [["ack", "set", "--delay", "20ms", "--port", "0", "--dry-run"], /--port '0' is not a port number/, "0"],
    [
      ["ack", "request", "--every", "8", "--tarr", "--delay", "rtt/4", "--dry-run"],
      /--tarr and --delay exclude each other/,
      "--delay",
    ],
    [["ack", "accept", "8", "--dry-run"], /stray argument '8'.*'none', or --max-every/, "8"],
    [["version", "extra"], /stray argument 'extra'.*tcpx version --help/, "extra"],
    [["version", "--json=true"], /--json takes no value/, "true"],
  ];

  test.each(cases)("tcpx %j", async (words, what, value) => {
    const plain = await tcpx(...words);
    expect([plain.code, plain.out]).toEqual([2, ""]);
    expect(plain.err).toMatch(what);
    expect(plain.err).toMatch(/^tcpx: [^\n]+\n$/);

    const json = await tcpx("--json", ...words.filter((word) => word !== "--json=true"));
    if (words.includes("--json=true")) return;
    expect(json.code).toBe(2);
    expect(json.err).toBe(plain.err);
    expect(JSON.parse(json.out)).toEqual({
      schema: 2,
      error: { code: 2, what: expect.any(String), value, hint: expect.any(String) },
    });
    expect((await tcpx(...words, "-q")).err).toBe(plain.err);
  });

  test("what stands behind -- is no flag of tcpx", async () => {
    expect(await tcpx("version", "--", "--json")).toMatchObject({ code: 2, out: "" });
    expect(await tcpx("version", "--", "--help")).toMatchObject({ code: 2, out: "" });
  });
});
