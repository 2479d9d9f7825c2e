// SPDX-License-Identifier: MIT
// All that is wrong with a policy file is told at once, each at its line, and nothing takes long.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { TcpxError } from "../../cli/base/errors.ts";
import { parsePolicy } from "../../cli/policy-file/parse.ts";
import { Fitting, placeScope } from "../../cli/policy-file/place.ts";

const MAIN = join(import.meta.dir, "..", "..", "cli", "main.ts");

async function failure(text: string): Promise<TcpxError> {
  try {
    const policy = await parsePolicy({ name: "p", text });
    for (const scope of policy.scopes) placeScope(policy, scope, null, new Fitting({ tickUs: 4000 }));
  } catch (error) {
    expect(error).toBeInstanceOf(TcpxError);
    return error as TcpxError;
  }
  throw new Error("nothing is wrong");
}

async function complaints(text: string): Promise<string[]> {
  const error = await failure(text);
  return [error, ...error.others].map(({ message, hint }) => `${message}; ${hint}`);
}

const ALL = `schema = 1
[exid]
cc-aks = 0x7d00
tarr = 0

[[scope]]
cgruop = "/a"
[[scope.uto]]
set = 30s
to = 10.0.0.0/8
prot = 80

[[scope.uto]]
set = "30x"
to = ["10.0.0.0/33", "10/8", "192.0.2.1"]
port = "80,99999,http"
advertize = false

[[scope.uto]]
accept = true
min = "x"
max = "y"

[[scope.uto]]
accept = true
to = [
  10.0.0.0/8,
  "10.1.0.0/16",
]

[[scope.uto]]
set = "10s"
[[scope.uto]]
set = "20s"
[[scope.iww]]
set = 10
[[scope.cc-request]]
set = "bbrr"
force = yes
`;

const WRONG: [line: number, what: RegExp][] = [
  [3, /exid\.cc-aks: unknown key; did you mean cc-ask\?/],
  [4, /exid\.tarr: is 0x0000/],
  [7, /scope\[0\]\.cgruop: unknown key; did you mean cgroup\?/],
  [9, /column 9 is not TOML: .*; write "30s", with quotes$/],
  [10, /column 10 is not TOML: .*; write "10\.0\.0\.0\/8", with quotes$/],
  [11, /scope\[0\]\.uto\[0\]\.prot: unknown key; did you mean port\?/],
  [14, /uto\[1\]\.set: DURATION '30x' is not a duration/],
  [15, /uto\[1\]\.to\[0\]: --to '10\.0\.0\.0\/33' has no valid prefix length/],
  [15, /uto\[1\]\.to\[1\]: --to '10\/8' .*did you mean 10\.0\.0\.0\/8\?/],
  [16, /uto\[1\]\.port: --port '99999'/],
  [16, /uto\[1\]\.port: --port 'http'/],
  [17, /uto\[1\]\.advertize: unknown key; did you mean advertise\?/],
  [21, /uto\[2\]\.min: --min 'x' is not a duration/],
  [22, /uto\[2\]\.max: --max 'y' is not a duration/],
  [27, /column 7 is not TOML: .*; write "10\.0\.0\.0\/8", with quotes$/],
  [33, /uto\[5\]: duplicate rule: scope\[0\]\.uto\[4\] \(line 31\)/],
  [35, /scope\[0\]\.iww: unknown key; did you mean iw\?/],
  [38, /cc-request\[0\]\.set: ALGORITHM 'bbrr' is not known; did you mean bbr\?/],
  [39, /column 9 is not TOML: invalid value; accepted is true or false/],
];

test("everything that is wrong, in the order of the lines, each once", async () => {
  const found = await complaints(ALL);
  expect(found).toHaveLength(WRONG.length);
  for (const [i, [line, what]] of WRONG.entries()) {
    expect(found[i]).toStartWith(`p:${line}: `);
    expect(found[i]).toMatch(what);
  }
});

test("rules of an extension that this host does not have: what to do comes first", async () => {
  const text = '[[scope]]\ncgroup = "/a"\n[[scope.pacing]]\nset = "10M"\n';
  const [said, ...others] = await complaints(text);
  expect(said).toStartWith(
    "p:3: scope[0].pacing: this host has no such extension; add it with `tcpx ext add`; accepted is cgroup,",
  );
  expect(others).toEqual([]);
  expect(await complaints(text.replace("[[scope.pacing]]", "[scope.pacing]"))).toEqual([
    expect.stringContaining("unknown key"),
  ]);
});

test("the command: one line for each, and a list for scripts", async () => {
  const run = async (...flags: string[]) => {
    const child = Bun.spawn([process.execPath, MAIN, "apply", "--dry-run", "-", ...flags], {
      stdin: Buffer.from(ALL),
      stdout: "pipe",
      stderr: "pipe",
    });
    return Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  };
  const [out, err, code] = await run();
  expect([out, code]).toEqual(["", 2]);
  expect(
    err
      .trimEnd()
      .split("\n")
      .map((line) => /^tcpx: stdin:(\d+): /.exec(line)?.[1]),
  ).toEqual(WRONG.map(([line]) => String(line)));
  const { error } = JSON.parse((await run("--json"))[0]);
  expect(error).toMatchObject({ code: 2, file: "stdin", line: 3, column: 1, key: "exid.cc-aks", more: 0 });
  expect(error.errors).toHaveLength(WRONG.length);
  expect(error.errors[8]).toMatchObject({
    line: 15,
    column: 22,
    key: "scope[0].uto[1].to[1]",
    value: "10/8",
  });
});

