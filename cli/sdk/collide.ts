// SPDX-License-Identifier: MIT
// Names and identifiers that are taken, before a new folder has them.

import { readFileSync } from "node:fs";
import { usageError } from "../base/errors.ts";
import type { NewFile } from "./templates.ts";
import { controlName } from "./templates.ts";

const CONTROLS = "/proc/sys/net/ipv4/tcp_available_congestion_control";

function controls(): string[] {
  try {
    return readFileSync(CONTROLS, "utf8").trim().split(" ");
  } catch {
    return [];
  }
}

/** @throws TcpxError (usage) when somebody else is called so */
export async function requireNew(name: string, files: readonly NewFile[]): Promise<void> {
  const hint = "choose another name";
  if (!files.some((file) => file.name === "extension.toml")) {
    if (!controls().includes(controlName(name))) return;
    throw usageError(`the kernel has a congestion control ${controlName(name)}`, name, hint);
  }
}
