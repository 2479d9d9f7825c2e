// SPDX-License-Identifier: MIT
// What a new extension may not share with tcpx, with built-in extensions, and with others that a host has.
import { expect, test } from "bun:test";
import { allCommands, commands } from "../../cli/commands/index.ts";
import { extensions } from "../../cli/extensions/index.ts";
import { runArgs } from "../../cli/extensions/run-flags.ts";
import { FIRST_SLOT } from "../../cli/extensions/slots.ts";
import { collisionOf, type Present } from "../../cli/manifest/collision.ts";
import { extensionFrom } from "../../cli/manifest/extension.ts";
import { readManifest } from "../../cli/manifest/read.ts";
import { DOCUMENT_KEYS, SCOPE_KEYS } from "../../cli/policy-file/keys.ts";
import { PROGRAM_KEY } from "../../cli/policy-file/programs.ts";
import { DEFAULT_SITE } from "../../cli/wire/site.ts";
import { EVERY, GRADE, PACE } from "../support/manifests.ts";

const manifestOf = (text: string) => readManifest(text, "extension.toml");
const present = (of: Partial<Present> = {}): Present => ({
  ...{ commands: Object.keys(commands), extensions, site: DEFAULT_SITE },
  ...of,
});
const named = (name: string) => manifestOf(PACE.replace('"pace"', JSON.stringify(name)));
const added = (text: string) => extensionFrom(manifestOf(text), FIRST_SLOT);

test("what is like no other is welcome", () => {
  for (const text of [PACE, GRADE, EVERY]) expect(collisionOf(manifestOf(text), present())).toBeUndefined();
});

test("no command, extension, flag of run or key of a policy may have its name, and nothing that is to come", async () => {
  const taken = [
    ...Object.keys(await allCommands()),
    ...Object.keys(runArgs()),
    ...[
      ...SCOPE_KEYS,
      ...DOCUMENT_KEYS,
      PROGRAM_KEY,
      "to",
      "from",
      "port",
      "json",
      "quiet",
      "help",
      "cgroup",
    ],
    ...["tune", "toa", "option", "explain", "compare", "confirm", "history", "undo", "diff", "ext"],
    ...["q", "x", "internal-agent", "ext-9", "no-advertise", "advertise", "live"],
  ];
  for (const name of taken)
    expect([name, typeof collisionOf(named(name), present())]).toEqual([name, "string"]);
});

test.each<[string, string, Partial<Present>, string]>([
  ["a built-in one's name", PACE.replace('"pace"', '"uto"'), {}, "there is an extension uto already"],
  ["a command's", PACE.replace('"pace"', '"status"'), {}, "status is a command of tcpx"],
  ["another one's name", PACE, { extensions: [added(PACE)] }, "there is an extension pace already"],
  [
    "a built-in one's identifier",
    GRADE.replace("0x7d00", "0x7c10"),
    {},
    "identifier 0x7c10 is iw-ask, that of iw",
  ],
  ["its answer", GRADE.replace("0x7d01", "0x7c10"), {}, "identifier 0x7c10 is iw-ask, that of iw"],
  [
    "another one's identifier",
    GRADE.replace('"grade"', '"other"').replace("0x7d01", "0x7d05"),
    { extensions: [...extensions, added(GRADE)] },
    "identifier 0x7d00 is grade-ask, that of grade",
  ],
  [
    "what the site has in its place",
    GRADE,
    { site: { ...DEFAULT_SITE, exids: { "iw-ask": 0x7d01 } } },
    "identifier 0x7d01 is iw-ask, that of iw",
  ],
  [
    "what the site has changed, and may have again",
    GRADE.replace("0x7d00", "0x7c10"),
    { site: { ...DEFAULT_SITE, exids: { "iw-ask": 0x1111 } } },
    "identifier 0x7c10 is iw-ask, that of iw",
  ],
  [
    "another one's kind",
    EVERY.replace('"every"', '"other"'),
    { extensions: [...extensions, added(EVERY)] },
    "option kind 77 is that of every",
  ],
  [
    "names of identifiers",
    GRADE.replace('"grade"', '"cc"'),
    {},
    "an identifier of it would be called cc-ask, as one of cc-request is",
  ],
])("%s is taken", (_, text, of, what) => {
  expect(collisionOf(manifestOf(text), present(of))).toBe(what);
});
