// SPDX-License-Identifier: MIT
// Extensions as one file each, in the folder of a private host: as root would have put them there.
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { packExtension } from "../../cli/packages/package.ts";
import type { PrivateHost } from "./private-host.ts";
import { compileSlot, slotSource } from "./slot-objects.ts";

/** For PrivateHost.create(): what its folder is in. */
export const OWN_ETC = "mkdir -p /etc/tcpx && mount -t tmpfs -o mode=755 tmpfs /etc/tcpx";

/** A package of the source of that name. @param dir for the object */
export async function packed(dir: string, name: string, manifest: string): Promise<Uint8Array> {
  return packExtension({ manifest, name, object: await compileSlot(dir, slotSource(name)) });
}

export class Folder {
  readonly path: string;

  constructor({ init }: PrivateHost) {
    this.path = `/proc/${init}/root/etc/tcpx/extensions`;
    this.clear();
  }

  put(file: string, bytes: Uint8Array | string, mode = 0o644): void {
    mkdirSync(this.path, { recursive: true, mode: 0o755 });
    writeFileSync(`${this.path}/${file}`, bytes);
    chmodSync(`${this.path}/${file}`, mode);
  }

  remove(file: string): void {
    rmSync(`${this.path}/${file}`, { recursive: true, force: true });
  }

  clear(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
