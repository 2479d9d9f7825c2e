// SPDX-License-Identifier: MIT
// Files that root trusts: root's own from / down, whoever else has been there.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { hostKeys } from "../../cli/packages/minisign.ts";
import { readOwnedFile, requireOwnedTree } from "../../cli/system/owned-file.ts";
import { refusal } from "../support/refusal.ts";

const NOBODY = 65_534;
let dir: string;
let file: string;

beforeEach(() => {
  dir = mkdtempSync("/tmp/tcpx-own-"); // a directory that all may write to, with the sticky bit
  chmodSync(dir, 0o755);
  mkdirSync(join(dir, "sub"), { mode: 0o755 });
  file = join(dir, "sub", "x");
  writeFileSync(file, "text", { mode: 0o644 });
});
afterEach(() => rmSync(dir, { recursive: true }));

const read = (path = file, most = 100) => new TextDecoder().decode(readOwnedFile(path, most));
const why = (path = file, most = 100) => {
  const { code, message } = refusal(() => readOwnedFile(path, most));
  return [code, message.replaceAll(dir, "DIR")];
};

test("what is root's from / down is read, below /tmp as well", () => {
  expect(read()).toBe("text");
});

describe("what others can change is refused, and named", () => {
  test("a file or a folder of another user", () => {
    chownSync(file, NOBODY, 0);
    expect(why()).toEqual([4, "DIR/sub/x belongs to uid 65534, not to root"]);
    chownSync(file, 0, 0);
    chownSync(join(dir, "sub"), NOBODY, 0);
    expect(why()).toEqual([4, "DIR/sub belongs to uid 65534, not to root"]);
    // of the file that was named, whichever folder it is that is not root's
    const hint = `a copy that is root's: install -D -m 644 ${file} /etc/tcpx/x`;
    expect(refusal(() => readOwnedFile(file, 100)).hint).toBe(hint);
    const odd = join(dir, "sub", "it's");
    expect(refusal(() => readOwnedFile(odd, 100)).hint).toEndWith(String.raw`it'\''s' '/etc/tcpx/it'\''s'`);
    expect(refusal(() => requireOwnedTree(join(dir, "sub"))).hint).toEndWith(
      `install -D -m 644 -t /etc/tcpx ${dir}/sub/*.tcpx`,
    );
  });

  test("one that a group or all can write to", () => {
    for (const mode of [0o664, 0o646, 0o1666]) {
      chmodSync(file, mode);
      expect(why()).toEqual([4, "DIR/sub/x can be written to by others than root"]);
    }
    chmodSync(file, 0o644);
    chmodSync(dir, 0o775);
    expect(why()).toEqual([4, "DIR can be written to by others than root"]);
    chmodSync(dir, 0o1777);
    expect(read()).toBe("text");
  });

  test("a symbolic link, also on the way", () => {
    symlinkSync(file, join(dir, "link"));
    symlinkSync("sub", join(dir, "through"));
    const said = "is a symbolic link";
    expect(why(join(dir, "link"))).toEqual([4, `DIR/link ${said}`]);
    expect(why(join(dir, "through", "x"))).toEqual([4, `DIR/through ${said}`]);
  });
});

test("what is no file, is not there, or is too long", () => {
  expect(why(dir)).toEqual([2, "DIR is a directory"]);
  expect(why(join(dir, "none"))).toEqual([2, "DIR/none is not there"]);
  expect(why(join(file, "x"))).toEqual([2, "DIR/sub/x is not a directory"]);
  Bun.spawnSync(["mkfifo", join(dir, "fifo")]);
  expect(why(join(dir, "fifo"))).toEqual([2, "DIR/fifo is no regular file"]);
  expect(why("/dev/null")).toEqual([2, "/dev/null is no regular file"]); // and nobody is told to change its mode
  expect(read(file, 4)).toBe("text");
  expect(why(file, 3)[1]).toBe("DIR/sub/x has 4 bytes");
});

test("500 MB are not read", () => {
  truncateSync(file, 500e6);
  const before = process.memoryUsage.rss();
  expect(why(file, 4 << 20)[1]).toBe("DIR/sub/x has 500000000 bytes");
  expect(process.memoryUsage.rss() - before).toBeLessThan(50e6);
});

test("a folder is refused for anything in it", () => {
  requireOwnedTree(dir);
  mkdirSync(join(dir, "sub", "deep"));
  symlinkSync("/etc/passwd", join(dir, "sub", "deep", "link"));
  expect(refusal(() => requireOwnedTree(dir)).message).toContain("deep/link is a symbolic link");
});

describe("keys of a host", () => {
  const keys = () => hostKeys(join(dir, "sub"));

  test("are those files that end in .pub", () => {
    expect(keys()).toEqual([]);
    expect(hostKeys(join(dir, "none"))).toEqual([]);
    Bun.spawnSync(["minisign", "-G", "-W", "-p", join(dir, "sub/us.pub"), "-s", join(dir, "us.key")]);
    expect(keys().map(({ name }) => name)).toEqual(["us"]);
  });

  test("are refused where somebody else can put one, or one is none", () => {
    renameSync(file, join(dir, "sub", "x.pub"));
    expect(refusal(keys).message).toContain("sub/x.pub is no public key of minisign");
    chmodSync(join(dir, "sub"), 0o777);
    expect(refusal(keys)).toMatchObject({ code: 4 });
    chmodSync(join(dir, "sub"), 0o755);
    chownSync(join(dir, "sub", "x.pub"), NOBODY, 0);
    expect(refusal(keys).message).toContain("belongs to uid 65534");
  });
});
