// SPDX-License-Identifier: MIT
// Packages: read as tar(1) reads them, written as it writes them, and nothing else is taken.
import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { TcpxError } from "../../cli/base/errors.ts";
import {
  type Package,
  type Parts,
  packExtension,
  sumsOf,
  unpackExtension,
} from "../../cli/packages/package.ts";
import { type Member, readArchive, writeArchive } from "../../cli/packages/ustar.ts";
import { refusal } from "../support/refusal.ts";

const PARTS: Parts = {
  manifest: 'schema = 1\nname = "pace"\n',
  name: "pace",
  object: Uint8Array.from({ length: 700 }, (_, i) => i % 251),
};
const FULL: Parts = { ...PARTS, readme: "# pace\n\nÄ page.\n", minisig: "untrusted comment: x\n" };
const BLOCK = 512;

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytesOf = (said: string) => new TextEncoder().encode(said);
const membersOf = (parts: Parts) => readArchive(packExtension(parts), "x", 5);
const asTar = (members: readonly Member[]) => writeArchive(members);
const why = (bytes: Uint8Array) => refusal(() => unpackExtension(bytes, "pace.tcpx")).message;

/** What counts of a package. */
const content = ({ name, manifestText, object, readme }: Package) =>
  JSON.stringify([name, manifestText, Buffer.from(object).toString("hex"), readme]);

