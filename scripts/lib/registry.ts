// SPDX-License-Identifier: MIT
// The registry of extensions (embedded-bpf/extensions.def) as C can use it: embedded-bpf/extensions.generated.h.

interface Line {
  symbol: string;
  name: string;
  id: number;
}

/** Ids from here on are those of extensions that a host adds: embedded-bpf/shared/slots.h. */
const FIRST_SLOT = 8;

const LINE = /^TCPX_EXTENSION\((\w+), (\w+), (\d+)\)$/;

/** The lines of the registry, in its order. @throws Error for a line that is none, and what is there twice */
export function parseRegistry(text: string): Line[] {
  const lines = text
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .split("\n")
    .filter(Boolean);
  const found = lines.map((line) => {
    const [, symbol, name, id] = LINE.exec(line) ?? [];
    if (!symbol || !name) throw new Error(`extensions.def: '${line}' is no line of it`);
    if (Number(id) >= FIRST_SLOT)
      throw new Error(`extensions.def: '${line}': ids from ${FIRST_SLOT} on are those that a host gives`);
    return { symbol, name, id: Number(id) };
  });
  for (const key of ["symbol", "name", "id"] as const) {
    const twice = found.find((line, i) => found.findIndex((other) => other[key] === line[key]) !== i);
    if (twice) throw new Error(`extensions.def: ${key} ${twice[key]} is there twice`);
  }
  return found;
}

/** What says whether a file of embedded-bpf exists. */
type Has = (path: string) => boolean;

/** Extensions that have programs of other types than sock_ops, as C calls them: ext/NAME_sock.bpf.c. */
export const sockNames = (text: string, has: Has): string[] =>
  parseRegistry(text)
    .filter(({ name }) => has(`ext/${name}_sock.bpf.c`))
    .map(({ name }) => name)
    .sort();

/** How the executable finds their objects: cli/bridge/sock-objects.generated.ts. */
export function sockObjects(text: string, has: Has): string {
  const names = sockNames(text, has);
  const imports = names.map(
    (name) => `import ${name} from "../../build/${name}_sock.bpf.o" with { type: "file" };\n`,
  );
  const members = names.map((name) => `\n  "${name.replaceAll("_", "-")}": ${name},`);
  return `// Generated from embedded-bpf/extensions.def by \`bun run build\`. Do not edit.

${imports.join("")}
/** Objects with programs of other types than sock_ops, by the extension's name. */
export const SOCK_OBJECTS = {${members.join("")}${members.length > 0 ? "\n" : ""}} as unknown as Record<string, string | undefined>;
`;
}

export function registryHeader(text: string, has: Has): string {
  const lines = parseRegistry(text);
  const byId = lines.toSorted((a, b) => a.id - b.id);
  const live = ({ name }: Line) =>
    has(`ext/${name}_live.bpf.h`)
      ? `#include "ext/${name}_live.bpf.h"`
      : `static const struct tcpx_live_extension ${name}_live_extension = {};`;
  const list = ({ name }: Line) =>
    has(`ext/${name}_list.bpf.h`)
      ? `#include "ext/${name}_list.bpf.h"`
      : `static __always_inline void ${name}_list(struct tcpx_${name}_conn *state, void *tp) {}`;
  return `/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Generated from extensions.def by \`bun run build\`. Do not edit. */
/* clang-format off */

#ifndef TCPX_EXTENSIONS_GENERATED_H
#define TCPX_EXTENSIONS_GENERATED_H

enum tcpx_ext {
${byId.map(({ symbol, id }) => `\tTCPX_EXT_${symbol} = ${id},`).join("\n")}
};

/* Does something for each extension, in the order of their priority: DO(ID, name, ...). */
#define TCPX_EACH(DO, ...) \\
${lines.map(({ symbol, name }) => `\tDO(${symbol}, ${name}, ##__VA_ARGS__)`).join(" \\\n")}

${byId.map(({ name }) => `#include "ext/${name}.h"`).join("\n")}

/* By their ids: a place in the registry may change, a place in a record must not. */
struct tcpx_states {
${byId.map(({ name }) => `\tstruct tcpx_${name}_conn ${name};`).join("\n")}
};

#endif

/* The programs' part: see tcpx_slice.h. */
#if defined(TCPX_SLICES) && !defined(TCPX_SLICES_INCLUDED)
#define TCPX_SLICES_INCLUDED
${byId.map(({ name }) => `#include "ext/${name}.bpf.h"`).join("\n")}
#endif

#if defined(TCPX_LIVE_SLICES) && !defined(TCPX_LIVE_SLICES_INCLUDED)
#define TCPX_LIVE_SLICES_INCLUDED
${byId.map(live).join("\n")}
#endif

#if defined(TCPX_LIST_SLICES) && !defined(TCPX_LIST_SLICES_INCLUDED)
#define TCPX_LIST_SLICES_INCLUDED
${byId.map(list).join("\n")}
#endif
`;
}
