// SPDX-License-Identifier: MIT
// Runs inside the guest with systemd, as a service of it.

import { runFeatures } from "./run-features.ts";
import { systemdFeatures } from "./systemd-features.ts";

await runFeatures(systemdFeatures, 180_000);
