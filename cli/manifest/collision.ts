// SPDX-License-Identifier: MIT
// What a new extension may not share with others: its name, its option's kind, its identifiers. Pure.

import { globalArgs, liveArgs, placeArgs, rootArgs, scopeArgs } from "../base/args.ts";
import type { Extension } from "../extensions/types.ts";
import { EXPERIMENT_KIND } from "../wire/request.ts";
import { exidOf, hex, type Site } from "../wire/site.ts";
import { identifierNames } from "./extension.ts";
import type { Manifest } from "./types.ts";

/** Commands that are to come: an extension of such a name would be in their way. */
const ANNOUNCED = [
  ...["tune", "toa", "option", "explain", "compare", "confirm", "history", "undo", "diff", "ext"],
  ...["set", "accept", "unset", "list", "log", "test", "trace", "all", "none", "tcpx", "constructor"],
];

/** What is there already; of extensions all but the one that is replaced. */
export interface Present {
  commands: readonly string[];
  extensions: readonly Pick<Extension, "name" | "options" | "run">[];
  site: Site;
}

/** Flags of `run`, and keys of a scope in a policy file. */
const FLAGS = Object.keys({ ...placeArgs, ...liveArgs, ...globalArgs, ...rootArgs });
const SCOPE_KEYS = [
  ...Object.keys(scopeArgs),
  ...["schema", "exid", "algorithms", "congestion", "scope", "program", "only"],
];

function nameCollision(name: string, { commands, extensions }: Present): string | undefined {
  if (extensions.some((one) => one.name === name)) return `there is an extension ${name} already`;
  if (commands.includes(name)) return `${name} is a command of tcpx`;
  if (ANNOUNCED.includes(name)) return `${name} is a word that tcpx keeps for itself`;
  if (name.length === 1) return `${name} is one letter, as short flags are`;
  if (name.startsWith("internal-")) return "internal-... are commands of tcpx";
  if (/^ext-\d+$/.test(name)) return "ext-N is what tcpx calls extensions that are not there";
  if (SCOPE_KEYS.includes(name)) return `${name} is a key of policy files`;
  const switches = extensions.flatMap(({ run }) => run?.switches ?? []);
  if (FLAGS.includes(name) || switches.includes(name) || name.startsWith("no-"))
    return `--${name} is a flag of \`tcpx run\``;
  return undefined;
}

/** Identifiers of others, as documented and as they travel here. */
const identifiersOf = ({ extensions, site }: Present) =>
  extensions.flatMap(({ name, options = [] }) =>
    options.flatMap(({ identifier }) =>
      identifier
        ? [{ ext: name, name: identifier.name, at: [identifier.documented, exidOf(identifier, site)] }]
        : [],
    ),
  );

function wireCollision({ name, option, request }: Manifest, present: Present): string | undefined {
  const kind = option?.kind;
  const sameKind = present.extensions.find(({ options = [] }) =>
    options.some((one) => one.kind === kind && one.kind !== EXPERIMENT_KIND),
  );
  if (sameKind) return `option kind ${kind} is that of ${sameKind.name}`;
  const others = identifiersOf(present);
  const own = [request?.askExid, request?.answerExid, option?.exid].filter((exid) => exid !== undefined);
  for (const exid of own) {
    const other = others.find(({ at }) => at.includes(exid));
    if (other) return `identifier ${hex(exid)} is ${other.name}, that of ${other.ext}`;
  }
  const names: string[] = Object.values(identifierNames(name));
  const other = own.length > 0 ? others.find((one) => names.includes(one.name)) : undefined;
  return other && `an identifier of it would be called ${other.name}, as one of ${other.ext} is`;
}

/** Why a host that has these cannot have this one, too; undefined: it can. */
export const collisionOf = (manifest: Manifest, present: Present): string | undefined =>
  nameCollision(manifest.name, present) ?? wireCollision(manifest, present);
