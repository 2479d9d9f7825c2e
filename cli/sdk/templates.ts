// SPDX-License-Identifier: MIT
// What a new extension begins with: real files of templates/, with names and identifiers put in. Pure.

import { usageError } from "../base/errors.ts";
import { identifiers } from "../extensions/options.ts";
import congestionProgram from "./templates/congestion/program.bpf.c" with { type: "text" };
import congestionReadme from "./templates/congestion/README.md" with { type: "text" };
import congestionTest from "./templates/congestion/test.sh" with { type: "text" };
import localManifest from "./templates/local/extension.toml" with { type: "text" };
import localProgram from "./templates/local/program.bpf.c" with { type: "text" };
import localReadme from "./templates/local/README.md" with { type: "text" };
import localTest from "./templates/local/test.sh" with { type: "text" };
import optionManifest from "./templates/option/extension.toml" with { type: "text" };
import optionProgram from "./templates/option/program.bpf.c" with { type: "text" };
import optionReadme from "./templates/option/README.md" with { type: "text" };
import optionTest from "./templates/option/test.sh" with { type: "text" };
import requestManifest from "./templates/request/extension.toml" with { type: "text" };
import requestProgram from "./templates/request/program.bpf.c" with { type: "text" };
import requestReadme from "./templates/request/README.md" with { type: "text" };
import requestTest from "./templates/request/test.sh" with { type: "text" };

export const KINDS = ["local", "option", "request", "congestion"] as const;
export type TemplateKind = (typeof KINDS)[number];

interface Template {
  program: string;
  /** Whole programs have none. */
  manifest?: string;
  readme: string;
  test: string;
}

const TEMPLATES: Record<TemplateKind, Template> = {
  local: { program: localProgram, manifest: localManifest, readme: localReadme, test: localTest },
  option: { program: optionProgram, manifest: optionManifest, readme: optionReadme, test: optionTest },
  request: { program: requestProgram, manifest: requestManifest, readme: requestReadme, test: requestTest },
  congestion: { program: congestionProgram, readme: congestionReadme, test: congestionTest },
};

const NAME = /^[a-z][a-z0-9-]{0,31}$/;
/** The kernel's, for the name of a congestion control. */
const MOST_CONTROL = 15;

/** As the kernel takes names of congestion controls. */
export const controlName = (name: string): string => name.replaceAll("-", "_");

/** @throws TcpxError (usage) for a name that an extension cannot have */
export function requireName(name: string, kind: TemplateKind): void {
  if (!NAME.test(name)) {
    const hint = "accepted are a letter and up to 31 lower-case letters, digits and hyphens";
    throw usageError(`'${name}' is no name of an extension`, name, hint);
  }
  if (kind === "congestion" && name.length > MOST_CONTROL) {
    const hint = `the kernel takes up to ${MOST_CONTROL} characters`;
    throw usageError(`'${name}' is too long for a congestion control`, name, hint);
  }
}

const hex = (number: number, digits: number) => number.toString(16).padStart(digits, "0");

/** Where identifiers are picked from: no registered one is there, nor one of ours. */
const FIRST = 0x7000;
const COUNT = 0x0ffe;

/** An even identifier by the name, which with the next one is none of `taken`: others get others. */
export function pickExid(name: string, taken: ReadonlySet<number>): number {
  let at = (Bun.hash.crc32(name) % COUNT) & ~1;
  while (taken.has(FIRST + at) || taken.has(FIRST + at + 1)) at = (at + 2) % COUNT;
  return FIRST + at;
}

/** What stands for these words in a template. */
function wordsFor(name: string): Record<string, string> {
  const exid = pickExid(name, new Set(identifiers().map(({ documented }) => documented)));
  const option = (value: number) => `fe08${hex(exid, 4)}${hex(value, 8)}`;
  const exchange = (which: number, value: number) => `fe06${hex(which, 4)}${hex(value, 4)}`;
  return {
    NAME: name,
    CONTROL: controlName(name),
    EXID: `0x${hex(exid, 4)}`,
    ASK: `0x${hex(exid, 4)}`,
    ANSWER: `0x${hex(exid + 1, 4)}`,
    OPTION_CLIENT: option(40),
    OPTION_SERVER: option(7),
    OPTION_ASK: exchange(exid, 6),
    OPTION_ANSWER: exchange(exid + 1, 4),
  };
}

/** Tables without padding: in a template it is as wide as what stands there for the name. */
const unpadded = (text: string) =>
  text.replace(/^\|.*$/gm, (row) => row.replace(/ {2,}\|/g, " |").replace(/-{4,}/g, "---"));

export interface NewFile {
  name: string;
  text: string;
  mode: number;
}

/** The files of a new extension. */
export function filesOf(name: string, kind: TemplateKind): NewFile[] {
  const words = wordsFor(name);
  const filled = (text: string) =>
    text.replace(/@([A-Z_]+)@/g, (whole, word: string) => words[word] ?? whole);
  const { program, manifest, readme, test } = TEMPLATES[kind];
  return [
    { name: `${name}.bpf.c`, text: filled(program), mode: 0o644 },
    ...(manifest === undefined ? [] : [{ name: "extension.toml", text: filled(manifest), mode: 0o644 }]),
    { name: "test.sh", text: filled(test), mode: 0o755 },
    { name: "README.md", text: unpadded(filled(readme)), mode: 0o644 },
  ];
}
