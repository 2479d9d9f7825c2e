// SPDX-License-Identifier: MIT
import { describe, expect, test } from "bun:test";
import { PROPERTIES } from "../../cli/agent/transient-unit.ts";
import { unitText } from "../../cli/persist/unit.ts";
import { templateText } from "../../cli/system/unit-hook.ts";

/** Settings of the [Service] section. */
function service(text: string): Record<string, string> {
  const section = /^\[Service\]\n([^[]*)/m.exec(text)?.[1] ?? "";
  const lines = section.split("\n").filter((line) => line.includes("="));
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
}

const units: Record<string, Record<string, string>> = {
  "tcpx.service": service(unitText(["/usr/local/bin/tcpx"])),
  "tcpx-unit@.service": service(templateText(["/usr/local/bin/tcpx"])),
  "tcpx-agent.service": PROPERTIES,
};

/** What a unit may be kept from without its work suffering. */
const CONFINED = {
  NoNewPrivileges: "yes",
  ProtectSystem: "strict",
  ReadWritePaths: "/run",
  ProtectHome: "read-only",
  ProtectKernelModules: "yes",
  ProtectKernelLogs: "yes",
  ProtectHostname: "yes",
  ProtectClock: "yes",
  RestrictAddressFamilies: "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
  RestrictRealtime: "yes",
  RestrictSUIDSGID: "yes",
  LockPersonality: "yes",
  SystemCallArchitectures: "native",
  UMask: "0077",
};

describe.each(Object.keys(units))("%s", (name) => {
  const unit = units[name]!;

  test("is confined as the others are", () => expect(unit).toMatchObject(CONFINED));

  test("has the capabilities that BPF and namespaces take, and none to become anybody or load modules", () => {
    const bounding = unit.CapabilityBoundingSet!.split(" ");
    expect(bounding).toEqual(expect.arrayContaining(["CAP_BPF", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"]));
    for (const none of ["SETUID", "SETPCAP", "SYS_MODULE", "DAC_OVERRIDE", "CHOWN", "KILL"]) {
      expect(bounding).not.toContain(`CAP_${none}`);
    }
  });

  test("may make code, and write to bpffs and cgroups", () => {
    for (const none of ["MemoryDenyWriteExecute", "ProtectKernelTunables", "ProtectControlGroups"]) {
      expect(unit[none]).toBeUndefined();
    }
  });
});
