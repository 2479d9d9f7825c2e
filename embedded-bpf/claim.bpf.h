/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Which scope owns which rule of a connection: state in sk_storage, shared by nested scopes. */
#ifndef TCPX_CLAIM_BPF_H
#define TCPX_CLAIM_BPF_H

#include "conn.bpf.h"
#include "slices.bpf.h"
#ifdef TCPX_WITH_SLOTS
#include "ext-slot/claim.bpf.h"
#endif

/* Its rules, those that no inner scope has taken. Returns whether there is one. */
static __always_inline bool claim_kind(const struct tcpx_hits *hits, enum tcpx_direction direction,
				       struct tcpx_conn *conn, struct tcpx_rules *rules,
				       const struct tcpx_extension *x, __u32 ext, __u32 kind)
{
	const struct tcpx_rule *rule;

	if (!policy_has(ext, kind, direction))
		return false;
	rule = policy_rule(hits, ext, kind);
	if (!rule || !rules_take(rules, kind, rule))
		return false;
	if (x->take)
		x->take(conn, kind, rule);
	return true;
}

/* The same of kinds of its own. */
static __always_inline bool claim_own(const struct tcpx_hits *hits, enum tcpx_direction direction,
				      struct tcpx_conn *conn, const struct tcpx_extension *x,
				      __u32 ext)
{
	struct tcpx_own_rules *own = (void *)conn + x->own;
	bool claimed = false;

#pragma clang loop unroll(full)
	for (__u32 kind = TCPX_KIND_COUNT; kind < TCPX_KINDS; kind++) {
		const struct tcpx_rule *rule;

		if (kind >= TCPX_KIND_COUNT + x->own_kinds)
			break;
		if (!policy_has(ext, kind, direction))
			continue;
		rule = policy_rule(hits, ext, kind);
		if (!rule || !own_rules_take(own, kind, rule))
			continue;
		claimed = true;
		if (x->take)
			x->take(conn, kind, rule);
	}
	return claimed;
}

/* Not a loop: verifiers know the place of each, and leave out the kinds that no rule of this
 * direction has. */
#define CLAIM_KIND(name, ext, kind, hits, direction, conn, claimed)                                \
	(claimed) |= claim_kind(hits, direction, conn, &(conn)->states.name.rules,                 \
				&name##_extension, ext, kind);                                     \
	barrier_var(claimed); /* or clang keeps all answers, and verifiers follow each mixture */
#define CLAIM(ID, name, hits, direction, conn, claimed)                                            \
	CLAIM_KIND(name, TCPX_EXT_##ID, TCPX_KIND_ASK, hits, direction, conn, claimed)             \
	CLAIM_KIND(name, TCPX_EXT_##ID, TCPX_KIND_LOCAL, hits, direction, conn, claimed)           \
	CLAIM_KIND(name, TCPX_EXT_##ID, TCPX_KIND_ACCEPT, hits, direction, conn, claimed)          \
	if (name##_extension.own_kinds)                                                            \
		(claimed) |= claim_own(hits, direction, conn, &name##_extension, TCPX_EXT_##ID);

/* The connection, when this scope contributed a rule. */
static __always_inline struct tcpx_conn *claim(struct bpf_sock_ops *ctx,
					       enum tcpx_direction direction)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcpx_policy_key key;
	struct tcpx_hits hits;
	struct tcpx_conn *conn;
	bool claimed = false;

	if (!sk || !policy_hits(ctx, direction, &key, &hits))
		return NULL;
	conn = bpf_sk_storage_get(&conns, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!conn) {
		TCPX_ERROR(0, -12);
		return NULL;
	}
	TCPX_EACH(CLAIM, &hits, direction, conn, claimed)
	TCPX_SLOTS(SLOT_CLAIM, &hits, direction, conn, sk, claimed)
	if (!claimed)
		return NULL;
	if (!conn->scope)
		conn->scope = config.scope;
	return conn;
}

/* Not inlined: their stack would be that of the callers, too. */
static __noinline struct tcpx_conn *claim_opened(struct bpf_sock_ops *ctx)
{
	return claim(ctx, TCPX_DIRECTION_TO);
}

static __noinline struct tcpx_conn *claim_accepted(struct bpf_sock_ops *ctx)
{
	return claim(ctx, TCPX_DIRECTION_FROM);
}

static __always_inline __u32 attempt_hash(struct bpf_sock_ops *ctx)
{
	return ctx->remote_port ^ ctx->local_port << 16 ^ ctx->remote_ip4 ^ ctx->remote_ip6[3];
}

/* The program of an inner scope has had this very attempt already. */
static __always_inline bool attempt_is_known(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn)
{
	return conn->attempt == attempt_hash(ctx) &&
	       bpf_ktime_get_ns() - conn->attempt_ns < TCPX_CALLBACK_NS;
}

#define RENEW(ID, name, conn)                                                                      \
	if (name##_extension.renew)                                                                \
		name##_extension.renew(conn);                                                      \
	else                                                                                       \
		__builtin_memset(&(conn)->states.name, 0, sizeof((conn)->states.name));

/*
 * A socket may connect() again, after a refusal or a disconnect: what belongs to
 * the attempt before goes, what is set on the socket stays known. An inner
 * scope's program may already have claimed this very attempt. True: it is new.
 */
static __always_inline bool attempt_is_new(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	__u8 flags_ours = conn->flags_ours;

	if (attempt_is_known(ctx, conn))
		return false;
	__builtin_memset(conn, 0, __builtin_offsetof(struct tcpx_conn, states));
	TCPX_EACH(RENEW, conn)
	TCPX_SLOTS_DO(SLOT_ANY, slot_renew, ctx)
	conn->flags_ours = flags_ours;
	return true;
}

/* The rules of a connection that is being opened; `conn` is what an attempt before has left. */
static __always_inline struct tcpx_conn *conn_connect(struct bpf_sock_ops *ctx,
						      struct tcpx_conn *conn)
{
	if (conn && attempt_is_new(ctx, conn))
		callback_flags(ctx, conn, 0,
			       TCPX_WRITE | TCPX_PARSE | TCPX_STATE | BPF_SOCK_OPS_RTT_CB_FLAG |
				       BPF_SOCK_OPS_RTO_CB_FLAG);
	conn = claim_opened(ctx);
	if (conn) {
		conn->attempt = attempt_hash(ctx);
		conn->attempt_ns = bpf_ktime_get_ns();
	}
	return conn;
}

#endif
