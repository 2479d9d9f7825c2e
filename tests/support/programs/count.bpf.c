// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* A sock_ops program of somebody else: adds `step` to a counter for each connection that is opened.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

const volatile __u32 step = 1;
const volatile _Bool off;
const volatile signed char least = -128;
const volatile __u64 wide = 1;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} opened SEC(".maps");

SEC("sockops")
int count(struct bpf_sock_ops *ctx)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&opened, &zero);

#ifdef ENDLESS
	while (n)
		*n += wide;
#endif
#ifdef OUTSIDE
	return ((int *)ctx)[1000];
#endif
#ifdef MUCH /* more than verifiers look at */
	for (int i = 0; n && i < 3000000; i++)
		*n += wide;
#endif
	if (n && !off && least < 100 && ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
		__sync_fetch_and_add(n, step * wide);
#ifdef MASK
	bpf_sock_ops_cb_flags_set(ctx, BPF_SOCK_OPS_STATE_CB_FLAG);
#endif
	return 1;
}

#ifdef SECOND
SEC("sockops")
int second(struct bpf_sock_ops *ctx)
{
	return 1;
}
#endif

#ifdef OTHER
SEC("cgroup/connect4")
int other(struct bpf_sock_addr *ctx)
{
	return 1;
}
#endif
