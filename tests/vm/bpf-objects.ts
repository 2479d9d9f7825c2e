// SPDX-License-Identifier: MIT
// What the kernel holds of BPF, asked of the kernel itself: tcpx's own word is not enough.

import { dlopen, ptr } from "bun:ffi";

const SYS_BPF = 321; // x86-64
/** Commands of bpf(2). */
const NEXT_ID = { programs: 11, maps: 12, links: 31 } as const;

export type BpfObjects = Record<keyof typeof NEXT_ID, number[]>;

function idsOf(
  syscall: (nr: number, cmd: number, attr: number, size: number) => number | bigint,
  cmd: number,
) {
  const ids: number[] = [];
  const attr = new Uint32Array(3); // start_id, next_id, open_flags
  while (Number(syscall(SYS_BPF, cmd, ptr(attr), attr.byteLength)) === 0) {
    ids.push(attr[1]!);
    attr[0] = attr[1]!;
  }
  return ids;
}

/** The ids of all programs, maps and links. */
export function bpfObjects(): BpfObjects {
  const libc = dlopen("libc.so.6", {
    syscall: { args: ["i64", "i64", "ptr", "i64"], returns: "i64" },
  });
  try {
    const ids = (cmd: number) => idsOf(libc.symbols.syscall as never, cmd);
    return { programs: ids(NEXT_ID.programs), maps: ids(NEXT_ID.maps), links: ids(NEXT_ID.links) };
  } finally {
    libc.close();
  }
}

/** "2 programs" and the like for what is there now and was not before; "" for nothing. */
export function newObjects(before: BpfObjects): string {
  const now = bpfObjects();
  return (Object.keys(NEXT_ID) as (keyof BpfObjects)[])
    .map((kind) => [now[kind].filter((id) => !before[kind].includes(id)).length, kind] as const)
    .filter(([count]) => count > 0)
    .map(([count, kind]) => `${count} ${kind}`)
    .join(", ");
}
