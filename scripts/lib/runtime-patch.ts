// SPDX-License-Identifier: MIT
// Takes names of variables out of Bun's executable, each by bytes of the same number. What is not found as often as
// it is listed is an error: another Bun may ask for it in another way.

import { OPTIONS, REPLACED, TAKEN } from "./runtime-names.ts";

/** No name in an environment begins with this; getenv() and comparisons find nothing then. */
const NUL = 0;
/** In JavaScript, where NUL would be a syntax error; none of these places is reached without the other names. */
const UNDERSCORE = "_".charCodeAt(0);

function placesOf(data: Buffer, text: string): number[] {
  const places: number[] = [];
  for (let at = data.indexOf(text); at >= 0; at = data.indexOf(text, at + text.length)) places.push(at);
  return places;
}

function isScript(data: Buffer, at: number): boolean {
  return data.toString("latin1", at - 4, at) === "env.";
}

/** Options stand there as `JSC_<name>` only; the part behind the prefix is what `BUN_JSC_<name>` is compared with. */
function optionsIn(data: Buffer): { at: number; name: string }[] {
  return placesOf(data, "\0JSC_").flatMap((place) => {
    const at = place + "\0JSC_".length;
    const name = /^[A-Za-z0-9]+(?=\0)/.exec(data.toString("latin1", at, at + 100))?.[0];
    return name === undefined ? [] : { at, name };
  });
}

/** Machine code that compares one byte and branches; its group has the character's bits. */
type Compare = (character: string, index: number) => string;

const hex = (...bytes: number[]) => bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");

/** cmpb $character, index(%r14); jne */
const x64: Compare = (character, index) =>
  (index === 0 ? hex(0x41, 0x80, 0x3e) : hex(0x41, 0x80, 0x7e, index)) +
  `(${hex(character.charCodeAt(0))})${hex(0x75)}[^]`;

/** ldrb w10, [x9, #index]; cmp w10, #character; b.ne */
const arm64: Compare = (character, index) =>
  `${hex(0x2a, 0x01 | ((index << 2) & 0xff), 0x40, 0x39, 0x5f)}(${hex(...arm64Bits(character))})` +
  `${hex(0x71)}[^]{3}${hex(0x54)}`;

const arm64Bits = (character: string) => {
  const bits = (character.charCodeAt(0) << 2) | 1;
  return [bits & 0xff, bits >> 8];
};

const CODE = [
  { compare: x64, bits: (character: string) => [character.charCodeAt(0)] },
  { compare: arm64, bits: arm64Bits },
];

interface Change {
  at: number;
  bytes: number[];
}

/** Where the prefix is compared, character by character, and what makes another of it; once in an executable. */
function prefixInCode(data: Buffer, prefix: string, by: string): Change[][] {
  const text = data.toString("latin1");
  return CODE.flatMap(({ compare, bits }) => {
    const pattern = new RegExp([...prefix].map(compare).join(""), "dg");
    return [...text.matchAll(pattern)].map((found) =>
      [...by].map((character, i) => ({ at: found.indices![i + 1]![0], bytes: bits(character) })),
    );
  });
}

/**
 * Changes the executable in place, and nothing when one of its counts is another.
 * @throws Error that names every text whose count is not the listed one
 */
export function takeNames(data: Buffer): void {
  const changes: Change[] = [];
  const problems: string[] = [];
  const expect = (what: string, count: number, wanted: number) => {
    if (count !== wanted) problems.push(`${what}: ${count}, not ${wanted}`);
  };
  for (const { name, places, scripts } of TAKEN) {
    const found = placesOf(data, name).map((at) => ({ at, script: isScript(data, at) }));
    expect(name, found.length, places);
    expect(`${name} in JavaScript`, found.filter(({ script }) => script).length, scripts);
    changes.push(...found.map(({ at, script }) => ({ at, bytes: [script ? UNDERSCORE : NUL] })));
  }
  for (const { text, by, places } of REPLACED) {
    const found = placesOf(data, text);
    expect(text, found.length, places);
    changes.push(...found.map((at) => ({ at, bytes: [...Buffer.from(by)] })));
  }
  const options = optionsIn(data);
  expect("options of JavaScriptCore", options.length, OPTIONS.names);
  const left = options.filter(({ name }) => OPTIONS.left.includes(name));
  expect(`of them ${OPTIONS.left.join(", ")}`, left.length, OPTIONS.left.length);
  changes.push(...options.filter((one) => !left.includes(one)).map(({ at }) => ({ at, bytes: [NUL] })));
  const code = prefixInCode(data, OPTIONS.prefix, OPTIONS.by);
  expect(`comparisons with ${OPTIONS.prefix}`, code.length, 1);
  changes.push(...code.flat());
  if (problems.length > 0) throw new Error(problems.join("; "));
  for (const { at, bytes } of changes) data.set(bytes, at);
}
