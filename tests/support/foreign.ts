// SPDX-License-Identifier: MIT
// A sock_ops program of somebody else, on cgroups of the lab: it asks for callbacks of its own, puts an option
// on every segment that it is shown, and counts its calls.
import { type Lab, run } from "./lab.ts";
import { every, requirement } from "./requires.ts";

export const foreignRequirement = every(
  "foreign",
  ...["bpftool", "clang"].map((name) => requirement(name, Bun.which(name) !== null, `the program ${name}`)),
);

/** Operations: BPF_SOCK_OPS_*_CB. */
export const Op = {
  CONNECT: 3,
  ACTIVE_ESTABLISHED: 4,
  PASSIVE_ESTABLISHED: 5,
  STATE: 10,
  LISTEN: 11,
  RTT: 12,
  PARSE_HDR_OPT: 13,
  WRITE_HDR_OPT: 15,
} as const;

/** BPF_SOCK_OPS_*_CB_FLAG */
export const Flag = { STATE: 4, RTT: 8, PARSE_UNKNOWN: 32, WRITE: 64 } as const;

/** Its option, with four bytes, in hex. */
export const FOREIGN = "fd04abcd";

const SOURCE = `
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32);
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

SEC("sockops")
int foreign(struct bpf_sock_ops *ctx)
{
	__u8 option[OPTION] = {253, OPTION, 0xab, 0xcd};
	__u32 op = ctx->op;
	__u64 *n = bpf_map_lookup_elem(&calls, &op);

	if (n)
		__sync_fetch_and_add(n, 1);
	if (op < 32 && AT & 1U << op)
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | FLAGS);
	if (op == BPF_SOCK_OPS_HDR_OPT_LEN_CB)
		bpf_reserve_hdr_opt(ctx, sizeof(option), 0);
	else if (op == BPF_SOCK_OPS_WRITE_HDR_OPT_CB)
		bpf_store_hdr_opt(ctx, option, sizeof(option), 0);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
`;

export interface ForeignOptions {
  /** Operations at which it asks for its callbacks; all beginnings unless given. */
  at?: readonly number[];
  /** Flags that it asks for. */
  flags?: number;
  /** Length of its option. */
  bytes?: number;
}

const BEGINNINGS = [Op.LISTEN, Op.CONNECT, Op.ACTIVE_ESTABLISHED, Op.PASSIVE_ESTABLISHED];

/** How often it was called for an operation. */
export type Calls = (op: number) => Promise<number>;

export class ForeignPrograms {
  private readonly objects = new Map<string, Promise<string>>();
  private readonly attached: { cgroup: string; id: number }[] = [];

  constructor(private readonly lab: Lab) {}

  private async compile(at: number, flags: number, bytes: number): Promise<string> {
    const name = `foreign-${at}-${flags}-${bytes}`;
    const source = this.lab.file(`${name}.bpf.c`, SOURCE);
    const object = source.replace(/c$/, "o");
    const include = `-I/usr/include/${(await run(["gcc", "-print-multiarch"])).trim()}`;
    const macros = [`-DOPTION=${bytes}`, `-DAT=${at}U`, `-DFLAGS=${flags}`];
    await run(["clang", "-g", "-O2", "-target", "bpf", ...macros, include, "-c", source, "-o", object]);
    return object;
  }

  /** Attaches one as others may, too; its pin is in a bpffs that nobody else sees. */
  async attach(
    cgroup: string,
    { at = BEGINNINGS, flags = Flag.WRITE, bytes = 4 }: ForeignOptions = {},
  ): Promise<Calls> {
    const mask = at.reduce((sum, op) => sum | (1 << op), 0);
    const key = `${mask} ${flags} ${bytes}`;
    const object = this.objects.get(key) ?? this.compile(mask, flags, bytes);
    this.objects.set(key, object);
    const pin = "/sys/fs/bpf/foreign";
    const script = `mount -t bpf bpf /sys/fs/bpf
      bpftool prog load ${await object} ${pin} type sockops
      bpftool cgroup attach ${cgroup} sock_ops pinned ${pin} multi
      bpftool prog show pinned ${pin} -j`;
    const { id, map_ids } = JSON.parse(await run(["unshare", "--mount", "sh", "-ec", script]));
    this.attached.push({ cgroup, id });
    return async (op) => {
      const dump = JSON.parse(await run(["bpftool", "map", "dump", "id", `${map_ids[0]}`, "-j"]));
      const entries: { formatted: { key: number; value: number } }[] = dump;
      return entries.find(({ formatted }) => formatted.key === op)?.formatted.value ?? 0;
    };
  }

  /** After each test. */
  async detach(): Promise<void> {
    for (const { cgroup, id } of this.attached.splice(0))
      await run(["bpftool", "cgroup", "detach", cgroup, "sock_ops", "id", `${id}`]);
  }
}
