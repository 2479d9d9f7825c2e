// SPDX-License-Identifier: MIT
// Folders of extensions that root works in: whose they are, and what a trial says of an option that was not there.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chownSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Lab } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, every, hasTool, labRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";

const needs = every("all", labRequirement, hasTool("clang"));
const SETUP = "mkdir -p /etc/tcpx; mount -t tmpfs -o mode=755 tmpfs /etc/tcpx";
const USER = 54_321;
const SUDO = ["env", `SUDO_UID=${USER}`, `SUDO_GID=${USER}`];

describeIf(needs.ok, needs.reason)("root in the folder of an extension", () => {
  let lab: Lab;
  let host: PrivateHost;

  beforeAll(async () => {
    lab = await Lab.create();
    host = await PrivateHost.create(lab, { setup: SETUP });
  }, 30_000);
  afterAll(() => lab[Symbol.asyncDispose]());

  const at = (...parts: string[]) => join(lab.dir, ...parts);
  const begun = async (name: string, kind = "local") => {
    await host.ok(["ext", "new", name, "--kind", kind, "--dir", lab.dir]);
    return at(name);
  };
  const give = (folder: string, uid = USER) => {
    for (const file of ["", ...readdirSync(folder)]) chownSync(join(folder, file), uid, uid);
  };
  const change = (file: string, from: RegExp, to: string) => {
    const text = readFileSync(file, "utf8");
    expect(text).toMatch(from);
    writeFileSync(file, text.replace(from, to));
  };
  const lengths = (folder: string, length: string) =>
    change(join(folder, "extension.toml"), /^length = .*$/m, `length = ${length}`);

  test("that of whoever has called sudo is built with that one's rights: nothing else is quoted", async () => {
    const folder = await begun("theirs");
    const bytes = (await host.ok(["ext", "build", folder], { json: true })).json.made;
    give(folder);
    for (const command of ["build", "test"])
      expect(await host.tcpx(["ext", command, folder])).toMatchObject({
        code: 4,
        stderr: expect.stringContaining(`${folder} can be changed by others`),
      });
    expect((await host.ok(["ext", "build", folder], { json: true, wrap: SUDO })).json.made).toEqual(bytes);
    const secret = at("secret.h");
    writeFileSync(secret, "the secret words\n", { mode: 0o600 });
    const source = join(folder, "theirs.bpf.c");
    const good = readFileSync(source, "utf8");
    writeFileSync(source, `${good}#include "${secret}"\n`);
    const { code, stderr } = await host.tcpx(["ext", "build", folder], { wrap: SUDO });
    expect([code, stderr.includes("secret.h"), stderr.includes("secret words")]).toEqual([1, true, false]);
    writeFileSync(source, good);
    await host.ok(["ext", "test", folder], { wrap: SUDO });
  }, 20_000);

  test("a package of somebody else is added as its hint, and the README of its folder, say", async () => {
    const folder = await begun("copied");
    await host.ok(["ext", "build", folder]);
    give(folder);
    const { code, stderr } = await host.tcpx(["ext", "add", join(folder, "copied.tcpx")]);
    expect(code).toBe(4);
    await host.sh(/install -D .*$/m.exec(stderr)![0]);
    const readme = readFileSync(join(folder, "README.md"), "utf8");
    const [copy, add] = readme
      .split("\n")
      .filter((line) => line.startsWith("sudo ") && line.includes("/etc/tcpx"));
    await host.sh(`cd ${folder}; ${copy!.replace("sudo ", "")}`);
    expect(add).toBe("sudo tcpx ext add /etc/tcpx/copied.tcpx");
    await host.ok(["ext", "add", "/etc/tcpx/copied.tcpx"]);
    const removed = await host.ok(["ext", "remove", "copied"]);
    expect(removed.stdout).toContain("which had no rules");
  }, 20_000);

  test("links in it are refused, and a link to it is looked at where it leads", async () => {
    const folder = await begun("linked");
    symlinkSync("linked", at("by-link"));
    await host.ok(["ext", "test", at("by-link")]);
    for (const file of ["README.md", "linked.bpf.c", "extension.toml", "test.sh"]) {
      const whole = join(folder, file);
      const text = readFileSync(whole);
      rmSync(whole);
      symlinkSync("/etc/shadow", whole);
      expect(await host.tcpx(["ext", "build", at("by-link")])).toMatchObject({
        code: 4,
        stderr: expect.stringContaining(`${file} is a link, and root would read what it leads to`),
      });
      rmSync(whole);
      writeFileSync(whole, text);
    }
    await host.ok(["ext", "build", folder]);
  }, 20_000);

  test("an option with another length than the manifest's is told, with both", async () => {
    const folder = await begun("sizes", "option");
    const { json } = await host.ok(["ext", "test", folder], { json: true });
    expect(json.doubts).toEqual([]);
    for (const { client, server } of json.tried) // no segment had to wait for its neighbour
      for (const end of [client, server]) expect(end.rto_ms).toBeLessThan(1000);
    rmSync(join(folder, "test.sh"));
    lengths(folder, "[6, 7]");
    const long = await host.ok(["ext", "test", folder], { json: true });
    const has = "an option of 8 bytes with its head, and [option] has length = [6, 7]";
    expect(long.json.doubts).toEqual([expect.stringMatching(/^client: \d+ times something was put/)]);
    expect(long.json.doubts[0]).toEndWith(has);
    expect(long.stderr).toContain(has);
    lengths(folder, "[9, 12]");
    const short = await host.ok(["ext", "test", folder], { json: true });
    expect(short.json.doubts[0]).toContain("too short for its peers: it had 8 bytes with its head");
    lengths(folder, "8");
    change(join(folder, "sizes.bpf.c"), /TCPX_HOOK\(say\)[^}]*\}/, "TCPX_HOOK(say) { return 0; }");
    const silent = await host.ok(["ext", "test", folder]);
    expect(silent.stdout).toContain("No option on the wire but those of Linux");
    expect(silent.stderr).toContain("[option] was not said: the hook say has put nothing");
  }, 30_000);

  test("dev ends when nobody reads any more", async () => {
    const folder = await begun("unread", "local");
    const said = await host.sh(`${tcpxPath()} ext dev ${folder} 2>&1 | head -n 1`);
    expect(said).not.toContain("whoever has started this is gone");
    expect(await host.sh(`pgrep -f '^${tcpxPath()} ext dev' || true`)).toBe("");
  }, 20_000);
});
