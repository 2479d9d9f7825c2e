// SPDX-License-Identifier: MIT
// Signatures that the real minisign has made, and what somebody has made of them.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TcpxError } from "../../cli/base/errors.ts";
import { isSignedBy, type Key, parseKey, parseSignature, signerOf } from "../../cli/packages/minisign.ts";

const SUMS = new TextEncoder().encode(`${"0".repeat(64)}  extension.toml\n`);
let dir: string;
let ours: Key;
let theirs: Key;

function minisign(...args: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["minisign", ...args], { cwd: dir });
  if (exitCode !== 0) throw new Error(`${stderr}`);
  return stdout.toString();
}

function newKey(name: string): Key {
  minisign("-G", "-W", "-p", `${name}.pub`, "-s", `${name}.key`);
  return parseKey(readFileSync(join(dir, `${name}.pub`), "utf8"), name)!;
}

function sign(name: string, ...flags: string[]): string {
  writeFileSync(join(dir, "SUMS"), SUMS);
  minisign("-S", "-s", `${name}.key`, "-m", "SUMS", "-x", "SUMS.minisig", ...flags);
  return readFileSync(join(dir, "SUMS.minisig"), "utf8");
}

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "tcpx-minisign-"));
  ours = newKey("ours");
  theirs = newKey("theirs");
});
afterAll(() => rmSync(dir, { recursive: true }));

test("a key has the id that minisign prints", () => {
  expect(readFileSync(join(dir, "ours.pub"), "utf8")).toContain(ours.id);
});

describe.each([[["-H"]], [["-l"]], [["-t", "version 1, for tëst"]]])("signed with %p", (flags) => {
  test("is a signature by that key, of these bytes, with that comment", async () => {
    const text = sign("ours", ...flags);
    expect(parseSignature(text)!.isHashed).toBe(!flags.includes("-l"));
    expect(await signerOf(text, SUMS, [theirs, ours], "x")).toEqual({
      ...{ signer: ours, keyId: ours.id },
      comment: flags[0] === "-t" ? flags[1]! : expect.stringMatching(/^timestamp:\d+ file:/),
    });
    expect(await signerOf(text.replaceAll("\n", "\r\n"), SUMS, [ours], "x")).toMatchObject({ signer: ours });
  });

  test("is of nobody where its key is unknown, and wrong where anything else was signed", async () => {
    const text = sign("ours", ...flags);
    expect(await signerOf(text, SUMS, [theirs], "x")).toMatchObject({ signer: undefined, keyId: ours.id });
    const other = SUMS.with(0, 0x31);
    expect(await isSignedBy(ours, parseSignature(text)!, other)).toBe(false);
    await expect(signerOf(text, other, [ours], "x")).rejects.toThrow(`by key ${ours.id} (ours) is wrong`);
    const posing = { ...theirs, id: ours.id };
    await expect(signerOf(text, SUMS, [posing], "x")).rejects.toThrow("is wrong");
    expect(await signerOf(text, SUMS, [posing, ours], "x")).toMatchObject({ signer: ours });
  });
});

test("whatever byte of a signature is another, it is no signature, nobody's or wrong; only its first line is free", async () => {
  const text = sign("ours");
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length - 1; at++) {
    for (const bits of [0x01, 0x20]) {
      const changed = new TextDecoder().decode(new Uint8Array(bytes).with(at, bytes[at]! ^ bits));
      const result = await signerOf(changed, SUMS, [ours], "x").catch((error: unknown) => error);
      if (result instanceof TcpxError) expect(result.code).toBe(2);
      else if (result instanceof Error) throw result;
      else if ((result as { signer?: Key }).signer)
        expect([at, text.slice(0, at)]).toEqual([at, expect.not.stringContaining("\n")]);
    }
  }
});

test("each that is cut off, or goes on, is none", () => {
  const text = sign("ours");
  for (let length = 0; length < text.length - 1; length++)
    expect([length, parseSignature(text.slice(0, length))]).toEqual([length, undefined]);
  expect(parseSignature(`${text}more\n`)).toBeUndefined();
  const key = readFileSync(join(dir, "ours.pub"), "utf8");
  expect(parseKey(`${key}more\n`, "x")).toBeUndefined();
  for (let length = 0; length < key.length - 1; length++)
    expect(parseKey(key.slice(0, length), "x")).toBeUndefined();
  expect(parseKey(readFileSync(join(dir, "ours.key"), "utf8"), "x")).toBeUndefined();
});
