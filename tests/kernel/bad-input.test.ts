// SPDX-License-Identifier: MIT
// What tcpx refuses on its command line: the exit code, one line that names the value, and nothing changed.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { UtoLab } from "../support/uto-lab.ts";

/** [what, arguments, the part of the message that names what was wrong] */
type Case = readonly [what: string, args: string, named: string];

const COMMANDS: Case[] = [
  ["an unknown command", "frob", "'frob'"],
  ["an unknown verb", "uto frob", "'frob'"],
  ["no verb", "uto --json=no", "--json"],
  ["a verb of no extension", "set 30s", "'set'"],
  ["an unknown flag", "uto set 30s --frob", "'--frob'"],
  ["an unknown short flag", "uto set 30s -x", "'-x'"],
  ["a flag of another verb", "uto set 30s --min 5s", "'--min'"],
  ["a flag of another command", "uto show --to 10.0.0.1", "'--to'"],
  ["a stray word", "uto set 30s 40s", "'40s'"],
  ["a stray word for status", "status now", "'now'"],
  ["a missing argument", "uto set", "DURATION"],
  ["a missing value at the end", "uto set 30s --to", "--to"],
  ["a missing value before another flag", "uto set 30s --to --port 80", "--to"],
  ["a value for a flag that takes none", "uto set 30s --dry-run=yes", "yes"],
  ["a repeated flag", "uto set 30s --port 80 --port 81", "--port"],
  ["a repeated switch", "uto set 30s --wait --wait", "--wait"],
  ["an unknown kind for unset", "uto unset everything", "'everything'"],
  ["unset with --all and --to", "uto unset --all --to 10.0.0.1", "--to"],
  ["unset with --all and --port", "uto unset --all --port 80", "--port"],
  ["an odd word for accept", "uto accept 30s", "'30s'"],
  ["none with limits", "uto accept none --min 5s", "'none'"],
];

const VALUES: Case[] = [
  ["a negative duration", "uto set -5s", "'-5s'"],
  ["a duration of zero", "uto set 0s", "'0s'"],
  ["a duration of zero milliseconds", "uto set 0ms", "'0ms'"],
  ["a duration above the option's range", "uto set 99999h", "'99999h'"],
  ["a duration just above the option's range", "uto set 32768min", "'32768min'"],
  ["a duration without a unit", "uto set 30", "'30'"],
  ["a unit that does not exist here", "uto set 5d", "'5d'"],
  ["a fraction", "uto set 1.5s", "'1.5s'"],
  ["a duration in capitals", "uto set 30S", "'30S'"],
  ["an exponent", "uto set 1e3s", "'1e3s'"],
  ["digits without an end", `uto set ${"9".repeat(40)}s`, "9".repeat(40)],
  ["a bad --min", "uto accept --min soon", "'soon'"],
  ["a --max of zero", "uto accept --max 0s", "'0s'"],
  ["--min above --max", "uto accept --min 2min --max 1min", "2min"],
  ["--min above the default --max", "uto accept --min 1h", "1h"],
  ["--max below the default --min", "uto accept --max 10s", "10s"],
  ["a host name", "uto set 30s --to example.org", "'example.org'"],
  ["a host name without a dot", "uto set 30s --from localhost", "'localhost'"],
  ["bits behind the prefix", "uto set 30s --to 10.0.0.1/8", "10.0.0.0/8"],
  ["IPv6 bits behind the prefix", "uto set 30s --to 2001:db8::1/32", "2001:db8::/32"],
  ["a prefix of 33", "uto set 30s --to 10.0.0.0/33", "'10.0.0.0/33'"],
  ["a prefix of 129", "uto set 30s --to ::/129", "'::/129'"],
  ["an empty prefix", "uto set 30s --to 10.0.0.0/", "'10.0.0.0/'"],
  ["two prefixes", "uto set 30s --to 10.0.0.0/8/8", "'10.0.0.0/8/8'"],
  ["a short IPv4 address", "uto set 30s --to 10.1", "'10.1'"],
  ["an octal IPv4 address", "uto set 30s --to 010.0.0.1", "'010.0.0.1'"],
  ["a number of 256", "uto set 30s --to 10.0.0.256", "'10.0.0.256'"],
  ["an address with a zone", "uto set 30s --to fe80::1%eth0", "'fe80::1%eth0'"],
  ["an empty member of a list", "uto set 30s --to 10.0.0.1,,10.0.0.2", "'10.0.0.1,,10.0.0.2'"],
  ["one bad member of a list", "uto set 30s --to 10.0.0.1,10.0.0.999", "'10.0.0.999'"],
  ["port 0", "uto set 30s --port 0", "'0'"],
  ["port 65536", "uto set 30s --port 65536", "'65536'"],
  ["port 70000", "uto set 30s --port 70000", "'70000'"],
  ["a service name", "uto set 30s --port ssh", "'ssh'"],
  ["a port range", "uto set 30s --port 80-90", "'80-90'"],
  ["a negative port", "uto set 30s --port=-1", "'-1'"],
];

