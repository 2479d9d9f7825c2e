// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * @NAME@: a congestion control of its own, loaded by `tcpx ext load`. It does what Reno does (RFC
 * 5681): one more segment for each one acknowledged in slow start, one more per window after it,
 * half of it after a loss. Change grown() and halved().
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* The kernel's own helpers for congestion controls are for programs under the GPL. */
char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct sock;

/*
 * What is used of the kernel's structs. Their members are looked up by name when the object is
 * loaded, so their places in here mean nothing, and no vmlinux.h is needed.
 */
struct tcp_sock {
	__u32 snd_cwnd;
	__u32 snd_cwnd_cnt;
	__u32 snd_cwnd_clamp;
	__u32 snd_ssthresh;
	__u32 prior_cwnd;
} __attribute__((preserve_access_index));

struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
};

#define SMALLEST 2

static __always_inline __u32 least(__u32 a, __u32 b)
{
	return a < b ? a : b;
}

static __always_inline __u32 most(__u32 a, __u32 b)
{
	return a > b ? a : b;
}

/* After a loss the window goes down to this. */
static __always_inline __u32 halved(__u32 cwnd)
{
	return most(cwnd / 2, SMALLEST);
}

/* Segments were acknowledged. */
static __always_inline void grown(struct tcp_sock *tp, __u32 acked)
{
	__u32 cwnd = tp->snd_cwnd, next = cwnd;

	if (cwnd < tp->snd_ssthresh) {
		next = least(cwnd + acked, tp->snd_ssthresh);
		acked -= next - cwnd;
	}
	tp->snd_cwnd_cnt += acked;
	if (tp->snd_cwnd_cnt >= next) {
		tp->snd_cwnd_cnt = 0;
		next++;
	}
	tp->snd_cwnd = least(next, tp->snd_cwnd_clamp);
}

SEC("struct_ops/ssthresh")
__u32 BPF_PROG(ssthresh, struct sock *sk)
{
	return halved(((struct tcp_sock *)sk)->snd_cwnd);
}

SEC("struct_ops/cong_avoid")
void BPF_PROG(cong_avoid, struct sock *sk, __u32 ack, __u32 acked)
{
	grown((struct tcp_sock *)sk, acked);
}

/* The loss was none: the window is again what it was before. */
SEC("struct_ops/undo_cwnd")
__u32 BPF_PROG(undo_cwnd, struct sock *sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;

	return most(tp->snd_cwnd, tp->prior_cwnd);
}

SEC(".struct_ops")
struct tcp_congestion_ops congestion = {
	.ssthresh = (void *)ssthresh,
	.cong_avoid = (void *)cong_avoid,
	.undo_cwnd = (void *)undo_cwnd,
	.name = "@CONTROL@",
};
