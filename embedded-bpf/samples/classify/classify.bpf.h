/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What queues and firewalls tell connections apart by: SO_PRIORITY, SO_MARK. */
#ifndef TCPX_CLASSIFY_BPF_H
#define TCPX_CLASSIFY_BPF_H

#include "../conn.bpf.h"
#include "../tcpx_ext.h"

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

/* What differs from the kernel's default, 0, is the application's. */
static __always_inline void classify_set(struct bpf_sock_ops *ctx, const struct tcpx_own_rules *own,
					 __u32 kind, __u32 present, int name, __u32 value)
{
	int err;

	if (!own_rules_active(own, kind) || present == value)
		return;
	if (present) {
		count_apart(TCPX_EXT_CLASSIFY, TCPX_COUNTER_KEPT);
		return;
	}
	err = bpf_setsockopt(ctx, TCPX_SOL_SOCKET, name, &value, sizeof(value));
	if (err)
		TCPX_ERROR(TCPX_EXT_CLASSIFY, err);
	else
		count_apart(TCPX_EXT_CLASSIFY, TCPX_COUNTER_APPLIED);
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
	classify_set(ctx, &classify->own_rules, TCPX_CLASSIFY_PRIORITY, socket->sk_priority,
		     TCPX_SO_PRIORITY, classify->priority);
	classify_set(ctx, &classify->own_rules, TCPX_CLASSIFY_MARK, socket->sk_mark, TCPX_SO_MARK,
		     classify->mark);
	return 0;
}

static __always_inline void classify_start(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	classify_apply(ctx);
}

static const struct tcpx_extension classify_extension = {
	.own_kinds = TCPX_CLASSIFY_END - TCPX_KIND_COUNT,
	.own = __builtin_offsetof(struct tcpx_conn, states.classify.own_rules),
	.take = classify_take,
	.start = classify_start,
};

#endif
