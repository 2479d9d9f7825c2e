/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What programs of other types than sock_ops have: those that the kernel calls for system calls on
 * sockets. ext/NAME_sock.bpf.c includes this, and is an object of its own, loaded with the maps of
 * the scope's rules and attached only while a rule of the extension wants it (`programs` in
 * cli/extensions/types.ts). Its programs are called tcpx_TYPE. There are no global functions here:
 * before 6.0 no program on arm64 can have those and a tail call.
 *
 * Whose rules? TCPX_RULED() programs are replaced in the same moment as the sock_ops program, and
 * may look rules up. Plain ones, SEC("cgroup/getsockopt") and the like, answer from the record of
 * the connection, which is of no generation, and change nothing where it says nothing.
 */
#ifndef TCPX_SOCK_BPF_H
#define TCPX_SOCK_BPF_H

#define TCPX_SOCK
#include "policy.bpf.h"
#include "in_force.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define TCPX_IPPROTO_TCP 6

/*
 * A program of the type, int tcpx_TYPE(struct bpf_sock_addr *ctx), with its body behind. While the
 * link has it already and its generation is not in force yet, it hands on to the one before.
 */
#define TCPX_RULED(hook)                                                                           \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);                                             \
		__uint(max_entries, 1);                                                            \
		__uint(key_size, sizeof(__u32));                                                   \
		__uint(value_size, sizeof(__u32));                                                 \
	} before_##hook SEC(".maps");                                                              \
	static __always_inline int ruled_##hook(struct bpf_sock_addr *ctx);                        \
	SEC("cgroup/" #hook)                                                                       \
	int tcpx_##hook(struct bpf_sock_addr *ctx)                                                 \
	{                                                                                          \
		if (in_force(ctx->sk))                                                             \
			return ruled_##hook(ctx);                                                  \
		bpf_tail_call(ctx, &before_##hook, 0);                                             \
		return 1;                                                                          \
	}                                                                                          \
	static __always_inline int ruled_##hook(struct bpf_sock_addr *ctx)

/* The record of a connection; NULL: no rule is or was for it. */
static __always_inline struct tcpx_conn *sock_conn(struct bpf_sock *sk)
{
	return sk ? bpf_sk_storage_get(&conns, sk, NULL, 0) : NULL;
}

/* Is it a TCP socket? */
static __always_inline bool sock_is_tcp(struct bpf_sock_addr *ctx)
{
	return ctx->protocol == TCPX_IPPROTO_TCP;
}

/* Rules for where a socket is about to connect to: of connect4, or with `ipv6` of connect6. */
static __always_inline bool sock_hits(struct bpf_sock_addr *ctx, bool ipv6, struct tcpx_hits *hits)
{
	struct tcpx_policy_key key;
	__u32 *address = (__u32 *)key.address;

	__builtin_memset(&key, 0, sizeof(key));
	key.prefixlen = TCPX_KEY_BITS + 128;
	key.direction = TCPX_DIRECTION_TO;
	key.port = bpf_ntohs(ctx->user_port);
	if (ipv6) {
		address[0] = ctx->user_ip6[0];
		address[1] = ctx->user_ip6[1];
		address[2] = ctx->user_ip6[2];
		address[3] = ctx->user_ip6[3];
	} else {
		address[2] = bpf_htonl(0xffff);
		address[3] = ctx->user_ip4;
	}
	key.family = policy_family(address);
	if (config.use_netns) {
		__u64 cookie = bpf_get_netns_cookie(ctx);
		__u32 *index = bpf_map_lookup_elem(&namespaces, &cookie);

		if (index)
			key.netns = *index;
	}
	return policy_find(&key, hits);
}

/*
 * The rule of this scope for that call, unless the program of an inner scope, which runs before,
 * has had one. `by` is where the state of the extension notes whose it was; a renew() that is left
 * out clears it with the SYN.
 */
static __always_inline const struct tcpx_rule *sock_rule(const struct tcpx_hits *hits, __u32 ext,
							 __u32 kind, __u32 *by)
{
	const struct tcpx_rule *rule = policy_rule(hits, ext, kind);
	__u32 own = config.scope;

	if (*by && *by != own)
		return NULL;
	*by = rule ? own : 0;
	return rule;
}

#endif
