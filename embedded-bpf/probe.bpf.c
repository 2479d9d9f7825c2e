// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* One small program per kernel facility: `tcpx doctor` loads them one by one. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "iter_tcp.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct inet_connection_sock {
	__u32 icsk_user_timeout;
} __attribute__((preserve_access_index));

struct tcp_sock {
	struct inet_connection_sock inet_conn;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} storage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096 * 16);
} ring SEC(".maps");

struct timed {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct timed);
} timers SEC(".maps");

SEC("sockops")
int header_options(struct bpf_sock_ops *ctx)
{
	__u8 option[4] = {28, 4, 0, 1};

	bpf_reserve_hdr_opt(ctx, sizeof(option), 0);
	bpf_store_hdr_opt(ctx, option, sizeof(option), 0);
	return 1;
}

SEC("sockops")
int socket_storage(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	if (sk)
		bpf_sk_storage_get(&storage, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	return 1;
}

SEC("sockops")
int core_reads(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp;

	if (!sk)
		return 1;
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp && tp->inet_conn.icsk_user_timeout)
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags);
	return 1;
}

/* Kernel lockdown forbids it (confidentiality), and some kernels are built without. */
SEC("sockops")
int memory_reads(struct bpf_sock_ops *ctx)
{
	__u64 word;

	return bpf_probe_read_kernel(&word, sizeof(word), (void *)ctx->bytes_acked) ? 1 : 1;
}

SEC("sockops")
int netns_cookie(struct bpf_sock_ops *ctx)
{
	return bpf_get_netns_cookie(ctx) ? 1 : 1;
}

SEC("sockops")
int ring_buffer(struct bpf_sock_ops *ctx)
{
	__u32 op = ctx->op;

	bpf_ringbuf_output(&ring, &op, sizeof(op), 0);
	return 1;
}

SEC("iter/tcp")
int socket_iterator(struct bpf_iter__tcp *ctx)
{
	return ctx->sk_common ? 0 : 0;
}

static int expired(void *map, __u32 *key, struct timed *value)
{
	return map && key && value ? 0 : 0;
}

SEC("cgroup_skb/egress")
int bpf_timers(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct timed *t = bpf_map_lookup_elem(&timers, &key);

	if (t && skb->len) {
		bpf_timer_init(&t->timer, &timers, 1);
		bpf_timer_set_callback(&t->timer, expired);
	}
	return 1;
}

/* Programs of other types: those that system calls on sockets run. */
#define PROBE_ADDRESS(type)                                                                        \
	SEC("cgroup/" #type)                                                                       \
	int type(struct bpf_sock_addr *ctx)                                                        \
	{                                                                                          \
		struct bpf_sock *sk = ctx->sk;                                                     \
                                                                                                   \
		return sk && bpf_sk_storage_get(&storage, sk, NULL, 0) ? 1 : 1;                    \
	}
#define PROBE_OPTION(type)                                                                         \
	SEC("cgroup/" #type)                                                                       \
	int type(struct bpf_sockopt *ctx)                                                          \
	{                                                                                          \
		struct bpf_sock *sk = ctx->sk;                                                     \
                                                                                                   \
		return sk && bpf_sk_storage_get(&storage, sk, NULL, 0) ? 1 : 1;                    \
	}
#define PROBE_BOUND(type)                                                                          \
	SEC("cgroup/" #type)                                                                       \
	int type(struct bpf_sock *ctx)                                                             \
	{                                                                                          \
		return ctx->src_port ? 1 : 1;                                                      \
	}

PROBE_ADDRESS(bind4)
PROBE_ADDRESS(bind6)
PROBE_ADDRESS(connect4)
PROBE_ADDRESS(connect6)
PROBE_ADDRESS(getpeername4)
PROBE_ADDRESS(getpeername6)
PROBE_ADDRESS(getsockname4)
PROBE_ADDRESS(getsockname6)
PROBE_OPTION(getsockopt)
PROBE_OPTION(setsockopt)
PROBE_BOUND(post_bind4)
PROBE_BOUND(post_bind6)
