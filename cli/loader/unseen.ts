// SPDX-License-Identifier: MIT
// A scope that is named, is not found, and has rules all the same: it belongs to another view, or is gone.

import type { ScopeFlags } from "../base/args.ts";
import { absentError, Exit, TcpxError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { findCgroupRoot } from "../system/host.ts";
import { unitOf } from "../system/unit-name.ts";
import { absolutePath } from "../system/working-directory.ts";
import { readHeads, type ScopeHead } from "./state.ts";

/** As `--cgroup` may spell the path that is on record. */
function spellings(cgroup: string): string[] {
  const root = findCgroupRoot();
  const paths = [absolutePath(cgroup), absolutePath(`/${cgroup}`)].filter((path) => path !== undefined);
  const below = paths.flatMap((path) =>
    root && path.startsWith(`${root}/`) ? [path.slice(root.length)] : [],
  );
  return [...paths, ...below];
}

function isNamed({ name }: ScopeHead, { cgroup, unit }: ScopeFlags): boolean {
  if (cgroup !== undefined) return spellings(cgroup).includes(name);
  const found = unitOf(name)?.name;
  return unit !== undefined && found !== undefined && [unit, `${unit}.service`].includes(found);
}

function heads(lib: Bridge): ScopeHead[] {
  try {
    return readHeads(lib);
  } catch {
    return []; // without permission nobody knows
  }
}

/** A better error than that there is no such scope; undefined: there is none. */
export function unseenError(lib: Bridge, flags: ScopeFlags): TcpxError | undefined {
  const named = heads(lib).filter((head) => isNamed(head, flags));
  const value = flags.cgroup ?? flags.unit;
  const hidden = named.find(({ alive, visible, waiting }) => !visible && (alive || waiting));
  if (hidden) {
    const what = `cgroup ${hidden.name} (id ${hidden.id}) has ${hidden.count} rule(s), and is not visible from here`;
    return new TcpxError(Exit.UNSUPPORTED, what, {
      ...(value !== undefined && { value }),
      hint: "change them where they were set, on its host or in its container; `tcpx reset` removes them from here, with all others",
    });
  }
  const gone = named.find(({ alive, waiting }) => !alive && !waiting);
  if (!gone) return undefined;
  const what = `cgroup ${gone.name} is gone: its ${gone.count} rule(s) have no effect`;
  return absentError(what, value, "the next change of any rules removes them");
}
