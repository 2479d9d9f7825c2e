// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * connect() from the rule's address: before the kernel chooses one itself. And an option that no
 * kernel has, for the application that wants to know: getsockopt(IPPROTO_TCP, 0x7C40) gives the
 * four bytes of the address.
 */
#include <linux/in.h>
#include <linux/in6.h>
#include "../sock.bpf.h"

#define TCPX_BIND_ADDRESS_OPTION 0x7C40
#define AF_INET 2
#define AF_INET6 10

/* The state of the connection to be, when a rule of this scope is to be followed. */
static __always_inline struct tcpx_bind_address_conn *ruled(struct bpf_sock_addr *ctx, bool ipv6)
{
	struct tcpx_bind_address_conn *state;
	const struct tcpx_rule *rule;
	struct bpf_sock *sk = ctx->sk;
	struct tcpx_conn *conn;
	struct tcpx_hits hits;
	__u64 create;

	if (!sk || !sock_is_tcp(ctx))
		return NULL;
	create = sock_hits(ctx, ipv6, &hits) ? BPF_SK_STORAGE_GET_F_CREATE : 0;
	conn = bpf_sk_storage_get(&conns, sk, NULL, create);
	if (!conn)
		return NULL;
	state = &conn->states.bind_address;
	rule = sock_rule(&hits, TCPX_EXT_BIND_ADDRESS, TCPX_KIND_LOCAL, &state->by);
	if (state->by && !rule) /* an inner scope's */
		return NULL;
	state->given = 0;
	state->rules.outcome = TCPX_OUTCOME_NONE;
	if (!rule_active(rule))
		return NULL;
	state->given = rule->value[0];
	return state;
}

static __always_inline void said(struct tcpx_bind_address_conn *state, int err)
{
	state->rules.outcome = err ? TCPX_OUTCOME_KERNEL : TCPX_OUTCOME_APPLIED;
	if (err)
		state->given = 0;
}

/* bind() came first, or bind4 of another. */
static __always_inline void chosen(struct tcpx_bind_address_conn *state)
{
	state->rules.outcome = TCPX_OUTCOME_APPLICATION;
	state->given = 0;
}

TCPX_RULED(connect4)
{
	struct tcpx_bind_address_conn *state = ruled(ctx, false);
	struct sockaddr_in address = {};
	struct bpf_sock *sk = ctx->sk;

	if (!state || !sk)
		return 1;
	if (sk->src_ip4 || sk->src_port) {
		chosen(state);
		return 1;
	}
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = state->given;
	said(state, bpf_bind(ctx, (struct sockaddr *)&address, sizeof(address)));
	return 1;
}

/* Sockets of IPv6 that speak IPv4. */
TCPX_RULED(connect6)
{
	struct sockaddr_in6 address = {};
	struct tcpx_bind_address_conn *state;
	struct bpf_sock *sk = ctx->sk;

	if (ctx->user_ip6[0] || ctx->user_ip6[1] || ctx->user_ip6[2] != bpf_htonl(0xffff))
		return 1;
	state = ruled(ctx, true);
	if (!state || !sk)
		return 1;
	if (sk->src_ip6[0] || sk->src_ip6[1] || sk->src_ip6[2] || sk->src_ip6[3] || sk->src_port) {
		chosen(state);
		return 1;
	}
	address.sin6_family = AF_INET6;
	address.sin6_addr.s6_addr32[2] = bpf_htonl(0xffff);
	address.sin6_addr.s6_addr32[3] = state->given;
	said(state, bpf_bind(ctx, (struct sockaddr *)&address, sizeof(address)));
	return 1;
}

SEC("cgroup/getsockopt")
int tcpx_getsockopt(struct bpf_sockopt *ctx)
{
	__u8 *value = ctx->optval, *end = ctx->optval_end;
	struct tcpx_conn *conn;
	__u32 given;

	if (ctx->level != TCPX_IPPROTO_TCP || ctx->optname != TCPX_BIND_ADDRESS_OPTION)
		return 1;
	conn = sock_conn(ctx->sk);
	given = conn ? conn->states.bind_address.given : 0;
	if (!given || ctx->optlen < (int)sizeof(given) || value + sizeof(given) > end)
		return 1;
	__builtin_memcpy(value, &given, sizeof(given));
	ctx->optlen = sizeof(given);
	barrier(); /* or clang makes one store of the two, which no verifier takes */
	ctx->retval = 0;
	return 1;
}
