// SPDX-License-Identifier: MIT
import { describe, expect, test } from "bun:test";
import { dropInText, notKept, serviceOf, servicesOf, templateText } from "../../cli/system/unit-hook.ts";

describe("services whose rules are kept", () => {
  test.each([
    ["/system.slice/nginx.service", "nginx.service"],
    ["/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"],
    ["/user.slice/user-1000.slice/user@1000.service", "user@1000.service"],
    ["/system.slice/_cpu.x.service", "cpu.x.service"],
  ])("%s", (cgroup, unit) => {
    expect(serviceOf(cgroup)).toBe(unit);
  });

  test.each([
    "/",
    "/nginx.service", // systemd puts services into slices
    "/system.slice",
    "/user.slice/user-1000.slice/session-3.scope",
    "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service",
    "/machine.slice/box.scope/system.slice/nginx.service", // of a container's systemd
    "/system.slice/nginx.service/worker",
  ])("not %s", (cgroup) => {
    expect(serviceOf(cgroup)).toBeUndefined();
  });

  test("each once, and none whose rules nobody knows", () => {
    const name = "/system.slice/a.service";
    const states = [
      { name, damaged: false, visible: true },
      { name, damaged: false, visible: true },
      { name: "/system.slice/b.service", damaged: true, visible: true },
      { name: "/", damaged: false, visible: true },
      { name: "/system.slice/c.service", damaged: false, visible: false },
    ];
    expect(servicesOf(states)).toEqual(["a.service"]);
  });
});

describe("what systemd reads", () => {
  test("the drop-in: a failure is ignored, the sandbox does not hold", () => {
    expect(dropInText("/usr/bin/systemctl").split("\n")).toContain(
      "ExecStartPre=-+/usr/bin/systemctl --quiet start tcpx-unit@%n.service",
    );
  });

  test("the template: words are quoted, with nothing left to expand", () => {
    const text = templateText(["/opt/100% $HOME/tcpx", "/src/main.ts"]);
    expect(text).toContain('ExecStart="/opt/100%% $$HOME/tcpx" "/src/main.ts" internal-unit-start %i\n');
  });
});

test.each([
  ["/", undefined],
  ["/a/b", undefined],
  ["/web.slice", /^when the last unit in web\.slice stops, the rule ends/],
  ["/user.slice/user-7.slice/user@7.service/app.slice/web.service", /^web\.service is of a user's systemd/],
  ["/user.slice/user-7.slice/session-3.scope", /^when session-3\.scope stops, the rule ends/],
  ["/system.slice/no-such-unit.service", /: when no-such-unit\.service stops, the rule ends/],
] as const)("%s: why its rules are not kept", (cgroup, why) => {
  if (why) expect(notKept(cgroup)).toMatch(why);
  else expect(notKept(cgroup)).toBeUndefined();
});
