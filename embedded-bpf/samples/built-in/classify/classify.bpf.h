/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What queues and firewalls tell connections apart by: SO_PRIORITY, SO_MARK. */
#ifndef TCPX_CLASSIFY_BPF_H
#define TCPX_CLASSIFY_BPF_H

#include "../conn.bpf.h"
#include "../tcpx_slice.h"

#define TCPX_SOL_SOCKET 1
#define TCPX_SO_PRIORITY 12
#define TCPX_SO_MARK 36

struct sock___classify {
	__u32 sk_priority;
	__u32 sk_mark;
} __attribute__((preserve_access_index));

static __always_inline void classify_take(struct tcpx_conn *conn, __u32 kind,
					  const struct tcpx_rule *rule)
{
	struct tcpx_classify_conn *classify = &conn->states.classify;

	if (kind == TCPX_CLASSIFY_PRIORITY)
		classify->priority = rule->value[0];
	else
		classify->mark = rule->value[0];
}

/* What differs from the kernel's default, 0, is the application's. Returns what we have set. */
static __always_inline __u32 classify_set(struct bpf_sock_ops *ctx,
					  struct tcpx_classify_conn *classify, __u32 kind,
					  __u32 present, int name, __u32 value)
{
	int err;

	if (!own_rules_active(&classify->own_rules, kind) || present == value ||
	    classify->kept & 1U << kind)
		return 0;
	if (present) {
		classify->kept |= 1U << kind;
		count_apart(TCPX_EXT_CLASSIFY, TCPX_COUNTER_KEPT);
		return 0;
	}
	err = bpf_setsockopt(ctx, TCPX_SOL_SOCKET, name, &value, sizeof(value));
	if (err) {
		classify->kept |= 1U << kind;
		TCPX_ERROR(TCPX_EXT_CLASSIFY, err);
		return 0;
	}
	count_apart(TCPX_EXT_CLASSIFY, TCPX_COUNTER_APPLIED);
	return value;
}

/* Before the SYN, or when the connection is accepted. Global: see receive_header(). */
__noinline int classify_apply(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);
	struct bpf_sock *sk = ctx->sk;
	struct sock___classify *socket = sk ? (void *)bpf_skc_to_tcp_sock(sk) : NULL;
	struct tcpx_classify_conn *classify;

	if (!conn || !socket)
		return 0;
	classify = &conn->states.classify;
	classify->set_priority |=
		classify_set(ctx, classify, TCPX_CLASSIFY_PRIORITY, socket->sk_priority,
			     TCPX_SO_PRIORITY, classify->priority);
	classify->set_mark |= classify_set(ctx, classify, TCPX_CLASSIFY_MARK, socket->sk_mark,
					   TCPX_SO_MARK, classify->mark);
	return 0;
}

/* What we have set goes: the next connection of the socket need not have the rule. */
static __always_inline void classify_unset(struct bpf_sock_ops *ctx, __u32 present, __u32 ours,
					   int name)
{
	__u32 zero = 0;
	int err;

	if (!ours || present != ours)
		return;
	err = bpf_setsockopt(ctx, TCPX_SOL_SOCKET, name, &zero, sizeof(zero));
	if (err)
		TCPX_ERROR(TCPX_EXT_CLASSIFY, err);
}

static __always_inline void classify_again(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
					   void *tp)
{
	const struct tcpx_classify_conn *classify = &conn->states.classify;
	const struct sock___classify *socket = tp;

	classify_unset(ctx, socket->sk_priority, classify->set_priority, TCPX_SO_PRIORITY);
	classify_unset(ctx, socket->sk_mark, classify->set_mark, TCPX_SO_MARK);
}

static __always_inline void classify_start(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	classify_apply(ctx);
}

static const struct tcpx_extension classify_extension = {
	.own_kinds = TCPX_CLASSIFY_END - TCPX_KIND_COUNT,
	.own = __builtin_offsetof(struct tcpx_conn, states.classify.own_rules),
	.take = classify_take,
	.again = classify_again,
	.start = classify_start,
};

#endif
