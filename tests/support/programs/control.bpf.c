// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* A congestion control that is Reno, by the kernel's own functions. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#ifndef SECTION
#define SECTION ".struct_ops"
#endif
#ifndef NAME
#define NAME "tcpx_t_reno"
#endif

struct sock {
	char opaque;
};

struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
};

const volatile __u32 every = 1;

#ifdef TEXT
const char text[] = TEXT;
#endif

#ifdef LARGE
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64 << 20);
	__type(key, __u32);
	__type(value, __u64);
} large SEC(".maps");
#endif

extern __u32 tcp_reno_ssthresh(struct sock *sk) __ksym;
extern void tcp_reno_cong_avoid(struct sock *sk, __u32 ack, __u32 acked) __ksym;
extern __u32 tcp_reno_undo_cwnd(struct sock *sk) __ksym;

SEC("struct_ops/ssthresh")
__u32 BPF_PROG(ssthresh, struct sock *sk)
{
	return tcp_reno_ssthresh(sk);
}

SEC("struct_ops/cong_avoid")
void BPF_PROG(cong_avoid, struct sock *sk, __u32 ack, __u32 acked)
{
#ifdef NODELAY
	int one = 1;

	bpf_setsockopt(sk, 6, 1, &one, sizeof(one));
#endif
	if (every)
		tcp_reno_cong_avoid(sk, ack, acked);
}

SEC("struct_ops/undo_cwnd")
__u32 BPF_PROG(undo_cwnd, struct sock *sk)
{
	return tcp_reno_undo_cwnd(sk);
}

SEC(SECTION)
struct tcp_congestion_ops control = {
	.ssthresh = (void *)ssthresh,
	.cong_avoid = (void *)cong_avoid,
	.undo_cwnd = (void *)undo_cwnd,
	.name = NAME,
};

#ifdef BOTH
SEC("sockops")
int count(struct bpf_sock_ops *ctx)
{
	return 1;
}
#endif
