// SPDX-License-Identifier: MIT
// Services whose next cgroup is to get programs of others. Their names stand in bpffs as names of directories, in
// hexadecimal digits, since a pin has no dots: whoever has the lock can tell systemd of them, whatever the programs are.

import { join } from "node:path";
import { listPins } from "../bridge/maps.ts";
import { topDir } from "./pins.ts";

const PREFIX = "unit-";

/** Whole programs of others: cli/programs/place.ts says what is in there. */
export const programsDir = (bpffs: string) => join(topDir(bpffs), "programs");

/** The directory that says so, in a program's. */
export const servicePin = (service: string) => `${PREFIX}${Buffer.from(service).toString("hex")}`;

/** The service that a program's directory names; undefined: it is of none. */
export function serviceIn(home: string): string | undefined {
  const name = listPins(home).find((one) => one.startsWith(PREFIX));
  return name && Buffer.from(name.slice(PREFIX.length), "hex").toString();
}

/** Every service with such programs, each once. */
export function programServices(bpffs: string): string[] {
  const top = programsDir(bpffs);
  const homes = listPins(top).flatMap((where) =>
    listPins(join(top, where)).map((name) => join(top, where, name)),
  );
  return [...new Set(homes.flatMap((home) => serviceIn(home) ?? []))];
}
