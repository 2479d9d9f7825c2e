// SPDX-License-Identifier: MIT
// Values of extensions, for people and for scripts: in JSON objects, so that a field has one type whatever the
// extension.

import type { RawRule, Shown } from "../extensions/seen.ts";
import type { Extension } from "../extensions/types.ts";
import type { Kind } from "../policy/rule.ts";
import { DEFAULT_SITE, type Site } from "../wire/site.ts";

/** What a number of the exchange means; of an extension that does not say so, or is none of ours, the number itself. */
export function numberShown(extension: Extension | undefined, n: number, site: Site = DEFAULT_SITE): Shown {
  return extension?.seen?.value?.(n, site) ?? { text: String(n), json: { bits: n } };
}

/** What a rule says. */
export function ruleShown(extension: Extension, kind: Kind, { value }: RawRule, site: Site): Shown {
  const rule = { kind, none: false, force: false, value };
  return (
    extension.seen?.rule?.(value, site) ?? {
      text: extension.describe(rule, site),
      json: extension.json(rule, site),
    }
  );
}
