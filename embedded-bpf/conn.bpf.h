/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Which scope owns which rule of a connection: state in sk_storage, shared by nested scopes. */
#ifndef TCPX_CONN_BPF_H
#define TCPX_CONN_BPF_H

#include "policy.bpf.h"
#include "segment.bpf.h"

#define TCPX_CALLBACK_NS 1000000 /* the programs of one callback run within this */

/* Takes the rules that no inner scope has taken; 1: this scope contributed one. Global, see
 * count_apart(). */
__noinline int claim(struct bpf_sock_ops *ctx, int direction)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcpx_policy_key key;
	struct tcpx_hits hits;
	struct tcpx_conn *conn;
	bool claimed = false;

	if (!sk || !policy_hits(ctx, direction, &key, &hits))
		return 0;
	conn = bpf_sk_storage_get(&conns, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!conn) {
		TCPX_ERROR(TCPX_EXT_UTO, -12);
		return 0;
	}
	if (!conn->scope && !hits.port && hits.any) { /* the usual case, in one copy */
		conn->policy = *hits.any;
		conn->scope = config.scope;
		return 1;
	}
	for (int ext = 0; ext < TCPX_EXT_COUNT; ext++) {
		for (int kind = 0; kind < TCPX_KIND_COUNT; kind++) {
			const struct tcpx_rule *rule = policy_rule(&hits, ext, kind);

			if (!rule || conn->policy.rules[ext][kind].flags)
				continue;
			conn->policy.rules[ext][kind] = *rule;
			claimed = true;
		}
	}
	if (!claimed)
		return 0;
	if (!conn->scope)
		conn->scope = config.scope;
	return 1;
}

/* What has come of a local rule, for `tcpx connections`. */
static __always_inline void conn_outcome(struct tcpx_conn *conn, enum tcpx_ext ext,
					 enum tcpx_outcome outcome)
{
	conn->policy.rules[ext][TCPX_KIND_LOCAL].outcome = outcome;
}

/* A watcher, should there be one, is told at the end of the callback: watch.bpf.h. */
static __always_inline void conn_news(struct tcpx_conn *conn, enum tcpx_ext ext,
				      enum tcpx_news news)
{
	conn->news |= news << 4 * ext;
}

/* An option of the peer that is ignored. */
static __always_inline void conn_malformed(struct tcpx_conn *conn, enum tcpx_ext ext)
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

/* The connection, when this scope has contributed a rule just now. */
static __always_inline struct tcpx_conn *conn_claim(struct bpf_sock_ops *ctx,
						    enum tcpx_direction direction)
{
	return claim(ctx, direction) ? conn_of(ctx) : NULL;
}

/* The connection, when this scope is the one that does its work. */
static __always_inline struct tcpx_conn *conn_own(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);

	return conn && conn->scope == config.scope ? conn : NULL;
}

static __always_inline __u32 attempt_hash(struct bpf_sock_ops *ctx)
{
	return ctx->remote_port ^ ctx->local_port << 16 ^ ctx->remote_ip4 ^ ctx->remote_ip6[3];
}

/*
 * A socket may connect() again, after a refusal or a disconnect: what belongs to
 * the attempt before goes, what is set on the socket stays known. An inner
 * scope's program may already have claimed this very attempt. True: it is new.
 */
static __always_inline bool attempt_is_new(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	struct tcpx_uto_conn uto = {.applied_ms = conn->uto.applied_ms};
	struct tcpx_before before = conn->before;
	__u8 cc_applied = conn->cc_applied, flags_ours = conn->flags_ours;

	if (conn->attempt == attempt_hash(ctx) &&
	    bpf_ktime_get_ns() - conn->attempt_ns < TCPX_CALLBACK_NS)
		return false;
	__builtin_memset(conn, 0, sizeof(*conn));
	conn->uto = uto;
	conn->before = before;
	conn->cc_applied = cc_applied;
	conn->flags_ours = flags_ours;
	return true;
}

/* The rules of a connection that is being opened; `conn` is what an attempt before has left. */
static __always_inline struct tcpx_conn *conn_connect(struct bpf_sock_ops *ctx,
						      struct tcpx_conn *conn)
{
	if (conn && attempt_is_new(ctx, conn))
		callback_flags(ctx, conn, 0,
			       TCPX_WRITE | TCPX_PARSE | TCPX_STATE | BPF_SOCK_OPS_RTT_CB_FLAG);
	conn = conn_claim(ctx, TCPX_DIRECTION_TO);
	if (conn) {
		conn->attempt = attempt_hash(ctx);
		conn->attempt_ns = bpf_ktime_get_ns();
	}
	return conn;
}

#endif
