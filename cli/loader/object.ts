// SPDX-License-Identifier: MIT
// One loaded generation of the sock_ops program: opened, configured, loaded and filled.

import { existsSync, readFileSync } from "node:fs";
import { Exit, TcpxError } from "../errors.ts";
import { extensionOf } from "../extensions/index.ts";
import { flatten, type Table } from "../policy/flatten.ts";
import type { Rule } from "../policy/rule.ts";
import { collectAfter } from "../system/garbage.ts";
import { lockedMemoryLimit } from "../system/scarcity.ts";
import { version } from "../version.ts";
import type { Site } from "../wire/site.ts";
import { asset } from "./assets.ts";
import { type Bridge, cstr, Errno, unwrap } from "./bridge.ts";
import { LAYOUT_VERSION } from "./layout.generated.ts";
import { indexes, update } from "./maps.ts";
import { encodeNamespaces, encodePolicies, encodeRules, encodeSite } from "./records.ts";
import type { ScopeHead } from "./state.ts";
import { encode } from "./struct.ts";

/** Entries that are written at once. */
const PIECE = 4096;
const LOCKDOWN = "/sys/kernel/security/lockdown";

/** Maps that outlive a generation: connection state and counters. */
export interface SharedMaps {
  [name: string]: number | undefined;
}

/** A loaded program and its maps; the file descriptors end with it. */
export class Generation implements Disposable {
  constructor(
    private readonly lib: Bridge,
    private readonly object: bigint,
  ) {}

  get program(): number {
    return unwrap("program", this.lib.tcpx_object_prog_fd(this.object, cstr("tcpx")));
  }

  map(name: string): number {
    return unwrap(`map ${name}`, this.lib.tcpx_object_map_fd(this.object, cstr(name)));
  }

  [Symbol.dispose](): void {
    this.lib.tcpx_object_close(this.object);
  }
}

/** Opens one of the embedded objects; close it with tcpx_object_close. */
export async function openObject(
  lib: Bridge,
  name: "ack" | "list" | "live" | "probe" | "site" | "tcpx",
): Promise<bigint> {
  const bytes = await asset(name);
  const out = new BigUint64Array(1);
  unwrap("open object", lib.tcpx_object_open(bytes, BigInt(bytes.length), cstr(name), out));
  return out[0]!;
}

/** Why the kernel did not take the program, as far as that can be told from outside. */
export function loadError(error: Errno): TcpxError {
  const details = { cause: error };
  if (!existsSync("/sys/kernel/btf/vmlinux")) {
    return new TcpxError(Exit.UNSUPPORTED, "this kernel has no BTF (/sys/kernel/btf/vmlinux is missing)", {
      ...details,
      hint: "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y",
    });
  }
  if (existsSync(LOCKDOWN) && /\[confidentiality\]/.test(readFileSync(LOCKDOWN, "utf8"))) {
    const what = "kernel lockdown (confidentiality) is on and the BPF program was refused";
    return new TcpxError(Exit.UNSUPPORTED, what, details);
  }
  // the verifier says EACCES and EINVAL; EPERM comes before it
  if (error.code === "EPERM") {
    const locked = lockedMemoryLimit();
    if (locked !== undefined) {
      const what = `locked memory is limited to ${locked} KB, and this kernel counts BPF programs and maps (EPERM)`;
      const hint = "raise the limit (ulimit -l, LimitMEMLOCK=), or run it with CAP_SYS_RESOURCE";
      return new TcpxError(Exit.UNSUPPORTED, what, { ...details, hint });
    }
    return new TcpxError(Exit.PERMISSION, "the kernel does not let us load BPF programs (EPERM)", {
      ...details,
      hint: "run it as root on the host itself, not in a container",
    });
  }
  return new TcpxError(Exit.UNSUPPORTED, `this kernel refused the BPF program (${error.code})`, {
    ...details,
    hint: "see `tcpx doctor`, and the reason with --verbose",
  });
}

/** In pieces: the bytes of 100,000 entries are 20 MB. */
function fillPolicies(lib: Bridge, map: number, scope: bigint, { entries }: Table): void {
  for (let at = 0; at < entries.length; at += PIECE) {
    const piece = entries.slice(at, at + PIECE);
    const { keys, values } = encodePolicies(scope, { entries: piece });
    update(lib, map, keys, values, piece.length);
  }
}

/**
 * Loads the program with these rules and the site's table; nothing is attached or pinned yet.
 * @param foreign whether other sock_ops programs run on the scope's sockets
 * @throws TcpxError when the kernel refuses it
 */
export async function loadGeneration(
  lib: Bridge,
  scope: Pick<ScopeHead, "id" | "recorded">,
  rules: Rule[],
  site: Site,
  shared: SharedMaps,
  foreign: boolean,
): Promise<Generation> {
  const table = flatten(rules, (name) => extensionOf({ ext: name }).id);
  const config = encode("tcpx_config", {
    layout: LAYOUT_VERSION,
    rule_count: rules.length,
    scope: scope.id,
    use_netns: table.namespaces.size > 0 ? 1 : 0,
    use_ports: table.usePorts ? 1 : 0,
    foreign: foreign ? 1 : 0,
    use_from: rules.some((rule) => rule.selector.direction !== "to") ? 1 : 0,
    jiffy_us: unwrap("tick", lib.tcpx_jiffy_us()),
    version,
    cgroup: scope.recorded.name,
    base: scope.recorded.base,
    keeper: scope.recorded.keeper,
    site: encodeSite(site),
  });
  const sizes = { policies: table.entries.length, namespaces: table.namespaces.size, rules: rules.length };
  lib.tcpx_raise_memlock();
  const object = await openObject(lib, "tcpx");
  const generation = new Generation(lib, object);
  try {
    unwrap("configure", lib.tcpx_object_rodata(object, config, BigInt(config.length)));
    for (const [map, size] of Object.entries(sizes)) {
      unwrap(`size of ${map}`, lib.tcpx_object_max_entries(object, cstr(map), Math.max(1, size)));
    }
    for (const [map, fd] of Object.entries(shared)) {
      if (fd !== undefined) unwrap(`reuse ${map}`, lib.tcpx_object_reuse_map(object, cstr(map), fd));
    }
    const loaded = lib.tcpx_object_load(object);
    if (loaded < 0) throw loadError(new Errno("load", -loaded));
    collectAfter(rules.length);
    fillPolicies(lib, generation.map("policies"), scope.id, table);
    const namespaces = encodeNamespaces(table);
    update(lib, generation.map("namespaces"), namespaces.keys, namespaces.values, sizes.namespaces);
    update(lib, generation.map("rules"), indexes(sizes.rules), encodeRules(rules), sizes.rules);
    return generation;
  } catch (error) {
    generation[Symbol.dispose]();
    throw error;
  }
}
