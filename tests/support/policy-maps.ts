// SPDX-License-Identifier: MIT
// The bytes of the look-up table and its profiles, read as embedded-bpf/policy.bpf.h reads them.
import { structs } from "../../cli/layout/layout.generated.ts";
import { LITTLE } from "../../cli/layout/struct.ts";
import { encodeProfiles, planProfiles } from "../../cli/loader/profiles.ts";
import { encodeKeys } from "../../cli/loader/records.ts";
import type { Table } from "../../cli/policy/flatten.ts";
import { type Rule, valueWords } from "../../cli/policy/rule.ts";

export interface ReadRule {
  flags: number;
  prefix: number;
  id: number;
  value: number[];
}

const NONE: ReadRule = { flags: 0, prefix: 0, id: 0, value: [0, 0] };
const AT = structs.tcpx_rule.fields;

/** @returns the keys of the entries, and of each the rule of an extension and a kind */
export function policyMaps(
  scope: bigint,
  table: Table,
  rules: Rule[],
  numbersFor?: Parameters<typeof planProfiles>[3],
): { keys: Uint8Array; profiles: number; rule: (entry: number, ext: number, kind: number) => ReadRule } {
  const plan = planProfiles(rules, table, valueWords(rules), numbersFor);
  const bytes = encodeProfiles(plan, scope, 0, plan.profiles.length);
  const view = new DataView(bytes.buffer);
  const words = valueWords(rules);
  return {
    keys: encodeKeys(table.entries),
    profiles: plan.profiles.length,
    rule(entry, ext, kind) {
      const place = plan.places[ext]![kind]!;
      if (place === 0) return NONE;
      const at = plan.numbers[entry]! * plan.size + place;
      return {
        flags: view.getUint8(at + AT.flags.offset),
        prefix: view.getUint8(at + AT.prefix.offset),
        id: view.getUint32(at + AT.id.offset, LITTLE),
        value: Array.from({ length: words }, (_, i) => view.getUint32(at + AT.value.offset + 4 * i, LITTLE)),
      };
    },
  };
}
