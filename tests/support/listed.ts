// SPDX-License-Identifier: MIT
// Records of sockets as the kernel's side writes them, for tests that say only what matters to them.
import { Kind, ListFlag } from "../../cli/layout/layout.generated.ts";
import type { Struct } from "../../cli/layout/struct.ts";

type Listed = Struct<"tcpx_listed">;

/** A struct of which what is left out is zero: encode() sees to that at any depth. */
type Some<T> = T extends string | number | bigint | Uint8Array | unknown[]
  ? T
  : { [K in keyof T]?: Some<T[K]> | undefined };

/** States of extensions, by the names that their structs have. */
export type States = Some<Struct<"tcpx_states">>;

export type Fields = Partial<Omit<Listed, "states">> & { states?: States };

/** As encode() takes it. */
export const listed = (fields: Fields) => fields as Partial<Listed>;

/** Of a connection that a rule has matched, with its handshake complete. */
export const known = (states: States, fields: Fields = {}): Fields => ({
  flags: ListFlag.KNOWN,
  established: 1,
  ...fields,
  states,
});

/** The rules of an extension, by their flags: what the state of each begins with. */
export function rules(
  flags: { ask?: number; local?: number },
  { outcome = 0, id = 1 } = {},
): Struct<"tcpx_rules"> {
  const byKind = new Uint8Array(Kind.COUNT);
  byKind[Kind.ASK] = flags.ask ?? 0;
  byKind[Kind.LOCAL] = flags.local ?? 0;
  return { flags: byKind, outcome, ids: [...byKind].map((bits) => (bits === 0 ? 0 : id)) };
}

/** The congestion control's name as cc_sum() of embedded-bpf/ext/cc_name.bpf.h has it; of 8 bytes at the most. */
export function sumOf(name: string): bigint {
  if (name.length > 8) throw new RangeError(name);
  const bytes = Buffer.alloc(8);
  bytes.write(name);
  return new BigUint64Array(bytes.buffer, bytes.byteOffset, 1)[0]!;
}
