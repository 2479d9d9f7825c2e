// SPDX-License-Identifier: MIT
// What a system with `tcpx persist` on finds on its disk when it starts. Made by the host: the guest has no cli/.

import { mkdir, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { POLICY, UNIT_FILE, unitText } from "../../cli/persist/unit.ts";

const FILES: Record<string, string> = {
  [UNIT_FILE]: unitText(["/usr/sbin/tcpx"]),
  [POLICY]: `[[scope]]
[[scope.uto]]
set = "20s"
to = "192.0.2.0/24"
[[scope.cc-request]]
accept = "bbr"

[[scope]]
unit = "nginx.service"
[[scope.uto]]
set = "30s"
[[scope.ack]]
set = true
every = 8
`,
};
const ENABLED = {
  "sysinit.target": UNIT_FILE,
  "multi-user.target": "/usr/lib/systemd/system/nginx.service",
};

/** Makes a folder to be laid over the guest's root. */
export async function bootFolder(folder: string): Promise<string> {
  for (const [target, file] of Object.entries(ENABLED)) {
    const wants = join(folder, `etc/systemd/system/${target}.wants`);
    await mkdir(wants, { recursive: true });
    await symlink(file, join(wants, basename(file)));
  }
  for (const [path, text] of Object.entries(FILES)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  return folder;
}
