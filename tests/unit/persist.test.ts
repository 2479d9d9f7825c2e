// SPDX-License-Identifier: MIT
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { read, write } from "../../cli/persist/files.ts";
import { POLICY, unitText } from "../../cli/persist/unit.ts";

const lines = unitText(["/usr/local/bin/tcpx"]).split("\n");

test("the unit applies the policy before the network and the services are there", () => {
  expect(lines).toContain(`ExecStart="/usr/local/bin/tcpx" apply --wait --prepare-units ${POLICY}`);
  expect(lines).toContain("Before=sysinit.target network-pre.target shutdown.target");
  expect(lines).toContain("WantedBy=sysinit.target");
});

test("the unit may make code, and has what BPF needs", () => {
  expect(lines.some((line) => line.startsWith("MemoryDenyWriteExecute"))).toBe(false);
  const bounding = lines.find((line) => line.startsWith("CapabilityBoundingSet="))!.split(/[= ]/);
  expect(bounding).toContain("CAP_BPF");
  expect(bounding).not.toContain("CAP_SYS_MODULE");
  // bpffs and cgroups are written to
  for (const name of ["ProtectKernelTunables", "ProtectControlGroups"]) {
    expect(lines.some((line) => line.startsWith(name))).toBe(false);
  }
});

test("a file is written in one step, and only when it differs", () => {
  const dir = mkdtempSync(join(tmpdir(), "tcpx-persist-"));
  const path = join(dir, "a", "policy.toml");
  expect(read(path)).toBeUndefined();
  expect(write(path, "one\n")).toBe(true);
  expect(write(path, "one\n")).toBe(false);
  expect(write(path, "two\n")).toBe(true);
  expect(read(path)).toBe("two\n");
  expect(readdirSync(join(dir, "a"))).toEqual(["policy.toml"]);
  expect(() => write(join(path, "below"), "x")).toThrow("cannot be written (");
  rmSync(dir, { recursive: true });
});
