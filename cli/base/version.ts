// SPDX-License-Identifier: MIT
// What this executable was built from.

import build from "../../build/build.json" with { type: "json" };

export const version: string = build.version;
export const buildInfo: { version: string; bun: string; libraries: Record<string, string> } = build;
