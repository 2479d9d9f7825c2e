// SPDX-License-Identifier: MIT
// The pure parts of `bun run release`.

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { shippedPackages } from "../../scripts/lib/licences.ts";
import { TARGETS, targetsNamed } from "../../scripts/lib/targets.ts";
import { withReleasesUrl } from "../../scripts/release/installer.ts";
import { sha256, sumsText } from "../../scripts/release/sums.ts";

const ROOT = resolve(import.meta.dir, "../..");
const script = readFileSync(join(ROOT, "install.sh"), "utf8");

describe("targets", () => {
  test("names of files, of Bun and of its packages", () => {
    expect(TARGETS.map(({ name, bun, runtime }) => [name, bun, runtime])).toEqual([
      ["x64", "bun-linux-x64", "@oven/bun-linux-x64"],
      ["x64-musl", "bun-linux-x64-musl", "@oven/bun-linux-x64-musl"],
      ["arm64", "bun-linux-arm64", "@oven/bun-linux-aarch64"],
      ["arm64-musl", "bun-linux-arm64-musl", "@oven/bun-linux-aarch64-musl"],
    ]);
  });

  test("by name, in their order; none means all; an unknown one is an error", () => {
    expect(targetsNamed(["arm64", "x64"]).map(({ name }) => name)).toEqual(["x64", "arm64"]);
    expect(targetsNamed([])).toEqual([...TARGETS]);
    expect(() => targetsNamed(["arm64", "riscv64"])).toThrow("no target riscv64: x64, x64-musl, arm64,");
  });

  test("their Bun is the one that package.json pins, and the lock file has its sums", () => {
    const pinned = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).packageManager.slice(
      "bun@".length,
    );
    const folder = join(ROOT, "scripts/release/runtimes");
    const { dependencies } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    expect(dependencies).toEqual(Object.fromEntries(TARGETS.map(({ runtime }) => [runtime, pinned])));
    const lock = readFileSync(join(folder, "bun.lock"), "utf8");
    for (const { runtime } of TARGETS) {
      expect(lock).toMatch(new RegExp(`\\["${runtime}@${pinned}", "", .*"sha512-[A-Za-z0-9+/=]{88}"\\]`));
    }
  });
});

test("SHA256SUMS is sorted by bytes, whatever the order of building", () => {
  const sums = new Map([
    ["b", sha256("1")],
    ["B", sha256("2")],
    ["a", sha256("3")],
  ]);
  const text = sumsText(sums);
  expect(text).toBe(sumsText(new Map([...sums].reverse())));
  expect(text.split("\n").map((line) => line.slice(64))).toEqual(["  B", "  a", "  b", ""]);
  expect(sha256("")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
});

describe("install.sh as it is published", () => {
  test("has the URL, and is otherwise the same", () => {
    const published = withReleasesUrl(script, "https://example.org/tcpx/");
    expect(published).toContain("RELEASES_URL='https://example.org/tcpx'\n");
    expect(published.replace("https://example.org/tcpx", "")).toBe(script);
  });

  test("takes no URL that a shell would read", () => {
    for (const url of [
      "https://a/'; rm x; '",
      "https://a/$(x)",
      "https://a/ b",
      "file:///a",
      "https://a\nb",
      "",
    ]) {
      expect(() => withReleasesUrl(script, url)).toThrow("--base-url wants a plain");
    }
  });
});

test("all packages that are bundled are found, with those that they need", async () => {
  const names = [...(await shippedPackages(ROOT)).keys()];
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  expect(names).toEqual([...names].sort());
  for (const name of Object.keys(dependencies)) expect(names).toContain(name);
  // of a package that needs others
  const needed = await shippedPackages(join(ROOT, "node_modules", "ajv"));
  expect([...needed.keys()]).toContain("json-schema-traverse");
});
