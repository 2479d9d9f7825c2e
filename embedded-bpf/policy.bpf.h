/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Which rules apply to a connection. */
#ifndef TCPX_POLICY_BPF_H
#define TCPX_POLICY_BPF_H

#include "maps.bpf.h"

#define TCPX_AF_INET 2

#define TCPX_KEY_BITS 64 /* of the policy key in front of the address */

/* The profiles of a connection; NULL: none. */
struct tcpx_hits {
	const void *port; /* by exact port */
	const void *any;  /* by any port */
};

/* The remote address, IPv4 as ::ffff:a.b.c.d; `address` is zeroed. */
static __always_inline void policy_address(struct bpf_sock_ops *ctx, __u32 *address)
{
	__u32 ipv4 = ctx->remote_ip4;

	barrier_var(ipv4); /* or clang makes one load at two offsets, which no verifier takes */
	if (ctx->family == TCPX_AF_INET) {
		address[2] = bpf_htonl(0xffff);
		address[3] = ipv4;
	} else {
		address[0] = ctx->remote_ip6[0];
		address[1] = ctx->remote_ip6[1];
		address[2] = ctx->remote_ip6[2];
		address[3] = ctx->remote_ip6[3];
	}
}

static __always_inline __u8 policy_family(const __u32 *address)
{
	return !address[0] && !address[1] && address[2] == bpf_htonl(0xffff) ? TCPX_FAMILY_IPV4
									     : TCPX_FAMILY_IPV6;
}

static __always_inline void policy_key(struct bpf_sock_ops *ctx, enum tcpx_direction direction,
				       struct tcpx_policy_key *key)
{
	__u32 *address = (__u32 *)key->address;

	__builtin_memset(key, 0, sizeof(*key));
	key->prefixlen = TCPX_KEY_BITS + 128;
	key->direction = direction;
	key->port = direction == TCPX_DIRECTION_TO ? bpf_ntohl(ctx->remote_port) : ctx->local_port;
	policy_address(ctx, address);
	key->family = policy_family(address);
	if (config.use_netns) { /* not on 5.10, whose verifier must not see the call */
		__u64 cookie = bpf_get_netns_cookie(ctx);
		__u32 *index = bpf_map_lookup_elem(&namespaces, &cookie);

		if (index)
			key->netns = *index;
	}
}

static __always_inline const void *policy_profile(const struct tcpx_policy_key *key)
{
	const __u32 *number = bpf_map_lookup_elem(&policies, key);

	return number ? bpf_map_lookup_elem(&profiles, number) : NULL;
}

/*
 * Two look-ups for all extensions: the planner has flattened wider selectors in.
 * Leaves the key of the second one behind.
 */
static __always_inline bool policy_find(struct tcpx_policy_key *key, struct tcpx_hits *hits)
{
	hits->port = config.use_ports ? policy_profile(key) : NULL;
	key->port = 0;
	hits->any = policy_profile(key);
	if (hits->port)
		return true;
	barrier(); /* or clang makes one number of the two pointers, which no verifier takes */
	return hits->any;
}

static __always_inline bool policy_hits(struct bpf_sock_ops *ctx, enum tcpx_direction direction,
					struct tcpx_policy_key *key, struct tcpx_hits *hits)
{
	policy_key(ctx, direction, key);
	return policy_find(key, hits);
}

static __always_inline const struct tcpx_rule *policy_in(const void *profile, __u32 ext, __u32 kind)
{
	const struct tcpx_rule *rule;

	if (!profile)
		return NULL;
	rule = profile + config.places[ext][kind]; /* which verifiers know */
	return rule->flags & TCPX_RULE_SET ? rule : NULL;
}

/* Has the scope a rule of this kind for connections of this direction? Verifiers know it. */
static __always_inline bool policy_has(__u32 ext, __u32 kind, enum tcpx_direction direction)
{
	const __u32 kinds =
		direction == TCPX_DIRECTION_TO ? config.kinds_to[ext] : config.kinds_from[ext];

	return kinds & 1U << kind;
}

/* Longest prefix first, then the exact port. At the place 0, of a kind that no rule has, stands
 * none. */
static __always_inline const struct tcpx_rule *policy_rule(const struct tcpx_hits *hits, __u32 ext,
							   __u32 kind)
{
	const struct tcpx_rule *port = policy_in(hits->port, ext, kind);
	const struct tcpx_rule *any = policy_in(hits->any, ext, kind);

	if (port && any && any->prefix > port->prefix)
		return any;
	return port ?: any;
}

/* Does a rule with these flags ask for something (rather than being absent or an exemption)? */
static __always_inline bool flags_active(__u8 flags)
{
	return (flags & (TCPX_RULE_SET | TCPX_RULE_NONE)) == TCPX_RULE_SET;
}

static __always_inline bool rule_active(const struct tcpx_rule *rule)
{
	return rule && flags_active(rule->flags);
}

/* The same of the rule that a connection has. */
static __always_inline bool rules_active(const struct tcpx_rules *rules, enum tcpx_kind kind)
{
	return flags_active(rules->flags[kind]);
}

#endif
