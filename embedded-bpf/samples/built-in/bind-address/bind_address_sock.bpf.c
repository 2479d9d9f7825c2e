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

/* The state of the connection to be, when it is for this scope to say where it comes from. `wanted`
 * is the rule's address; 0: there is no rule. */
static __always_inline struct tcpx_bind_address_conn *ruled(struct bpf_sock_addr *ctx, bool ipv6,
							    __u32 *wanted)
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
	state->rules.outcome = TCPX_OUTCOME_NONE;
	*wanted = rule_active(rule) ? rule->value[0] : 0;
	return state;
}

/*
 * Is an address to be given, or that to be taken back which an attempt before was given and the
 * socket has kept? `present`: what it is bound to.
 */
static __always_inline bool is_to_bind(struct tcpx_bind_address_conn *state, __u32 wanted,
				       __u32 present, bool chosen)
{
	bool ours = present == state->given && !chosen;

	state->given = 0;
	if (ours)
		return wanted || present;
	if (wanted) /* bind() came first, or a program of another */
		state->rules.outcome = TCPX_OUTCOME_APPLICATION;
	return false;
}

static __always_inline void said(struct tcpx_bind_address_conn *state, __u32 wanted, int err)
{
	if (!wanted)
		return;
	state->rules.outcome = err ? TCPX_OUTCOME_KERNEL : TCPX_OUTCOME_APPLIED;
	state->given = err ? 0 : wanted;
}

TCPX_RULED(connect4)
{
	__u32 wanted = 0;
	struct tcpx_bind_address_conn *state = ruled(ctx, false, &wanted);
	struct sockaddr_in address = {};
	struct bpf_sock *sk = ctx->sk;

	if (!state || !sk || !is_to_bind(state, wanted, sk->src_ip4, sk->src_port))
		return 1;
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = wanted;
	said(state, wanted, bpf_bind(ctx, (struct sockaddr *)&address, sizeof(address)));
	return 1;
}

/* Sockets of IPv6 that speak IPv4. */
TCPX_RULED(connect6)
{
	struct sockaddr_in6 address = {};
	struct tcpx_bind_address_conn *state;
	struct bpf_sock *sk = ctx->sk;
	__u32 wanted = 0, present;
	bool chosen;

	if (ctx->user_ip6[0] || ctx->user_ip6[1] || ctx->user_ip6[2] != bpf_htonl(0xffff))
		return 1;
	state = ruled(ctx, true, &wanted);
	if (!state || !sk)
		return 1;
	present = sk->src_ip6[3];
	chosen = sk->src_port || sk->src_ip6[0] || sk->src_ip6[1] ||
		 (sk->src_ip6[2] && sk->src_ip6[2] != bpf_htonl(0xffff));
	if (!is_to_bind(state, wanted, present, chosen))
		return 1;
	address.sin6_family = AF_INET6;
	if (wanted)
		address.sin6_addr.s6_addr32[2] = bpf_htonl(0xffff);
	address.sin6_addr.s6_addr32[3] = wanted;
	said(state, wanted, bpf_bind(ctx, (struct sockaddr *)&address, sizeof(address)));
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
