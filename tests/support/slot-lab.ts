// SPDX-License-Identifier: MIT
// Rules for extensions that tcpx does not ship, written through the loader: there is no command for them yet.
import { bridge } from "../../cli/bridge/bridge.ts";
import { addExtension } from "../../cli/extensions/index.ts";
import { slotExtension, slotProblem } from "../../cli/extensions/slots.ts";
import { findScope } from "../../cli/loader/cgroup-place.ts";
import { provideSlots, type SlotObject } from "../../cli/loader/slots.ts";
import { readScope } from "../../cli/loader/state.ts";
import { lock, replaceRules } from "../../cli/loader/store.ts";
import type { Kind, Rule, Value } from "../../cli/policy/rule.ts";
import type { Side } from "./uto-lab.ts";

/** Makes these the extensions that this host has. */
export function haveSlots(objects: readonly SlotObject[]): void {
  for (const object of objects) {
    const wrong = slotProblem(object);
    if (wrong !== undefined) throw new Error(`${object.name}: ${wrong}`);
    addExtension(slotExtension(object));
  }
  provideSlots((id) => objects.find((object) => object.id === id));
}

export interface Wanted {
  ext: string;
  kind: Kind;
  value: number[];
  none?: boolean;
}

/** For all connections of a scope. */
export function ruleOf({ ext, kind, value, none = false }: Wanted): Rule {
  return {
    ext,
    kind,
    selector: { direction: "both", family: 0, address: new Uint8Array(16), prefix: 0, port: 0 },
    netns: null,
    none,
    force: false,
    value: [value[0] ?? 0, value[1] ?? 0, ...value.slice(2)] as Value,
  };
}

/** Puts rules beside those that a scope has; with none, takes all of them away. */
export async function addRules(
  where: Pick<Side, "cgroup"> | string,
  wanted: readonly Wanted[],
): Promise<void> {
  const lib = await bridge();
  using held = await lock(lib, { ms: 10_000 });
  const scope = findScope(lib, typeof where === "string" ? where : where.cgroup);
  const present = wanted.length === 0 ? [] : (readScope(lib, scope.id)?.rules ?? []);
  await replaceRules(lib, held, scope, [...present, ...wanted.map(ruleOf)]);
}
