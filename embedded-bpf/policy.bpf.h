/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Which rules apply to a connection, and which scope owns them. */
#ifndef TCPX_POLICY_BPF_H
#define TCPX_POLICY_BPF_H

#include "maps.bpf.h"

#define TCPX_AF_INET 2

#define TCPX_KEY_BITS 64 /* of the policy key in front of the address */

struct tcpx_hits {
	struct tcpx_policy *port; /* by exact port */
	struct tcpx_policy *any;  /* by any port */
};

static __always_inline void policy_key(struct bpf_sock_ops *ctx, enum tcpx_direction direction,
				       struct tcpx_policy_key *key)
{
	__u32 *address = (__u32 *)key->address;

	__builtin_memset(key, 0, sizeof(*key));
	key->prefixlen = TCPX_KEY_BITS + 128;
	key->direction = direction;
	key->port = direction == TCPX_DIRECTION_TO ? bpf_ntohl(ctx->remote_port) : ctx->local_port;
	if (ctx->family == TCPX_AF_INET) {
		address[2] = bpf_htonl(0xffff);
		address[3] = ctx->remote_ip4;
	} else {
		address[0] = ctx->remote_ip6[0];
		address[1] = ctx->remote_ip6[1];
		address[2] = ctx->remote_ip6[2];
		address[3] = ctx->remote_ip6[3];
	}
	key->family = !address[0] && !address[1] && address[2] == bpf_htonl(0xffff)
			      ? TCPX_FAMILY_IPV4
			      : TCPX_FAMILY_IPV6;
	if (config.use_netns) { /* not on 5.10, whose verifier must not see the call */
		__u64 cookie = bpf_get_netns_cookie(ctx);
		__u32 *index = bpf_map_lookup_elem(&namespaces, &cookie);

		if (index)
			key->netns = *index;
	}
}

/* Two look-ups for all extensions: the planner has flattened wider selectors in. */
static __always_inline bool policy_hits(struct bpf_sock_ops *ctx, enum tcpx_direction direction,
					struct tcpx_hits *hits)
{
	struct tcpx_policy_key key;

	policy_key(ctx, direction, &key);
	hits->port = config.use_ports ? bpf_map_lookup_elem(&policies, &key) : NULL;
	key.port = 0;
	hits->any = bpf_map_lookup_elem(&policies, &key);
	return hits->port || hits->any;
}

/* Longest prefix first, then the exact port. */
static __always_inline const struct tcpx_rule *policy_rule(const struct tcpx_hits *hits,
							   enum tcpx_ext ext, enum tcpx_kind kind)
{
	const struct tcpx_rule *port = hits->port ? &hits->port->rules[ext][kind] : NULL;
	const struct tcpx_rule *any = hits->any ? &hits->any->rules[ext][kind] : NULL;

	if (port && !(port->flags & TCPX_RULE_SET))
		port = NULL;
	if (any && !(any->flags & TCPX_RULE_SET))
		any = NULL;
	if (port && any && any->prefix > port->prefix)
		return any;
	return port ?: any;
}

/* Does this rule ask for something (rather than being absent or an exemption)? */
static __always_inline bool rule_active(const struct tcpx_rule *rule)
{
	return rule && (rule->flags & (TCPX_RULE_SET | TCPX_RULE_NONE)) == TCPX_RULE_SET;
}

/*
 * Takes the rules that no inner scope has taken. Returns the connection when
 * this scope contributed a rule, NULL otherwise.
 */
static __always_inline struct tcpx_conn *policy_claim(struct bpf_sock_ops *ctx,
						      enum tcpx_direction direction)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcpx_hits hits;
	struct tcpx_conn *conn;
	bool claimed = false;

	if (!sk || !policy_hits(ctx, direction, &hits))
		return NULL;
	conn = bpf_sk_storage_get(&conns, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!conn) {
		TCPX_ERROR(TCPX_EXT_UTO, -12);
		return NULL;
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
		return NULL;
	if (!conn->scope)
		conn->scope = config.scope;
	return conn;
}

/* The connection, when this scope is the one that does its work. */
static __always_inline struct tcpx_conn *policy_conn(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct tcpx_conn *conn;

	if (!sk)
		return NULL;
	conn = bpf_sk_storage_get(&conns, sk, NULL, 0);
	return conn && conn->scope == config.scope ? conn : NULL;
}

#define TCPX_HANDOVER_NS 1000000 /* the programs of one callback run within this */

/*
 * The slots of a SYN-ACK that inner scopes have decided; adds ours. Without
 * this an inner `none` would not keep an outer scope from asking.
 */
static __always_inline __u32 policy_handover(struct bpf_sock_ops *ctx,
					     const struct tcpx_policy_key *key, __u32 slots)
{
	struct tcpx_handover *h;
	__u32 zero = 0, decided = 0, ports = ctx->remote_port ^ ctx->local_port << 16;
	const __u32 *remote = (const __u32 *)key->address;
	__u64 now = bpf_ktime_get_ns();

	h = bpf_map_lookup_elem(&handover, &zero);
	if (!h)
		return 0;
	if (h->op == ctx->op && h->ports == ports && h->remote[0] == remote[0] &&
	    h->remote[1] == remote[1] && h->remote[2] == remote[2] && h->remote[3] == remote[3] &&
	    now - h->at_ns < TCPX_HANDOVER_NS)
		decided = h->slots;
	h->at_ns = now;
	h->op = ctx->op;
	h->ports = ports;
	__builtin_memcpy(h->remote, remote, sizeof(h->remote));
	h->slots = decided | slots;
	return decided;
}

#endif
