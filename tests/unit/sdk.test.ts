// SPDX-License-Identifier: MIT
// What extensions begin with, and what a trial says of one: without a kernel.
import { afterAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { extensionFrom } from "../../cli/manifest/extension.ts";
import { readManifest } from "../../cli/manifest/read.ts";
import { doubtsOf } from "../../cli/sdk/doubts.ts";
import { readFolder } from "../../cli/sdk/folder.ts";
import { writeNew } from "../../cli/sdk/new.ts";
import { requireOwn } from "../../cli/sdk/own.ts";
import { everywhere, linesOf, rulesFor } from "../../cli/sdk/rules.ts";
import { countedLines, optionTable, seenLines, wordsOf } from "../../cli/sdk/seen.ts";
import { filesOf, KINDS, pickExid, requireName, type TemplateKind } from "../../cli/sdk/templates.ts";

const MANIFEST = "extension.toml";
const NOBODY = 65_534;
const dir = mkdtempSync(join(tmpdir(), "tcpx-sdk-"));
afterAll(() => rmSync(dir, { recursive: true }));

const textOf = (kind: TemplateKind, file: string, name = "my-one") =>
  filesOf(name, kind).find((one) => one.name === file)?.text ?? "";
const manifestOf = (kind: TemplateKind, name = "my-one") =>
  readManifest(textOf(kind, MANIFEST, name), MANIFEST);

describe("templates", () => {
  test.each(KINDS)("%s: names are put in everywhere", (kind) => {
    const files = filesOf("my-one", kind);
    const manifest = kind === "congestion" ? [] : [MANIFEST];
    expect(files.map(({ name }) => name)).toEqual(["my-one.bpf.c", ...manifest, "test.sh", "README.md"]);
    for (const { name, text } of files) {
      expect([name, /@[A-Z_]+@/.exec(text)]).toEqual([name, null]);
      expect([name, /my.one/.test(text) || name === "test.sh"]).toEqual([name, true]);
    }
    expect(files.map(({ name, mode }) => [name, (mode & 0o111) !== 0])).toContainEqual(["test.sh", true]);
  });

  test.each(KINDS)("%s: the README's table is not padded for another name", (kind) => {
    const rows = textOf(kind, "README.md").match(/^\|.*$/gm)!;
    expect(rows.slice(0, 2)).toEqual(["| file | what |", "| --- | --- |"]);
    for (const row of rows) expect(row).not.toMatch(/ {2}\|/);
  });

  test.each(["local", "option", "request"] as const)(
    "%s: its manifest is one, and its tests are rules",
    (kind) => {
      const manifest = manifestOf(kind);
      expect(manifest).toMatchObject({ name: "my-one", api: 1 });
      const extension = extensionFrom(manifest, 8);
      const lines = Object.values(linesOf(manifest));
      expect(lines.length).toBe(kind === "local" ? 1 : 2);
      for (const line of lines) expect(rulesFor(extension, line)).toHaveLength(1);
    },
  );

  test("identifiers are picked by name, and are nobody else's", () => {
    const { request } = manifestOf("request", "one");
    expect(request!.answerExid).toBe(request!.askExid + 1);
    expect(manifestOf("option", "two").option!.exid).not.toBe(manifestOf("option", "three").option!.exid);
    const first = pickExid("x", new Set());
    expect(pickExid("x", new Set([first + 1]))).toBe(first + 2);
    const all = Array.from({ length: 0xffc }, (_, i) => 0x7000 + i);
    expect(pickExid("x", new Set(all))).toBe(0x7ffc);
  });

  test("the bytes that its test waits for are those of its manifest", () => {
    const { exid } = manifestOf("option").option!;
    expect(textOf("option", "test.sh")).toContain(`syn fe08${exid!.toString(16)}00000028"`);
    const { askExid, answerExid } = manifestOf("request").request!;
    const script = textOf("request", "test.sh");
    expect(script).toContain(`syn fe06${askExid.toString(16)}0006"`);
    expect(script).toContain(`syn-ack fe06${answerExid.toString(16)}0004"`);
  });

  test("names that an extension, or the kernel, cannot have", () => {
    for (const name of ["", "A", "9a", "a_b", "a/b", "..", "a".repeat(33), "a\n"])
      expect(() => requireName(name, "local")).toThrow("is no name of an extension");
    expect(() => requireName("a".repeat(16), "congestion")).toThrow("is too long for a congestion control");
    requireName("a".repeat(32), "option");
    expect(textOf("congestion", "my-one.bpf.c")).toContain('.name = "my_one"');
  });
});

describe("a new folder", () => {
  test("is there whole; what is there already stays", () => {
    const path = writeNew(dir, "tag", filesOf("tag", "option"));
    expect(readdirSync(path).sort()).toEqual(["README.md", MANIFEST, "tag.bpf.c", "test.sh"]);
    expect(statSync(join(path, "test.sh")).mode & 0o100).toBe(0o100);
    expect(() => writeNew(dir, "tag", [])).toThrow("is there already");
    symlinkSync("/nowhere", join(dir, "link"));
    expect(() => writeNew(dir, "link", [])).toThrow("is there already");
    expect(() => writeNew(join(dir, "none"), "tag", [])).toThrow("there is no folder");
    expect(() => writeNew(join(path, "README.md"), "tag", [])).toThrow("there is no folder");
    expect(readdirSync(dir).sort()).toEqual(["link", "tag"]);
  });

  test("one that fails half way leaves nothing", () => {
    const bad = { name: "no/such/folder", text: "", mode: 0o644 };
    expect(() => writeNew(dir, "half", [...filesOf("half", "local"), bad])).toThrow("cannot write to");
    expect(readdirSync(dir).filter((name) => name.includes("half"))).toEqual([]);
  });

  test("a folder that others may write to is not run as root", () => {
    const path = join(dir, "tag");
    const own = () => requireOwn(path, path);
    own();
    chmodSync(path, 0o777);
    expect(own).toThrow(`${path} can be changed by others`);
    chmodSync(path, 0o755);
    chmodSync(join(path, "test.sh"), 0o757);
    expect(own).toThrow("test.sh can be changed by others");
    chmodSync(join(path, "test.sh"), 0o755);
    chmodSync(dir, 0o777);
    expect(own).toThrow(`${dir} can be changed by others`);
    chmodSync(dir, 0o700);
    rmSync(join(path, "test.sh"));
    symlinkSync("/bin/true", join(path, "test.sh"));
    expect(own).toThrow("test.sh is a link, and root would read what it leads to");
    rmSync(join(path, "test.sh"));
  });

  test.skipIf(process.geteuid?.() !== 0)("root reads nothing of others in it, whatever it is called", () => {
    const path = writeNew(dir, "all", filesOf("all", "local"));
    mkdirSync(join(path, "deep"));
    for (const file of ["README.md", MANIFEST, "all.bpf.c", "test.sh", "own.h", "deep/more.h"]) {
      const whole = join(path, file);
      rmSync(whole, { force: true });
      symlinkSync("/etc/shadow", whole);
      expect(() => readFolder(path)).toThrow(`${whole} is a link`);
      rmSync(whole);
      writeFileSync(whole, "text");
      chownSync(whole, NOBODY, NOBODY);
      expect(() => readFolder(path)).toThrow(`${whole} can be changed by others`);
      chownSync(whole, 0, 0);
      readFolder(path);
    }
    chownSync(join(path, "deep"), NOBODY, NOBODY);
    expect(() => readFolder(path)).toThrow("deep can be changed by others");
  });

  test.skipIf(process.geteuid?.() !== 0)(
    "who has called sudo is trusted, and none of root's files under another name",
    () => {
      const path = writeNew(dir, "mine", filesOf("mine", "local"));
      for (const file of ["", ...readdirSync(path)]) chownSync(join(path, file), 4321, 4321);
      expect(() => readFolder(path)).toThrow(`${path} can be changed by others`);
      const { SUDO_UID, SUDO_GID } = process.env;
      Object.assign(process.env, { SUDO_UID: "4321", SUDO_GID: "4322" });
      try {
        expect(readFolder(path).owner).toEqual({ uid: 4321, gid: 4322 });
        writeFileSync(join(dir, "secret"), "root's", { mode: 0o600 });
        linkSync(join(dir, "secret"), join(path, "own.h"));
        expect(() => readFolder(path)).toThrow("own.h is a file of somebody else under one more name");
      } finally {
        for (const [name, value] of Object.entries({ SUDO_UID, SUDO_GID })) {
          if (value === undefined) delete process.env[name];
          else process.env[name] = value;
        }
      }
    },
  );

  test("what a link led to is what is used from there on", () => {
    writeNew(dir, "real", filesOf("real", "local"));
    symlinkSync("real", join(dir, "by-link"));
    expect(readFolder(join(dir, "by-link"))).toMatchObject({
      shown: join(dir, "by-link"),
      path: realpathSync(join(dir, "real")),
    });
  });

  test("what is no folder of an extension is told in a line", () => {
    expect(() => readFolder(join(dir, "none"))).toThrow("there is no folder");
    expect(() => readFolder(join(dir, "tag", "README.md"))).toThrow("is no folder");
    mkdirSync(join(dir, "odd", MANIFEST), { recursive: true });
    expect(() => readFolder(join(dir, "odd"))).toThrow(`${MANIFEST} is a directory`);
    rmSync(join(dir, "odd", MANIFEST), { recursive: true });
    writeFileSync(join(dir, "odd", MANIFEST), new Uint8Array([0xff, 0xfe]));
    expect(() => readFolder(join(dir, "odd"))).toThrow(`${MANIFEST} is not UTF-8`);
    writeFileSync(join(dir, "odd", MANIFEST), new Uint8Array(300_000));
    expect(() => readFolder(join(dir, "odd"))).toThrow("has more than 256 KiB");
  });
});

describe("the rules of a test", () => {
  test("[test] says them, and nothing else stands there", () => {
    const text = textOf("option", MANIFEST);
    expect(linesOf(readManifest(text, MANIFEST))).toEqual({ client: "set 40", server: "accept 7" });
    const odd = (line: string) => () => readManifest(text.replace('client = "set 40"', line), MANIFEST);
    expect(odd('clients = "set 40"')).toThrow("unknown key");
    expect(odd('client = "unset --all"')).toThrow('test.client: is "unset --all"');
    expect(odd("client = 4")).toThrow("test.client");
  });

  test("left out, they are the first examples, wherever those are for", () => {
    const text = textOf("request", MANIFEST).replace(/\[test\][\s\S]*$/, "");
    expect(linesOf(readManifest(text, MANIFEST))).toEqual({ client: "set 6", server: "accept --max 4" });
    expect(everywhere("set 6 --to 192.0.2.0/24 --port=1 --max 3")).toBe("set 6 --max 3");
  });

  test("a line that is no rule says where it stands", () => {
    const extension = extensionFrom(manifestOf("request"), 8);
    expect(() => rulesFor(extension, "set 7")).toThrow("the test's rule `tcpx my-one set 7`: ");
    expect(() => rulesFor(extension, "give 7")).toThrow("there is no verb 'give'");
  });
});

describe("what was seen", () => {
  const socket = {
    ...{ congestion_control: "cubic", pacing_bytes_per_second: null, priority: 0, mark: 40 },
    ...{ user_timeout_ms: 0, cwnd: 10, rto_ms: 204 },
  };
  const seen = {
    family: "v4" as const,
    syn: ["4d0401"],
    syn_ack: [],
    later: [],
    client: null,
    server: socket,
  };
  const none = { counters: {}, error: null };

  test("is lines for grep", () => {
    const counted = { client: { counters: { applied: 2 }, error: null }, server: none };
    const lines = seenLines([seen], counted);
    expect(lines).toContain("v4 syn 4d0401");
    expect(lines).toContain("v4 server pacing unlimited");
    expect(lines).toContain("v4 server mark 40");
    expect(lines).toContain("client counted applied 2");
    expect(lines.some((line) => line.includes("v4 client"))).toBe(false);
  });

  test("an option is told in the extension's words, or is none of its own", () => {
    const { options = [] } = extensionFrom(manifestOf("option"), 8);
    const exid = manifestOf("option").option!.exid!.toString(16);
    expect(wordsOf(`fe08${exid}00000028`, options)).toBe("my-one 40");
    expect(wordsOf("fe0812340000ffff", options)).toBe("experiment 0x1234, none of its own");
    expect(wordsOf("4d0401ff", options)).toBe("kind 77, none of its own");
    expect(optionTable([{ ...seen, syn: [] }], options)).toBe("");
  });

  test("an option that was not there, or has another length, is doubted", () => {
    const option = { kind: 77, least: 6, most: 6 };
    const all = { asks: false, says: true, speaks: true };
    const doubts = (means = all, client = {}, connections = [{ ...seen, syn: ["fe0812340000ffff"] }]) =>
      doubtsOf(option, means, connections, { client: { ...none, ...client }, server: none });
    expect(doubts(all, {}, [{ ...seen, syn: ["4d0600000028"] }])).toEqual([]);
    expect(doubts({ ...all, says: false })[0]).toContain("no hook say");
    expect(doubts({ ...all, speaks: false })[0]).toContain("tcpx_speak() is never called");
    expect(doubts({ ...all, asks: true, speaks: false })[0]).toEndWith(
      "was not said: the hook say has put nothing",
    );
    expect(doubts()[0]).toContain("tcpx_speak(1) was not reached");
    expect(doubts(all, { tooLong: { times: 2, bytes: 8 } })).toEqual([
      "client: 2 times something was put that did not fit: it takes an option of 8 bytes with its head, and [option] has length = 6",
    ]);
    expect(doubts(all, { tooShort: { times: 1, bytes: 4 } }, [{ ...seen, syn: ["4d040028"] }])).toEqual([
      "client: once the option was too short for its peers: it had 4 bytes with its head, and [option] has length = 6",
    ]);
    expect(doubtsOf(undefined, all, [seen], { client: none, server: none })).toEqual([]);
  });

  test("what the kernel has refused is told with its line", () => {
    const counted = { client: none, server: { counters: { errors: 1 }, error: { line: 12, code: -1 } } };
    expect(countedLines(counted, "x.bpf.c")).toEqual([
      "server: errors 1",
      "server: x.bpf.c:12: the kernel has refused it (EPERM)",
    ]);
  });
});