function inDirectory<T>(action: (dir: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), "tcpx-package-"));
  try {
    return action(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function tar(dir: string, ...args: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["tar", ...args], { cwd: dir });
  if (exitCode !== 0) throw new Error(stderr.toString());
  return stdout.toString();
}

test("what is packed is unpacked, and the same parts are the same bytes", () => {
  for (const parts of [PARTS, FULL]) {
    const read = unpackExtension(packExtension(parts), "x");
    expect(read).toMatchObject({ name: "pace", manifestText: parts.manifest });
    expect([read.readme, read.minisig]).toEqual([parts.readme, parts.minisig]);
    expect(Buffer.from(read.object)).toEqual(Buffer.from(parts.object));
    expect(text(read.sums)).toBe(sumsOf(parts));
    expect(packExtension({ ...parts })).toEqual(packExtension(parts));
  }
});

test("tar(1) lists and extracts what is packed, and sha256sum(1) finds its sums right", () => {
  inDirectory((dir) => {
    writeFileSync(join(dir, "pace.tcpx"), packExtension(FULL));
    expect(tar(dir, "tf", "pace.tcpx").trim().split("\n")).toEqual([
      ...["extension.toml", "pace.bpf.o", "README.md", "SHA256SUMS", "SHA256SUMS.minisig"],
    ]);
    tar(dir, "xf", "pace.tcpx");
    expect(readFileSync(join(dir, "pace.bpf.o")).equals(PARTS.object)).toBe(true);
    expect(Bun.spawnSync(["sha256sum", "--strict", "-c", "SHA256SUMS"], { cwd: dir }).exitCode).toBe(0);
  });
});

test.each(["gnu", "ustar", "v7", "posix"])("what tar(1) has packed in its format %s", (format) => {
  inDirectory((dir) => {
    writeFileSync(join(dir, "extension.toml"), PARTS.manifest);
    writeFileSync(join(dir, "pace.bpf.o"), PARTS.object);
    writeFileSync(join(dir, "SHA256SUMS"), sumsOf(PARTS));
    tar(dir, "cf", "p.tcpx", `--format=${format}`, "SHA256SUMS", "pace.bpf.o", "extension.toml");
    const bytes = readFileSync(join(dir, "p.tcpx"));
    if (format === "v7") expect(why(bytes)).toBe("pace.tcpx: it is no tar archive");
    else if (format === "posix") expect(why(bytes)).toContain("a member is called");
    else
      expect(content(unpackExtension(bytes, "x"))).toBe(content(unpackExtension(packExtension(PARTS), "x")));
  });
});

describe("members of tar(1) that are no part of a package", () => {
  const refusedOf = (make: (dir: string) => string[]) =>
    inDirectory((dir) => {
      const names = make(dir);
      tar(dir, "cf", "p.tcpx", ...names);
      return why(readFileSync(join(dir, "p.tcpx")));
    });

  test("links, named pipes and folders", () => {
    const links = (flag: string[]) => (dir: string) => {
      writeFileSync(join(dir, "a"), "x");
      Bun.spawnSync(["ln", ...flag, "a", "extension.toml"], { cwd: dir });
      return ["a", "extension.toml"];
    };
    expect(refusedOf(links(["-s"]))).toContain("member extension.toml is no regular file");
    expect(refusedOf(links([]))).toContain("member extension.toml is no regular file");
    const fifo = (dir: string) => {
      Bun.spawnSync(["mkfifo", "p"], { cwd: dir });
      return ["p"];
    };
    expect(refusedOf(fifo)).toContain("member p is no regular file");
    const folder = (dir: string) => {
      mkdirSync(join(dir, "d"));
      return ["d"];
    };
    expect(refusedOf(folder)).toContain('a member is called "d/"');
  });

  test("names that lead elsewhere, and long ones", () => {
    const named = (name: string) => (dir: string) => {
      writeFileSync(join(dir, "a"), "x");
      return [`--transform=s,a,${name},`, "-P", "a"];
    };
    expect(refusedOf(named("../x"))).toContain('a member is called "../x"');
    expect(refusedOf(named("/etc/x"))).toContain('a member is called "/etc/x"');
    expect(refusedOf(named("x".repeat(120)))).toContain("a member is called");
  });
});

describe("what is refused", () => {
  const members = membersOf(FULL);
  const without = (name: string) => members.filter((member) => member.name !== name);
  const withText = (name: string, said: string) => [...without(name), { name, bytes: bytesOf(said) }];

  test.each([
    ["extension.toml", "there is no extension.toml"],
    ["pace.bpf.o", "there is no NAME.bpf.o"],
    ["SHA256SUMS", "there is no SHA256SUMS"],
    ["README.md", "SHA256SUMS names README.md, which is no member, or twice"],
  ])("a package without %s", (name, what) => {
    expect(why(asTar(without(name)))).toBe(`pace.tcpx: ${what}`);
  });

  test("other members, a second object, the same one twice, too many", () => {
    expect(why(asTar([...without("README.md"), { name: "run.sh", bytes: bytesOf("x") }]))).toContain(
      "run.sh is no part",
    );
    expect(why(asTar([...without("README.md"), { name: "b.bpf.o", bytes: bytesOf("x") }]))).toContain(
      "two objects",
    );
    expect(why(asTar([members[0]!, ...members.slice(0, 3)]))).toContain(
      "member extension.toml is there twice",
    );
    expect(why(asTar([...members, { name: "more", bytes: bytesOf("") }]))).toContain("more than 5 members");
  });

  test("sums that are missing, wrong, named twice, or no sums", () => {
    const sums = sumsOf(FULL);
    const lines = sums.split("\n");
    const said = (text: string) => why(asTar(withText("SHA256SUMS", text)));
    expect(said(lines.slice(1).join("\n"))).toContain("SHA256SUMS does not name extension.toml");
    expect(said(`${sums}${lines[0]}\n`)).toContain("no member, or twice");
    expect(said(sums.replace(/^./, (c) => (c === "0" ? "1" : "0")))).toContain(
      "extension.toml is not what SHA256SUMS says",
    );
    expect(said(sums.trimEnd())).toContain("does not end with a line");
    expect(said("hello\n")).toContain("is not what sha256sum(1) writes");
    expect(said(sums.repeat(40))).toContain("more than 4096 bytes");
  });

  test("a manifest that is too long or no text, and a package that is too long", () => {
    expect(refusal(() => packExtension({ ...PARTS, manifest: "#".repeat(300_000) })).message).toContain(
      "extension.toml has more than 262144 bytes",
    );
    expect(refusal(() => packExtension({ ...PARTS, object: new Uint8Array(4 << 20) })).message).toContain(
      "too long",
    );
    const bad = [{ name: "extension.toml", bytes: Uint8Array.of(0xff) }, members[1]!];
    const sums = bad.map(
      ({ name, bytes }) => `${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}  ${name}\n`,
    );
    expect(why(asTar([...bad, { name: "SHA256SUMS", bytes: bytesOf(sums.join("")) }]))).toContain(
      "not UTF-8",
    );
  });

  test("names of extensions that are none", () => {
    for (const name of ["Pace", "", "../x", "x".repeat(33), "9x"])
      expect(refusal(() => packExtension({ ...PARTS, name })).code).toBe(2);
  });
});

describe("of archives that somebody has changed", () => {
  const whole = packExtension(PARTS);
  const same = content(unpackExtension(whole, "x"));
  /** Reads as the same content, or is refused in one line. */
  const isSafe = (bytes: Uint8Array): boolean => {
    try {
      return content(unpackExtension(bytes, "x")) === same;
    } catch (error) {
      return error instanceof TcpxError && error.code === 2 && !/[^\x20-\x7e]/.test(error.message);
    }
  };

  test("each that is cut off", () => {
    for (let length = 0; length < whole.length; length++) {
      const cut = whole.subarray(0, length);
      expect([length, refusal(() => unpackExtension(cut, "x")).code]).toEqual([length, 2]);
    }
  });

  test("each with a byte that is another", () => {
    for (let at = 0; at < whole.length; at++) {
      for (const bits of [0x01, 0x10, 0x20, 0x80, 0xff]) {
        const bytes = whole.slice();
        bytes[at]! ^= bits;
        if (!isSafe(bytes)) throw new Error(`byte ${at} ^ ${bits}`);
      }
    }
  });

  test("a name that is no ASCII, where the checksum is right, is shown as such", () => {
    const bytes = whole.slice();
    bytes[11] = 218;
    bytes[12] = 2; // together as before
    expect(refusal(() => unpackExtension(bytes, "x")).message).toBe(
      'x: a member is called "extension.t\\xda\\u0002l"',
    );
  });

  test("any with several, and noise", () => {
    const change = fc.tuple(fc.nat(whole.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 2, maxLength: 8 }), (changes) => {
        const bytes = whole.slice();
        for (const [at, value] of changes) bytes[at] = value;
        return isSafe(bytes);
      }),
      { numRuns: 2000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 3 * BLOCK }), isSafe), { numRuns: 500 });
  });

  test("headers with a right checksum and wrong numbers", () => {
    const sized = (size: string) => {
      const bytes = Buffer.from(whole);
      bytes.write(size, 124, "latin1");
      bytes.write(" ".repeat(8), 148, "latin1");
      const sum = bytes.subarray(0, BLOCK).reduce((total, byte) => total + byte, 0);
      bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
      return why(bytes);
    };
    expect(sized("77777777777\0")).toContain("cut off in member extension.toml");
    expect(sized("777777777777")).toContain("the size of member extension.toml is no number");
    expect(sized("\x80\0\0\0\0\0\0\0\0\0\x02\0")).toContain("is no number");
    expect(sized("-0000000001\0")).toContain("is no number");
    expect(sized("00000000000\0")).toMatch(/no tar archive/);
  });

  test("more zeros behind the end are what tar(1) writes; anything else is not", () => {
    expect(isSafe(Buffer.concat([whole, new Uint8Array(8 * BLOCK)]))).toBe(true);
    expect(why(Buffer.concat([whole, new Uint8Array(8 * BLOCK), bytesOf("x")]))).toContain("behind the end");
    expect(why(Buffer.concat([whole, new Uint8Array(1)]))).toContain("cut off");
    expect(why(Buffer.concat([whole, whole]))).toContain("behind the end");
  });
});
