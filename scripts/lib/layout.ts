// SPDX-License-Identifier: MIT
// The TypeScript twin of embedded-bpf/tcpx_shared.h, made from BTF so that nobody keeps two by hand.

import { run } from "./run.ts";

interface BtfType {
  id: number;
  kind: string;
  name: string;
  size?: number;
  type_id?: number;
  nr_elems?: number;
  encoding?: string;
  members?: { name: string; type_id: number; bits_offset: number }[];
  values?: { name: string; val: number }[];
}

/** Follows typedefs and const/volatile to the type itself. */
function resolve(types: Map<number, BtfType>, id: number): BtfType {
  const type = types.get(id);
  if (!type) throw new Error(`BTF type ${id} is missing`);
  const through = ["TYPEDEF", "CONST", "VOLATILE"].includes(type.kind);
  return through ? resolve(types, type.type_id!) : type;
}

function scalar(type: BtfType): string {
  if (type.kind === "STRUCT") return type.name;
  if (type.kind !== "INT") throw new Error(`BTF kind ${type.kind} (${type.name}) is not supported`);
  if (type.encoding === "CHAR" || type.name === "char") return "char";
  return `${type.encoding === "SIGNED" ? "s" : "u"}${type.size! * 8}`;
}

function field(types: Map<number, BtfType>, member: NonNullable<BtfType["members"]>[number]): string {
  let type = resolve(types, member.type_id);
  const dims: number[] = [];
  while (type.kind === "ARRAY") {
    dims.push(type.nr_elems!);
    type = resolve(types, type.type_id!);
  }
  const parts = [`offset: ${member.bits_offset / 8}`, `type: "${scalar(type)}"`];
  if (dims.length > 0) parts.push(`dims: [${dims.join(", ")}]`);
  return `    ${member.name}: { ${parts.join(", ")} },`;
}

/** Strips the prefix that all names of an enum share: TCPX_KIND_ASK -> ASK. */
function enumBody(type: BtfType): string {
  const names = type.values!.map((v) => v.name.split("_"));
  let shared = 0;
  while (names.every((n) => n[shared] === names[0]![shared] && n.length > shared + 1)) shared++;
  return type.values!.map((v, i) => `  ${names[i]!.slice(shared).join("_")}: ${v.val},`).join("\n");
}

const camel = (name: string) =>
  name.replace(/^tcpx_/, "").replace(/(^|_)([a-z])/g, (_, __, letter: string) => letter.toUpperCase());

/** TypeScript source for the layout of this compiled object (embedded-bpf/layout.bpf.c). */
export async function generateLayout(object: string, layoutVersion: number): Promise<string> {
  const dump = JSON.parse(await run(["bpftool", "-j", "btf", "dump", "file", object])) as {
    types: BtfType[];
  };
  const types = new Map(dump.types.map((type) => [type.id, type]));
  const ours = dump.types.filter((type) => type.name.startsWith("tcpx_"));
  const enums = ours.filter((t) => t.kind === "ENUM").sort((a, b) => a.name.localeCompare(b.name));
  const structs = ours.filter((t) => t.kind === "STRUCT").sort((a, b) => a.name.localeCompare(b.name));
  const out = ["// Generated from embedded-bpf/tcpx_shared.h by `bun run build`. Do not edit.", ""];
  out.push(`export const LAYOUT_VERSION = ${layoutVersion};`, "");
  for (const type of enums)
    out.push(`export const ${camel(type.name)} = {\n${enumBody(type)}\n} as const;`, "");
  out.push("export const structs = {");
  for (const type of structs) {
    out.push(`  ${type.name}: {\n    size: ${type.size},\n    fields: {`);
    for (const member of type.members!) out.push(`  ${field(types, member)}`);
    out.push("    },\n  },");
  }
  out.push("} as const;", "");
  return out.join("\n");
}
