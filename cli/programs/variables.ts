// SPDX-License-Identifier: MIT
// `const volatile` variables of a program, set before it is loaded: --set NAME=VALUE,... Pure.

import { meant } from "../base/did-you-mean.ts";
import { usageError } from "../base/errors.ts";

export interface Variable {
  name: string;
  bytes: number;
  isSigned: boolean;
  isBool: boolean;
  /** In .rodata. */
  offset: number;
}

/** Values by names, as somebody has written them. */
export type Settings = Readonly<Record<string, string>>;

const NAME = /^[A-Za-z_]\w*$/;
const NUMBER = /^-?(?:0[xX][0-9a-fA-F]{1,16}|\d{1,20})$/;

/** @throws TcpxError (usage) */
export function parseSettings(text: string): Settings {
  const found = new Map<string, string>();
  for (const part of text.split(",")) {
    const at = part.indexOf("=");
    const [name, value] = [part.slice(0, at).trim(), part.slice(at + 1).trim()];
    if (at < 0 || !NAME.test(name) || value === "")
      throw usageError(
        `--set '${part}' is no NAME=VALUE`,
        part,
        "accepted is such as --set limit=10,verbose=true",
      );
    if (found.has(name)) throw usageError(`--set names ${name} twice`, name, "give it once");
    found.set(name, value);
  }
  return Object.fromEntries(found);
}

/** Least and most. */
function rangeOf({ bytes, isSigned, isBool }: Variable): [bigint, bigint] {
  if (isBool) return [0n, 1n];
  const bits = BigInt(bytes * 8);
  return isSigned ? [-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n] : [0n, (1n << bits) - 1n];
}

function numberOf(text: string): bigint | undefined {
  if (!NUMBER.test(text)) return undefined;
  return text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text);
}

function numberIn(variable: Variable, text: string): bigint {
  const { name, isBool } = variable;
  const [least, most] = rangeOf(variable);
  const words = isBool ? ["false", "true"].indexOf(text) : -1;
  const value = words >= 0 ? BigInt(words) : numberOf(text);
  if (value !== undefined && value >= least && value <= most) return value;
  const hint = isBool ? "accepted is true or false" : `accepted is a number from ${least} to ${most}`;
  throw usageError(`${name} cannot be '${text}'`, text, hint);
}

const LISTED = 20;

function namesText(variables: readonly Variable[]): string {
  if (variables.length === 0) return "the object has no number that is `const volatile` and global";
  const names = variables.slice(0, LISTED).map(({ name }) => name);
  return `there are ${names.join(", ")}${variables.length > LISTED ? ", ..." : ""}`;
}

/** Values as they are written down: the same number is always the same text, and names are in an order. */
export function settled(variables: readonly Variable[], settings: Settings): Settings {
  const entries = Object.entries(settings).map(([name, text]): [string, string] => {
    const variable = variables.find((one) => one.name === name);
    if (!variable) {
      const names = variables.map((one) => one.name);
      throw usageError(`there is no variable '${name}'`, name, meant(name, names, namesText(variables)));
    }
    const value = numberIn(variable, text);
    return [name, variable.isBool ? String(value !== 0n) : String(value)];
  });
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Writes values into .rodata.
 * @throws TcpxError (usage) that names the variable, and what it may be
 */
export function writeSettings(rodata: Uint8Array, variables: readonly Variable[], settings: Settings): void {
  const view = new DataView(rodata.buffer, rodata.byteOffset, rodata.byteLength);
  for (const [name, text] of Object.entries(settled(variables, settings))) {
    const variable = variables.find((one) => one.name === name)!;
    const { offset, bytes } = variable;
    const value = BigInt.asUintN(64, numberIn(variable, text));
    for (let i = 0; i < bytes; i++) view.setUint8(offset + i, Number((value >> BigInt(8 * i)) & 0xffn));
  }
}

/** As people read it, and as --set takes it; "" without any. */
export const settingsText = (settings: Settings): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name}=${value}`)
    .join(",");
