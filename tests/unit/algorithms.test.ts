// SPDX-License-Identifier: MIT
// Which congestion controls are looked for, and when a module is loaded. The modprobe in here is a
// script of our own: nothing is loaded.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ccRequest } from "../../cli/extensions/cc-request.ts";
import { availableAlgorithms, requireAlgorithms } from "../../cli/system/algorithms.ts";
import { ALGORITHMS } from "../../cli/wire/site.ts";

const present = availableAlgorithms();
const [absent, another] = ALGORITHMS.filter((name) => !present.includes(name)) as [string, string];

const path = process.env.PATH;
let dir = "";

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tcpx-modprobe-"));
  const script = join(dir, "modprobe");
  writeFileSync(script, `#!/bin/sh\necho "$@" >> '${dir}/log'\nexit 1\n`);
  chmodSync(script, 0o755);
  process.env.PATH = `${dir}:${path}`;
});

afterEach(() => {
  process.env.PATH = path;
  rmSync(dir, { recursive: true });
});

function loaded(): string[] {
  const log = join(dir, "log");
  return existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : [];
}

const prepare = async (verb: string, args: Record<string, unknown>) => {
  const { drafts, prepare } = { ...ccRequest.verbs[verb]!, ...ccRequest.verbs[verb]!.draft(args) };
  await prepare?.(drafts, false);
};

const unsupported = (name: string) =>
  expect.objectContaining({
    name: "TcpxError",
    code: 3,
    message: `this kernel has no congestion control '${name}'`,
    value: name,
    hint: `it has ${present.join(", ")}`,
  });

describe("requireAlgorithms", () => {
  test("every kernel has reno, under the name that we use", () => {
    expect(present).toContain("reno");
    expect(ALGORITHMS).toContain("reno");
  });

  test("what is there needs no module", async () => {
    await requireAlgorithms([], false);
    await requireAlgorithms(["reno", "reno", ...present], false);
    expect(loaded()).toEqual([]);
  });

  test("what is not there is looked for as a module, then refused with what there is", async () => {
    await expect(requireAlgorithms([absent], false)).rejects.toThrow(unsupported(absent));
    expect(loaded()).toEqual([`-q tcp_${absent}`]);
  });

  test("a dry run asks whether there is a module, and loads none", async () => {
    await expect(requireAlgorithms([absent], true)).rejects.toThrow(unsupported(absent));
    expect(loaded()).toEqual([`-q -n tcp_${absent}`]);
  });

  test("the first that is missing ends it", async () => {
    await expect(requireAlgorithms(["reno", absent, another], false)).rejects.toThrow(unsupported(absent));
    expect(loaded()).toEqual([`-q tcp_${absent}`]);
  });
});

describe("what a rule needs of this host", () => {
  test("a request nothing: the peer does it", async () => {
    await prepare("set", { algorithm: absent });
    await prepare("set", { algorithm: "none" });
    expect(loaded()).toEqual([]);
  });

  test("our own doing the one algorithm, an exemption nothing", async () => {
    await prepare("set", { algorithm: "none", local: true });
    await prepare("set", { algorithm: "reno", local: true });
    expect(loaded()).toEqual([]);
    await expect(prepare("set", { algorithm: absent, local: true })).rejects.toThrow(unsupported(absent));
    expect(loaded()).toEqual([`-q tcp_${absent}`]);
  });

  test("a grant every one of its list, an exemption nothing", async () => {
    await prepare("accept", { algorithms: "none" });
    await prepare("accept", { algorithms: "reno,reno" });
    expect(loaded()).toEqual([]);
    await expect(prepare("accept", { algorithms: `reno,${absent}` })).rejects.toThrow(unsupported(absent));
    expect(loaded()).toEqual([`-q tcp_${absent}`]);
  });

  test("drafting alone, as --dry-run does, looks at nothing", () => {
    for (const algorithms of ["none", absent, ALGORITHMS.join()])
      ccRequest.verbs.accept!.draft({ algorithms });
    expect(loaded()).toEqual([]);
  });
});