const ACKS: Case[] = [
  ["nothing to do", "ack set", "--every"],
  ["an ACK every 0 segments", "ack set --every 0", "'0'"],
  ["an ACK every 256 segments", "ack set --every 256", "'256'"],
  ["an ACK every 100000 segments", "ack set --every 100000", "'100000'"],
  ["the RTT by 0", "ack set --delay rtt/0", "'rtt/0'"],
  ["the RTT by 256", "ack request --every 8 --delay rtt/256", "'rtt/256'"],
  ["a delay that the kernel does not know", "ack set --every 8 --delay 201ms", "200 ms"],
  ["a delay at once", "ack set --every 1 --delay 20ms", "--every 1"],
  ["a delay with a bad selector", "ack set --delay 20ms --port 0", "'0'"],
  ["a floor of nothing", "ack set --delay 20ms --min-acks-per-rtt 4", "--min-acks-per-rtt"],
  ["a mark for nothing", "ack set --every 2 --mark-bit 3", "--mark-bit"],
  ["bit 32 of the mark", "ack accept --mark-bit 32", "'32'"],
  ["a request without a number", "ack request", "--every"],
  ["a request for a time", "ack request --every 8 --delay 20ms", "'20ms'"],
  ["TARR with a delay", "ack request --every 8 --delay rtt/4 --tarr", "--delay"],
  ["TARR above its range", "ack request --every 128 --tarr", "'128'"],
  ["a grant of a fraction", "ack accept --max-delay rtt/4", "'rtt/4'"],
  ["none with a flag", "ack set none --every 8", "--every"],
];

const PLACES: Case[] = [
  ["a directory that is no cgroup", "uto set 30s --cgroup /tmp", "'/tmp'"],
  ["a directory that does not exist", "uto set 30s --cgroup /nonexistent", "'/nonexistent'"],
  ["a file of a cgroup", "uto set 30s --cgroup CGROUP/cgroup.procs", "/cgroup.procs'"],
  ["an empty path", "uto set 30s --cgroup=", "--cgroup"],
  ["a cgroup that does not exist, for show", "uto show --cgroup CGROUP/none", "/none'"],
  ["a cgroup that does not exist, for status", "status --cgroup CGROUP/none", "/none'"],
  ["a cgroup that does not exist, for a dry run", "uto set 30s --dry-run --cgroup CGROUP/none", "/none'"],
];

describeIf(labRequirement.ok, labRequirement.reason)("bad input", () => {
  let u: UtoLab;
  let host: PrivateHost;
  let before: unknown[];

  beforeAll(async () => {
    u = await UtoLab.create();
    host = await PrivateHost.create(u.lab);
    await host.ok(["uto", "set", "30s", "--cgroup", u.client.cgroup]);
    before = await state();
  });
  afterAll(() => u[Symbol.asyncDispose]());

  /** Paths below bpffs, ids and rules. */
  async function state(): Promise<unknown[]> {
    return [await host.pins(), (await host.ok(["status"], { json: true })).json];
  }

  /** The lab's cgroup stands for CGROUP, and is the scope of commands that name none. */
  function argv(args: string): string[] {
    const words = args.replace("CGROUP", u.client.cgroup).split(" ");
    const writes = /^uto (set|accept|unset)/.test(args) && !args.includes("--cgroup");
    if (!writes) return words;
    const last = words.at(-1)!;
    // a flag whose value is missing has to stay the last word
    return last === "--to"
      ? [...words.slice(0, 2), `--cgroup=${u.client.cgroup}`, ...words.slice(2)]
      : [...words, "--cgroup", u.client.cgroup];
  }

  async function expectRefused(args: string[], named: string, code: number): Promise<void> {
    const human = await host.tcpx(args);
    expect(human).toMatchObject({ code, stdout: "" });
    expect(human.stderr).toStartWith("tcpx: ");
    expect(human.stderr.split("\n")).toHaveLength(2);
    expect(human.stderr).toContain(named);
    const { code: again, stdout, json } = await host.tcpx([...args.slice(0, 1), "--json", ...args.slice(1)]);
    expect(again).toBe(code);
    expect(stdout.split("\n")).toHaveLength(2);
    expect(Object.keys(json ?? JSON.parse(stdout))).toEqual(["schema", "error"]);
    const { error, schema } = JSON.parse(stdout);
    expect(schema).toBe(2);
    expect(Object.keys(error).sort()).toEqual(["code", "hint", "value", "what"]);
    expect(error.code).toBe(code);
    expect(human.stderr).toBe(`tcpx: ${error.what}${error.hint ? `; ${error.hint}` : ""}\n`);
  }

  test.each([...COMMANDS, ...VALUES, ...ACKS, ...PLACES])("%s: tcpx %s", async (_, args, named) => {
    await expectRefused(argv(args), named, 2);
    expect(await host.pins()).toEqual(before[0] as string[]);
  });

  test("the value stands in the JSON document as it was written", async () => {
    const values = [
      ["uto set 99999h", "99999h"],
      ["uto set 30s --to 10.0.0.1/8", "10.0.0.1/8"],
      ["uto set 30s --port 70000", "70000"],
      ["uto set 30s --cgroup /tmp", "/tmp"],
      ["uto set 30s --frob", "--frob"],
      ["frob", "frob"],
    ] as const;
    for (const [args, value] of values) {
      expect((await host.tcpx(args.split(" "), { json: true })).json.error.value).toBe(value);
    }
  });

  test("a duration with a space, quoted or not", async () => {
    await expectRefused(["uto", "set", "5 s", "--cgroup", u.client.cgroup], "'5 s'", 2);
    await expectRefused(["uto", "set", "5", "s", "--cgroup", u.client.cgroup], "'s'", 2);
    await expectRefused(["uto", "set", "", "--cgroup", u.client.cgroup], "''", 2);
  });

  test("control characters in a value do not reach the terminal, nor make a second line", async () => {
    for (const value of ["5s\n", "5s\x1b[2J", "\x07", "5\u009b2J"]) {
      const args = ["uto", "set", value, "--cgroup", u.client.cgroup];
      const { code, stdout, stderr } = await host.tcpx(args);
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toMatch(/^tcpx: DURATION '[^\p{Cc}]*' is not a duration[^\p{Cc}]*\n$/u);
      expect((await host.tcpx(args, { json: true })).json.error.value).toBe(value);
    }
  });

  test("nothing of all this has changed anything", async () => {
    expect(await state()).toEqual(before);
  });
});
