// SPDX-License-Identifier: MIT
// What has come of a start with `tcpx persist` on (systemd-boot-folder.ts).

import { until } from "../support/lab.ts";
import { type Result, works } from "./report.ts";
import { check, tcpxOk } from "./support.ts";
import { expectTimeout, property } from "./systemd-support.ts";

const UNIT = "tcpx.service";
const NGINX = "/system.slice/nginx.service";

const when = async (unit: string, name: string) => Number(await property(unit, `${name}TimestampMonotonic`));

export async function persistedBoot(): Promise<Result> {
  const done = async () => (await property(UNIT, "ActiveState")) === "active";
  check(await until(done, 60_000), `${UNIT} is ${await property(UNIT, "ActiveState")}`);
  const { json } = await tcpxOk(["persist", "status"]);
  check(json.enabled && json.last_result === "success", `status says ${JSON.stringify(json)}`);
  const { scopes, agent } = (await tcpxOk(["status"])).json;
  const names = scopes.map((scope: { unit: string | null; cgroup: string }) => scope.unit ?? scope.cgroup);
  check(names.join(" ") === "/ nginx.service", `rules are in ${names}`);
  // a module, which the unit is not allowed to load
  const grants = scopes[0].rules.filter((rule: { extension: string }) => rule.extension === "cc-request");
  check(grants.length === 1, "the grant of bbr is missing");
  check(agent.running && agent.cgroups.includes(NGINX), `the agent: ${JSON.stringify(agent)}`);
  // before the service's program, of which systemd knows when it began
  const [applied, began] = [await when(UNIT, "ExecMainExit"), await when("nginx.service", "ExecMainStart")];
  check(applied > 0 && applied < began, `nginx began ${(applied - began) / 1e6} s before it had its rules`);
  await expectTimeout(NGINX, 80, 30_000, "after the start of the system");
  await tcpxOk(["persist", "off"]);
  const late = ((began - applied) / 1e6).toFixed(1);
  return works(`nginx began ${late} s after its rules`);
}
