// SPDX-License-Identifier: MIT
// Who answers for a package: signatures by keys of the host, sums, and what comes from elsewhere.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { examine, type Wish } from "../../cli/packages/candidate.ts";
import { type Key, parseKey } from "../../cli/packages/minisign.ts";
import { packExtension, sumsOf } from "../../cli/packages/package.ts";
import { manifestOf, paceObject } from "../support/ext-packages.ts";
import { Lab } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { run } from "../support/process.ts";
import { describeIf, every, hasTool, labRequirement } from "../support/requires.ts";

const needs = every("all", labRequirement, hasTool("clang"), hasTool("minisign"));

describeIf(needs.ok, needs.reason)("who answers for a package", () => {
  let lab: Lab;
  let host: PrivateHost;
  let dir: string;
  let plain: Uint8Array;
  /** Signed by "ours". */
  let signed: Uint8Array;
  let ours: Key;
  let server: ReturnType<typeof Bun.serve>;

  const sha256 = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  const newKey = async (name: string): Promise<Key> => {
    await run(["minisign", "-G", "-W", "-p", join(dir, `${name}.pub`), "-s", join(dir, `${name}.key`)]);
    return parseKey(await Bun.file(join(dir, `${name}.pub`)).text(), name)!;
  };

  beforeAll(async () => {
    lab = await Lab.create();
    dir = lab.dir;
    chmodSync(dir, 0o755);
    host = await PrivateHost.create(lab, {
      setup: "mkdir -p /etc/tcpx; mount -t tmpfs -o mode=755 tmpfs /etc/tcpx",
    });
    const parts = { name: "pace", object: await paceObject(dir), manifest: manifestOf("pace") };
    plain = packExtension(parts);
    ours = await newKey("ours");
    const sums = join(dir, "SUMS");
    await Bun.write(sums, sumsOf(parts));
    await run(["minisign", "-S", "-s", join(dir, "ours.key"), "-m", sums]);
    signed = packExtension({ ...parts, minisig: await Bun.file(`${sums}.minisig`).text() });
    await Bun.write(join(dir, "plain.tcpx"), plain);
    await Bun.write(join(dir, "signed.tcpx"), signed);
    server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(plain.slice()) });
  }, 60_000);
  afterEach(() => host.sh("rm -rf /etc/tcpx/*"));
  afterAll(async () => {
    server.stop(true);
    await lab[Symbol.asyncDispose]();
  });

  const trust = (mode = "644") =>
    host.sh(`mkdir -p /etc/tcpx/keys && install -m ${mode} ${dir}/ours.pub /etc/tcpx/keys/ours.pub`);

  describe("as it is looked at", () => {
    const why = (bytes: Uint8Array, wish: Wish) =>
      examine(bytes, "x", wish).then(
        ({ signedBy }) => signedBy,
        (error: Error & { code: number }) => [error.code, error.message],
      );

    test("from here it need not be signed; from elsewhere it has a sum, or a signature by a key of ours", async () => {
      const theirs = await newKey("theirs");
      const comment = expect.stringMatching(/^timestamp:\d+ file:SUMS/);
      const by = { key: "ours", id: ours.id, comment };
      expect(await why(plain, { keys: [ours] })).toBeNull();
      expect(await why(signed, { keys: [ours] })).toEqual(by);
      expect(await why(signed, { keys: [theirs] })).toBeNull();
      expect(await why(signed, { keys: [ours], isForeign: true })).toEqual(by);
      expect(await why(plain, { keys: [ours], isForeign: true })).toEqual([4, "x is not signed"]);
      expect(await why(signed, { keys: [theirs], isForeign: true })).toEqual([
        ...[4, `x is signed by key ${ours.id}, which is not below /etc/tcpx/keys`],
      ]);
      expect(await why(plain, { keys: [], isForeign: true, sha256: sha256(plain) })).toBeNull();
      expect(await why(plain, { keys: [], isForeign: true, sha256: sha256(signed) })).toEqual([
        ...[2, expect.stringContaining("x is not what --sha256 says")],
      ]);
    });

    test("a signature of other sums is wrong, wherever it is from", async () => {
      const other = manifestOf("pace", { version: "6.6.6" });
      const minisig = await Bun.file(join(dir, "SUMS.minisig")).text();
      const forged = packExtension({ name: "pace", object: await paceObject(dir), manifest: other, minisig });
      for (const isForeign of [true, false])
        expect(await why(forged, { keys: [ours], isForeign })).toEqual([
          ...[2, `x: its signature by key ${ours.id} (ours) is wrong`],
        ]);
    });
  });

  test("verify says who has signed it, and whose key is not here", async () => {
    const file = join(dir, "signed.tcpx");
    const unknown = await host.ok(["ext", "verify", file], { json: true });
    expect(unknown.json).toMatchObject({ unknown_key: ours.id, package: { signed_by: null } });
    await trust();
    const known = await host.ok(["ext", "verify", file], { json: true });
    expect(known.json).toMatchObject({
      ...{
        unknown_key: null,
        package: {
          signed_by: { key: "ours", key_id: ours.id, trusted_comment: expect.stringContaining("SUMS") },
        },
      },
    });
    expect((await host.ok(["ext", "add", file])).stdout).toContain(`signed by ours, key ${ours.id}`);
    expect((await host.ok(["ext", "list"])).stdout).toMatch(/pace .* ours /);
    await trust("664");
    const { code, stderr } = await host.tcpx(["ext", "verify", file]);
    expect([code, stderr]).toEqual([
      4,
      expect.stringContaining("ours.pub can be written to by others than root"),
    ]);
  });

  test("by http with its sum, and never without", async () => {
    const url = `http://127.0.0.1:${server.port}/pace.tcpx`;
    const bare = await host.tcpx(["ext", "add", url]);
    expect([bare.code, bare.stderr]).toEqual([2, expect.stringContaining("http:// with --sha256")]);
    const wrong = await host.tcpx(["ext", "add", url, "--sha256", sha256(signed)]);
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining("is not what --sha256 says")]);
    expect(await host.sh("find /etc/tcpx -mindepth 1")).toBe("");
    await host.ok(["ext", "add", url, "--sha256", sha256(plain).toUpperCase()]);
    expect((await host.sh("find /etc/tcpx -type f")).trim()).toBe("/etc/tcpx/extensions/8-pace.tcpx");
  });
});
