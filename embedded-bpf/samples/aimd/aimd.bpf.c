// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A congestion control: the window grows by `add` segments each round trip, and `keep` percent of
 * it are left after a loss. With 1 and 50 it is Reno. The kernel asks for three functions; what
 * they read of the kernel's structures is found by their names, whatever kernel it is.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

const volatile __u32 add = 1;
const volatile __u32 keep = 50;

struct sock;

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

SEC("struct_ops/aimd_ssthresh")
__u32 BPF_PROG(aimd_ssthresh, struct sock *sk)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;
	__u32 left = (__u64)tp->snd_cwnd * keep / 100;

	return left > 2 ? left : 2;
}

SEC("struct_ops/aimd_cong_avoid")
void BPF_PROG(aimd_cong_avoid, struct sock *sk, __u32 ack, __u32 acked)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	__u32 cwnd = tp->snd_cwnd, most = tp->snd_cwnd_clamp, count;

	if (cwnd < tp->snd_ssthresh) { /* slow start */
		cwnd += acked;
	} else {
		count = tp->snd_cwnd_cnt + acked * add;
		if (cwnd && count >= cwnd) {
			cwnd += count / cwnd;
			count = 0;
		}
		tp->snd_cwnd_cnt = count;
	}
	tp->snd_cwnd = cwnd < most ? cwnd : most;
}

SEC("struct_ops/aimd_undo_cwnd")
__u32 BPF_PROG(aimd_undo_cwnd, struct sock *sk)
{
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;

	return tp->snd_cwnd > tp->prior_cwnd ? tp->snd_cwnd : tp->prior_cwnd;
}

SEC(".struct_ops")
struct tcp_congestion_ops aimd = {
	.ssthresh = (void *)aimd_ssthresh,
	.cong_avoid = (void *)aimd_cong_avoid,
	.undo_cwnd = (void *)aimd_undo_cwnd,
	.name = "aimd",
};