test("one mistake is told as before, without a list", async () => {
  const error = await failure('[[scope]]\n[[scope.uto]]\nset = "x"\n');
  expect([error.others, error.more, error.place]).toEqual([
    [],
    0,
    { file: "p", line: 3, column: 1, key: "scope[0].uto[0].set" },
  ]);
});

test("many mistakes: the first ones, and how many there are", async () => {
  const rule = '[[scope.uto]]\nset = "x"\n';
  const error = await failure(`[[scope]]\n${rule.repeat(1000)}`);
  expect([error.others.length, error.more]).toEqual([19, 980]);
});

describe("not TOML", () => {
  const cases: [line: string, said: RegExp][] = [
    ["set = 30s", /:4: .*write "30s", with quotes/],
    ["set = 30s # half a minute", /:4: .*write "30s", with quotes/],
    ["set = none", /:4: .*write "none", with quotes/],
    ["to = fd00::/8", /:4: .*write "fd00::\/8", with quotes/],
    ["set = my word", /:4: .*write "my word", with quotes/],
    ["to = [10.0.0.0/8, 10.1.0.0/16]", /:4: .*write "10\.0\.0\.0\/8", with quotes/],
    ['to = ["::1", fd00::/8]', /:4: .*write "fd00::\/8", with quotes/],
    ["set = “30s”", /:4: .*write "30s", with quotes/],
    ['set = "30s', /:4: .*the closing quote is missing/],
    ["set =", /:4: .*a value is missing behind set =/],
    ["force = True", /:4: .*true or false, in small letters/],
    ["port = 080", /:4: .*write 80, without zeros/],
    ["set 30s", /:4: .*a line is KEY = VALUE, such as set = "30s"/],
    ["set: 30s", /:4: .*a line is KEY = VALUE, such as set = "30s"/],
    ['to = ["::1",\n"::2"', /:4: column 6 is not TOML: what begins here has no end; close it/],
    ['set = "1s"\nset = "2s"', /:5: .*it is there twice/],
  ];
  test.each(cases)("%s", async (line, said) => {
    const verb = line.startsWith("set") ? "" : "accept = true";
    const text = `[[scope]]\n[[scope.uto]]\n${verb}\n${line}\n[[scope.iw]]\nsset = 10\n`;
    const found = await complaints(text);
    expect(found[0]).toMatch(said);
    // and what comes after it is found, too, where the line can be read as it was meant
    if (!/no end/.test(said.source))
      expect(found.at(-1)).toMatch(/iw\[0\]\.sset: unknown key; did you mean set\?/);
  });
});

describe("refused at once", () => {
  const deep = (sign: string) => `${sign}${".a".repeat(100_000)}`;
  const cases: Record<string, [text: string, line: number]> = {
    "a dotted key": [`scope = []\n${deep("a")} = 1\n`, 2],
    "a header": [`\n\n[${deep("a")}]\n`, 3],
    "a header of an array": [`[[${deep("a")}]]\n`, 1],
    "a key in an inline table": [`scope = [{ ${deep("a")} = 1 }]\n`, 1],
    "a key of a rule": [`[[scope]]\n[[scope.uto]]\n${deep("set")} = 1\n`, 3],
    "quoted parts": [`${'"a".'.repeat(100_000)}a = 1\n`, 1],
    "900 parts": [`scope = []\na${".a".repeat(900)} = 1\n`, 2],
    "headers that grow": [Array.from({ length: 500 }, (_, i) => `[a${".a".repeat(i)}]\n`).join(""), 16],
    "nested lists": [`scope = ${"[".repeat(100_000)}\n`, 1],
    "nested tables": [`scope = ${"{a=".repeat(100_000)}\n`, 1],
    "32 MB of one key": [`${"a.".repeat(16_000_000)}a = 1`, 1],
  };
  test.each(Object.entries(cases))(
    "%s",
    async (_, [text, line]) => {
      const error = await failure(text);
      expect([error.others, error.place?.line]).toEqual([[], line]);
      expect(error.message.length).toBeLessThan(1000);
    },
    10_000,
  );

  test("dots in comments and lists are no key", async () => {
    const text = `# ${".".repeat(5000)}\n[[scope]]\n[[scope.uto]]\nset = "1s"\nto = "${Array.from({ length: 2000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`).join(",")}"\n`;
    expect((await parsePolicy({ name: "p", text })).scopes).toHaveLength(1);
  });
});

test("addresses that look like networks are told with their lines, few of many", async () => {
  const rule = (to: string) => `[[scope.uto]]\nset = "1s"\nto = "${to}"\n`;
  const list = Array.from({ length: 9 }, (_, i) => rule(`10.${i + 1}.0.0`)).join("");
  const { notices } = await parsePolicy({ name: "p", text: `[[scope]]\n${rule("10.0.0.1")}${list}` });
  expect(notices).toHaveLength(4);
  expect(notices[0]).toMatch(/^p:7: --to 10\.1\.0\.0 is read as 10\.1\.0\.0\/32, .*10\.1\.0\.0\/16$/);
  expect(notices[3]).toBe("and 6 more such addresses");
});

test("a line of blanks only takes as long as any other", async () => {
  const scope = '[[scope]]\ncgroup = "/a"\n[[scope.uto]]\n';
  const blanks = " ".repeat(900_000);
  expect((await failure(`${scope}set${blanks}30s\n`)).message).toStartWith("p:4: column ");
  expect((await failure(`${scope}set${blanks}= 30s\n`)).message).toStartWith("p:4: column ");
}, 20_000);
