// SPDX-License-Identifier: MIT
// The private configuration of apt, read back by apt itself, and what the VM ring makes of the host's.

import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseSources, privateApt } from "../../scripts/lib/private-apt.ts";
import { run } from "../../scripts/lib/run.ts";
import { complaintsIn, withSuites } from "../../scripts/vm/archive.ts";
import { requirement, testIf } from "../support/requires.ts";

const dir = mkdtempSync(join(tmpdir(), "tcpx-apt-test-"));
const saved = process.env.APT_CONFIG;
afterAll(() => {
  if (saved === undefined) delete process.env.APT_CONFIG;
  else process.env.APT_CONFIG = saved;
  rmSync(dir, { recursive: true, force: true });
});

const entry = (suites: string[], uri = "http://a.invalid/debian") => ({
  uris: [uri],
  suites,
  components: ["main"],
  signedBy: "/k/a.gpg",
});

describe("the private configuration", () => {
  const apt = requirement("apt", Bun.which("apt-config") !== null, "apt-config");

  testIf(apt.ok, apt.reason)("has the host's proxies, and neither its hooks nor its trust", async () => {
    const host = join(dir, "host.conf");
    process.env.APT_CONFIG = host;
    writeFileSync(
      host,
      `Acquire::http::Proxy "http://proxy.invalid:3128";
Acquire::AllowInsecureRepositories "true";
APT::Get::AllowUnauthenticated "true";
APT::Update::Pre-Invoke { "touch ${dir}/hook"; };
`,
    );
    const root = join(dir, "apt");
    const env = await privateApt(root, [entry(["sid"])], "deb", { "APT::Architecture": "amd64" });
    const dump = (await run(["apt-config", "dump"], { env })).split("\n");
    expect(dump).toContain('Acquire::http::Proxy "http://proxy.invalid:3128";');
    expect(dump).toContain('Acquire::AllowInsecureRepositories "false";');
    expect(dump).toContain('APT::Get::AllowUnauthenticated "false";');
    expect(dump).toContain('APT::Architecture "amd64";');
    expect(dump).toContain(`Dir::Etc::sourceparts "${root}/parts";`);
    expect(dump.filter((line) => line.includes("hook"))).toEqual([]);
    const text = readFileSync(join(root, "parts/0.sources"), "utf8");
    expect(text).toStartWith("Types: deb\n");
    expect(parseSources(text)).toEqual([entry(["sid"])]);
  });
});

describe("other suites of the same mirrors", () => {
  test("a security suite is where the host's own is, the others where its release is", () => {
    const security = "http://a.invalid/debian-security";
    const host = [
      entry(["bookworm", "bookworm-updates"]),
      entry(["bookworm-security"], security),
      entry(["nodistro"], "http://b.invalid/"),
    ];
    expect(withSuites(host, "bookworm", ["trixie", "trixie-security", "sid"])).toEqual([
      entry(["trixie", "sid"]),
      entry(["trixie-security"], security),
    ]);
  });

  test("apt's complaints name the suite and not the mirror, each once", () => {
    const error = new Error(`apt-get -q update --error-on=any failed (100):
E: Failed to fetch http://a.invalid/debian/dists/sid/InRelease  Could not connect
E: Failed to fetch http://b.invalid/debian/dists/sid/InRelease  Could not connect
E: Failed to fetch http://a.invalid/debian/pool/main/l/x.deb  404
Ign:1 http://a.invalid/debian sid InRelease
`);
    expect(complaintsIn(error)).toEqual([
      "E: Failed to fetch sid/InRelease Could not connect",
      "E: Failed to fetch 404",
    ]);
  });
});
