// SPDX-License-Identifier: MIT
// A word as it was typed to a shell: its quotes taken away, and nothing in it carried out. Pure.

const PARTS = /\\([\s\S])|'([^']*)'?|"((?:[^"\\]|\\[\s\S])*)"?|\\$/g;

export const unquoted = (typed: string): string =>
  typed.replace(
    PARTS,
    (_, escaped?: string, single?: string, double?: string) =>
      escaped ?? single ?? double?.replace(/\\([$`"\\])/g, "$1") ?? "",
  );
