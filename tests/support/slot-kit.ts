// SPDX-License-Identifier: MIT
// A program with an extension in every slot, ready to be loaded where there is no loader: in guests. Made by the
// loader's own parts.
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { bridge } from "../../cli/bridge/bridge.ts";
import { addExtension } from "../../cli/extensions/index.ts";
import {
  exidsOf,
  FIRST_SLOT,
  SLOTS,
  type SlotDescription,
  slotExtension,
} from "../../cli/extensions/slots.ts";
import { LAYOUT_VERSION } from "../../cli/layout/layout.generated.ts";
import { encode } from "../../cli/layout/struct.ts";
import { encodeProfiles, kindsOf, planProfiles, usesOf } from "../../cli/loader/profiles.ts";
import { encodeExids, encodeKeys, encodeSite } from "../../cli/loader/records.ts";
import { type SlotObject, slotted } from "../../cli/loader/slots.ts";
import { packExtension } from "../../cli/packages/package.ts";
import { flatten } from "../../cli/policy/flatten.ts";
import { valueWords } from "../../cli/policy/rule.ts";
import { DEFAULT_SITE } from "../../cli/wire/site.ts";
import { GRADE, PACE } from "./manifests.ts";
import { haveSlots, ruleOf, type Wanted } from "./slot-lab.ts";
import { compileSlot, DESCRIPTIONS, slotSource } from "./slot-objects.ts";

const ROOT = resolve(import.meta.dir, "../..");

/** Bytes that tcpx_ext.h promises to a hook. */
const STACK = 128;

/** What the guest's test expects of a connection: see tests/vm/slots.ts. */
const RULES: Wanted[] = [
  { ext: "uto", kind: "local", value: [20_000] },
  { ext: "pace", kind: "local", value: [1_500_000] },
  { ext: "grade", kind: "ask", value: [6] },
  { ext: "grade", kind: "accept", value: [4] },
  { ext: "note", kind: "ask", value: [0x01020304] },
  { ext: "note", kind: "accept", value: [0] },
];

/** Behind those three, the slots that are left: with every hook, and a rule of each kind. */
function others(): SlotDescription[] {
  const taken = Object.values(DESCRIPTIONS).map(({ id }) => id);
  const ids = Array.from({ length: SLOTS }, (_, slot) => FIRST_SLOT + slot).filter(
    (id) => !taken.includes(id),
  );
  return ids.map((id, i) =>
    i % 2 === 0
      ? { id, name: `every-${id}`, option: { exid: 0x7e00 + id, least: 5, most: 12, onSynAck: "always" } }
      : { id, name: `every-${id}`, exchange: { askExid: 0x7e10 + id, answerExid: 0x7e20 + id, refused: 9 } },
  );
}

/** What a host's folder of extensions has of two of them. */
async function writePackages(to: string, objects: readonly SlotObject[]): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const manifest of [PACE.replace("force = true", "live = true"), GRADE]) {
    const name = /^name = "(.*)"$/m.exec(manifest)![1]!;
    const { id, bytes } = objects.find((object) => object.name === name)!;
    const file = packExtension({ manifest, name, object: bytes });
    await writeFile(join(to, `${id}-${name}.tcpx`), file, { mode: 0o644 });
  }
}

/** The files of it, in `to`. */
export async function writeKit(to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  const lib = await bridge();
  const every = await compileSlot(to, slotSource("every"), `-DSTACK=${STACK}`);
  const real = Object.values(DESCRIPTIONS).map(async (description) => ({
    ...description,
    bytes: await compileSlot(to, slotSource(description.name)),
  }));
  const objects = [...(await Promise.all(real)), ...others().map((of) => ({ ...of, bytes: every }))];
  haveSlots(objects);
  for (const object of objects) addExtension(slotExtension(object));
  // rules that match nothing here, so that verifiers look at all of it
  const idle = others().flatMap(({ name }) =>
    (["ask", "local", "accept"] as const).map((kind) => ({
      ...ruleOf({ ext: name, kind, value: [1] }),
      selector: {
        direction: "both" as const,
        family: 0 as const,
        address: new Uint8Array(16),
        prefix: 0,
        port: 9,
      },
    })),
  );
  const rules = [...RULES.map(ruleOf), ...idle];
  const table = flatten(rules);
  const words = valueWords(rules);
  const plan = planProfiles(rules, table, words);
  const slots = (await slotted(lib, usesOf(rules), usesOf(rules), words))!;
  const exids = new Map(objects.map((object) => [object.id, exidsOf(object)]));
  const config = encode("tcpx_config", {
    ...{ layout: LAYOUT_VERSION, rule_count: rules.length, scope: 1n, use_ports: 1, use_from: 1 },
    ...{ jiffy_us: 4000, site: encodeSite(DEFAULT_SITE), uses: slots.uses, places: plan.places },
    kinds_to: kindsOf(rules, "to"),
    kinds_from: kindsOf(rules, "from"),
    exids: encodeExids(DEFAULT_SITE).map((row, id) => exids.get(id) ?? row),
  });
  await writeFile(join(to, "linked.o"), slots.bytes);
  await copyFile(join(ROOT, "build/libtcpx.so"), join(to, "libtcpx.so"));
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
  const kit = {
    rodata: hex(Buffer.concat([config, slots.config])),
    profile: plan.size,
    profiles: hex(encodeProfiles(plan, 1n, 0, plan.profiles.length)),
    keys: hex(encodeKeys(table.entries)),
    numbers: [...plan.numbers],
  };
  await writePackages(join(to, "packages"), objects);
  await writeFile(join(to, "kit.json"), JSON.stringify(kit));
}
