// SPDX-License-Identifier: MIT
// `tcpx persist off` where systemd does not run: nothing is kept there, unless a unit of ours lies there.
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { unitText } from "../../cli/persist/unit.ts";
import { Lab } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";

const FOLDER = "/etc/systemd/system";
const UNIT = `${FOLDER}/tcpx.service`;
const WANTS = `${FOLDER}/sysinit.target.wants`;

describeIf(labRequirement.ok, labRequirement.reason)("persist off without systemd", () => {
  let lab: Lab;
  let host: PrivateHost;

  beforeAll(async () => {
    lab = await Lab.create();
    const setup = ["/etc/systemd", "/etc/tcpx"]
      .map((path) => `mkdir -p ${path} && mount -t tmpfs tmpfs ${path}`)
      .join("; ");
    host = await PrivateHost.create(lab, { setup });
  });
  beforeEach(() => host.sh(`rm -rf ${FOLDER} && mkdir -p ${WANTS}`));
  afterAll(() => lab[Symbol.asyncDispose]());

  const left = async () =>
    (await host.sh(`find ${FOLDER} -mindepth 1 ! -type d`)).split("\n").filter(Boolean);
  const put = (path: string, text: string) => host.sh(`cat >${path} <<'END'\n${text}\nEND`);

  test("there is nothing to do: exit 0", async () => {
    expect(await host.tcpx(["persist", "off"])).toMatchObject({ code: 0, stdout: "no change\n", stderr: "" });
    expect((await host.ok(["persist", "off"], { json: true })).json.changed).toBe(false);
    expect((await host.tcpx(["persist", "on"])).code).toBe(3);
    expect((await host.tcpx(["persist", "status"])).code).toBe(3);
  });

  test("it takes root, and none of the capabilities that rules need", async () => {
    const other = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    await put(UNIT, unitText(["/opt/old/tcpx"]));
    const { code, stderr } = await host.tcpx(["persist", "off"], { wrap: other });
    expect([code, stderr]).toEqual([4, expect.stringMatching(/^tcpx: not permitted: [^\n]+ run it as root/)]);
    expect(await left()).toEqual([UNIT]);
    const poor = ["setpriv", "--bounding-set", "-bpf,-net_admin,-perfmon,-sys_admin"];
    expect((await host.ok(["persist", "off"], { wrap: poor, json: true })).json.changed).toBe(true);
    expect(await left()).toEqual([]);
  });

  test("a unit of ours goes, and what enables it; the policy stays", async () => {
    await put(UNIT, unitText(["/opt/old/tcpx"]));
    await host.sh(`ln -s ${UNIT} ${WANTS}/ && ln -s /nowhere ${WANTS}/other.service`);
    await put("/etc/tcpx/policy.toml", "scope = []");
    const { json } = await host.ok(["persist", "off"], { json: true });
    expect(json).toMatchObject({ changed: true, policy: "/etc/tcpx/policy.toml" });
    expect(await left()).toEqual([`${WANTS}/other.service`]);
    expect((await host.ok(["persist", "off"])).stdout).toStartWith("no change\n");
  });

  test("a link that has lost its unit goes, too", async () => {
    await host.sh(`ln -s ${UNIT} ${WANTS}/`);
    expect((await host.ok(["persist", "off"], { json: true })).json.changed).toBe(true);
    expect(await left()).toEqual([]);
  });

  test.each([
    ["a unit of somebody's", `echo '[Unit]' >${UNIT}`],
    ["a masked one", `ln -s /dev/null ${UNIT}`],
    ["a named pipe", `mkfifo ${UNIT}`],
    ["a directory", `mkdir ${UNIT}`],
  ])("%s is left alone, at once", async (_, script) => {
    await host.sh(script);
    const before = await host.sh(`ls -lR ${FOLDER}`);
    const { stdout, stderr } = await host.ok(["persist", "off"]);
    expect(stdout).toStartWith("no change\n");
    expect(stderr).toMatch(/^tcpx: warning: \S+ was not made by `tcpx persist on`: it is left alone\n$/);
    expect(await host.sh(`ls -lR ${FOLDER}`)).toBe(before);
  });
});
