// SPDX-License-Identifier: MIT
// A package on this kernel: linked to our program, and loaded with a rule of each of its kinds. Nothing is attached,
// and nothing is pinned, so nothing is left.

import { TcpxError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { HOOKS, linkObjects } from "../bridge/link.ts";
import { addExtension } from "../extensions/index.ts";
import { loadGeneration } from "../loader/generation.ts";
import { provideSlots, type SlotObject } from "../loader/slots.ts";
import { extensionFrom } from "../manifest/extension.ts";
import { describeSlot, wordsOf } from "../manifest/slot.ts";
import type { Manifest } from "../manifest/types.ts";
import type { Kind, Rule, Selector, Value } from "../policy/rule.ts";
import { DEFAULT_SITE } from "../wire/site.ts";
import type { Candidate } from "./candidate.ts";

const ANY: Selector = { direction: "both", family: 0, address: new Uint8Array(16), prefix: 0, port: 0 };

/** Kinds of rules that its verbs make. */
export const kindsIn = ({ verbs }: Pick<Manifest, "verbs">): Kind[] => [
  ...new Set(verbs.flatMap(({ kind, orLocal }): Kind[] => (orLocal ? [kind, "local"] : [kind]))),
];

/** As the loader takes it. @param id that it has, or would get */
export const slotObject = ({ manifest, package: { object } }: Candidate, id: number): SlotObject => ({
  ...describeSlot(manifest, id),
  bytes: object,
});

/** Makes it the extension with this number, for this process. @param others where all others come from */
export function provide(candidate: Candidate, id: number, others: Parameters<typeof provideSlots>[0]): void {
  addExtension(extensionFrom(candidate.manifest, id));
  const own = slotObject(candidate, id);
  provideSlots((wanted) => (wanted === id ? own : others(wanted)));
}

/** A rule for all connections, whose words are the least that it may have. */
function ruleOf(manifest: Manifest, kind: Kind): Rule {
  const value = Array<number>(wordsOf(manifest)).fill(0);
  for (const { word, least } of manifest.values) value[word] = least;
  const words = value as unknown as Value;
  return { ext: manifest.name, kind, selector: ANY, netns: null, none: false, force: false, value: words };
}

/** Names of its hooks, in the order of their bits. @throws TcpxError when it cannot be linked */
export async function hooksOf(lib: Bridge, name: string, object: Uint8Array): Promise<string[]> {
  const { hooks } = await linkObjects(lib, [{ name, slot: 0, bytes: object }]);
  const bits = hooks.get(0) ?? 0;
  return HOOKS.filter((_, bit) => (bits >>> bit) & 1);
}

/**
 * Loads the program with this extension alone, and lets it go again. provide() it first.
 * @throws TcpxError (unsupported) when the verifier refuses it
 */
export async function tryLoading(lib: Bridge, { where, manifest }: Candidate, id: number): Promise<void> {
  try {
    using _ = await loadGeneration(lib, {
      scope: { id: 1n, recorded: { name: "", base: 0n, keeper: 0n } },
      rules: kindsIn(manifest).map((kind) => ruleOf(manifest, kind)),
      site: DEFAULT_SITE,
      shared: {},
      usesAround: 1 << id,
      foreign: false,
      holdsResets: false,
    });
  } catch (error) {
    if (!(error instanceof TcpxError)) throw error;
    throw new TcpxError(error.code, `${where}: ${error.message}`, {
      value: where,
      hint: "nothing was changed; the verifier's whole words are there with --verbose",
      cause: error,
    });
  }
}
