// SPDX-License-Identifier: MIT
// Runs inside the guest: every feature in turn.

import { bpfObjects } from "./bpf-objects.ts";
import { features } from "./features.ts";
import { runFeatures } from "./run-features.ts";

const before = bpfObjects();
await runFeatures(features.map(({ name, run }) => ({ name, run: () => run({ before }) })));
