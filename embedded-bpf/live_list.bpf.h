/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What user space is told of a socket: what selectors look at, and the rules that it has. */
#ifndef TCPX_LIVE_LIST_BPF_H
#define TCPX_LIVE_LIST_BPF_H

#include "live.bpf.h"
#ifdef TCPX_LIVE_SLOTS
#include "ext-slot/live.bpf.h"
#endif

static __always_inline void live_address(struct tcp_sock *tp, struct tcpx_live_socket *out)
{
	struct sock_common___live *sk = (void *)tp;
	const __u32 *from = (const void *)&sk->skc_v6_daddr;
	__u32 *address = (__u32 *)out->remote;

	out->local_port = sk->skc_num;
	out->remote_port = bpf_ntohs(sk->skc_dport);
	if (sk->skc_family == TCPX_AF_INET6 && bpf_core_field_exists(sk->skc_v6_daddr)) {
		for (int i = 0; i < 4; i++)
			address[i] = from[i];
	} else {
		address[2] = bpf_htonl(0xffff);
		address[3] = sk->skc_daddr;
	}
	out->family = !address[0] && !address[1] && address[2] == bpf_htonl(0xffff)
			      ? TCPX_FAMILY_IPV4
			      : TCPX_FAMILY_IPV6;
}

#define LIVE_RULES(ID, name, conn, out)                                                            \
	(out)->local_rules[TCPX_EXT_##ID] = (conn)->states.name.rules.ids[TCPX_KIND_LOCAL];        \
	(out)->ask_rules[TCPX_EXT_##ID] = rules_active(&(conn)->states.name.rules, TCPX_KIND_ASK)  \
						  ? (conn)->states.name.rules.ids[TCPX_KIND_ASK]   \
						  : 0;

static __always_inline void live_rules(struct tcp_sock *tp, struct tcpx_live_socket *out)
{
	struct tcpx_conn *conn = bpf_sk_storage_get(&conns, tp, NULL, 0);

	if (!conn)
		return;
	out->direction = conn_direction(conn->attempt_ns, conn->received);
	TCPX_EACH(LIVE_RULES, conn, out)
#ifdef TCPX_LIVE_SLOTS
	slot_live_rules(tp, out);
#endif
}

#endif
