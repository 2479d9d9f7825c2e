/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Which scope owns which rule of a connection: state in sk_storage, shared by nested scopes. */
#ifndef TCPX_CONN_BPF_H
#define TCPX_CONN_BPF_H

#include "policy.bpf.h"
#include "segment.bpf.h"

#define TCPX_SOL_TCP 6
#define TCPX_CALLBACK_NS 1000000 /* the programs of one callback run within this */

/* A rule is the connection's, unless an inner scope's is. */
static __always_inline bool rules_take(struct tcpx_rules *rules, __u32 kind,
				       const struct tcpx_rule *rule)
{
	if (rules->flags[kind])
		return false;
	rules->flags[kind] = rule->flags;
	rules->ids[kind] = rule->id;
	return true;
}

/* The same of a rule of an extension's own kind. */
static __always_inline bool own_rules_take(struct tcpx_own_rules *own, __u32 kind,
					   const struct tcpx_rule *rule)
{
	if (own->taken & 1U << kind)
		return false;
	own->taken |= 1U << kind;
	if (rule_active(rule))
		own->active |= 1U << kind;
	return true;
}

static __always_inline bool own_rules_active(const struct tcpx_own_rules *own, __u32 kind)
{
	return own->active & 1U << kind;
}

/* What has come of a local rule, for `tcpx connections`. */
static __always_inline void rules_outcome(struct tcpx_rules *rules, enum tcpx_outcome outcome)
{
	rules->outcome = outcome;
}

/* Programs of scopes in one another all come here, and each attempt of a socket begins anew. */
static __always_inline bool rules_untried(const struct tcpx_rules *rules)
{
	return rules_active(rules, TCPX_KIND_LOCAL) && rules->outcome == TCPX_OUTCOME_NONE;
}

/*
 * Is this the time for what depends on no peer? Once, before data goes: with Fast Open that is the
 * SYN, and the third ACK, with which a peer may be granted something, need not come.
 */
static __always_inline bool local_now(struct bpf_sock_ops *ctx)
{
	return ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB ||
	       ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB;
}

/* A watcher, should there be one, is told at the end of the callback: watch.bpf.h. */
static __always_inline void conn_news(struct tcpx_conn *conn, __u32 ext, enum tcpx_news news)
{
	conn->news |= (__u64)news << 4 * ext;
}

/* An option of the peer that is ignored. */
static __always_inline void conn_malformed(struct tcpx_conn *conn, __u32 ext)
{
	count_apart(ext, TCPX_COUNTER_MALFORMED);
	conn_news(conn, ext, TCPX_NEWS_MALFORMED);
}

/* The connection, when some scope has a rule for it. */
static __always_inline struct tcpx_conn *conn_of(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk;

	barrier_var(ctx); /* or clang keeps &ctx->sk, which no verifier takes */
	sk = ctx->sk;

	return sk ? bpf_sk_storage_get(&conns, sk, NULL, 0) : NULL;
}

/* The connection, when this scope is the one that does its work. */
static __always_inline struct tcpx_conn *conn_own(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);

	return conn && conn->scope == config.scope ? conn : NULL;
}

#endif
