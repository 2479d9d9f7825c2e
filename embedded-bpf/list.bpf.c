// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * `tcpx connections`: one record per TCP socket of a network namespace. It only
 * reads. Sockets of a handshake under way and of TIME_WAIT are no full sockets:
 * they have no settings, and are not listed.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>
#include <stdbool.h>
#include "list_kernel.bpf.h"
#include "cgroups.bpf.h"
#include "conns.bpf.h"
#include "keepalive.bpf.h"
#include "list_local.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

const volatile struct tcpx_list_config config = {};

#define TCPX_AF_INET 2
#define TCPX_TCP_LISTEN 10
#define TCPX_STORAGES_MAX 32 /* of one socket, by all BPF programs of the host */

/* Before 5.11 iterators cannot ask for a socket's storage: looks for it as the kernel does. */
static __always_inline const struct tcpx_conn *conn_by_hand(struct sock *sk)
{
	struct bpf_local_storage *storage = BPF_CORE_READ(sk, sk_bpf_storage);
	struct bpf_local_storage_elem *elem;
	struct hlist_node *node = storage ? BPF_CORE_READ(storage, list.first) : NULL;

	for (int i = 0; i < TCPX_STORAGES_MAX && node; i++) {
		elem = (void *)node; /* only to name its type */
		elem = (void *)node - bpf_core_field_offset(elem->snode);
		if (BPF_CORE_READ(elem, sdata.smap, map.id) == config.conns_id)
			return (void *)elem + bpf_core_field_offset(elem->sdata.data);
		node = BPF_CORE_READ(node, next);
	}
	return NULL;
}

static __always_inline void list_addresses(struct tcpx_listed *r, struct sock_common *sk)
{
	r->local_port = sk->skc_num;
	r->remote_port = bpf_ntohs(sk->skc_dport);
	if (sk->skc_family == TCPX_AF_INET) {
		r->family = TCPX_FAMILY_IPV4;
		r->local[10] = r->local[11] = r->remote[10] = r->remote[11] = 0xff;
		bpf_core_read(&r->local[12], 4, &sk->skc_rcv_saddr);
		bpf_core_read(&r->remote[12], 4, &sk->skc_daddr);
		return;
	}
	bpf_core_read(r->local, 16, &sk->skc_v6_rcv_saddr);
	bpf_core_read(r->remote, 16, &sk->skc_v6_daddr);
	r->family = TCPX_FAMILY_IPV6;
	if (!*(__u64 *)r->remote && *(__u32 *)&r->remote[8] == bpf_htonl(0xffff)) {
		r->family = TCPX_FAMILY_IPV4;
		r->flags |= TCPX_LIST_MAPPED;
	}
}

static __always_inline void list_settings(struct tcpx_listed *r, struct tcp_sock *tp)
{
	struct inet_connection_sock *icsk = &tp->inet_conn;
	struct tcp_congestion_ops *ca = BPF_CORE_READ(icsk, icsk_ca_ops);
	struct keepalive k = {};

	r->mark = BPF_CORE_READ(icsk, icsk_inet.sk.sk_mark);
	r->user_timeout_ms = BPF_CORE_READ(icsk, icsk_user_timeout);
	if (bpf_core_field_exists(icsk->icsk_delack_max))
		r->delack_max = BPF_CORE_READ(icsk, icsk_delack_max);
	if (keepalive_read(tp, &k)) {
		r->flags |= TCPX_LIST_KEEPALIVE;
		r->keepalive_idle = k.idle;
		r->keepalive_interval = k.interval;
		r->keepalive_probes = k.probes;
	}
	r->cwnd = BPF_CORE_READ(tp, snd_cwnd);
	r->srtt_us = BPF_CORE_READ(tp, srtt_us) >> 3;
	if (ca)
		bpf_core_read_str(r->congestion, sizeof(r->congestion), &ca->name);
}

/* What tcpx has noted down. A copy at a time: its address may be one that only reads can use. */
static __always_inline void list_conn(struct tcpx_listed *r, const struct tcpx_conn *conn)
{
	__u64 since = 0, attempt = 0;
	__u32 received = 0;

	r->flags |= TCPX_LIST_KNOWN;
	bpf_probe_read_kernel(&r->scope, sizeof(r->scope), &conn->scope);
	bpf_probe_read_kernel(&since, sizeof(since), &conn->since_ns);
	bpf_probe_read_kernel(&attempt, sizeof(attempt), &conn->attempt_ns);
	bpf_probe_read_kernel(&received, sizeof(received), &conn->received);
	bpf_probe_read_kernel(&r->silent, sizeof(r->silent), &conn->silent);
	bpf_probe_read_kernel(&r->written, sizeof(r->written), &conn->written);
	bpf_probe_read_kernel(&r->keepalive, sizeof(r->keepalive), &conn->keepalive);
	bpf_probe_read_kernel(&r->uto, sizeof(r->uto), &conn->uto);
	bpf_probe_read_kernel(&r->uto_ask, sizeof(r->uto_ask),
			      &conn->policy.rules[TCPX_EXT_UTO][TCPX_KIND_ASK]);
	bpf_probe_read_kernel(&r->ack, sizeof(r->ack), &conn->ack);
	bpf_probe_read_kernel(r->requests, sizeof(r->requests), conn->requests);
	r->established = since > TCPX_SINCE_NEXT; /* else it has yet to speak */
	r->direction = conn_direction(attempt, received);
	list_local(r, conn, config.jiffy_us);
}

static __always_inline int list_socket(struct bpf_iter__tcp *ctx, bool by_hand)
{
	struct sock_common *skc = ctx->sk_common;
	const struct tcpx_conn *conn;
	struct tcpx_listed r = {};
	struct cgroup *cgroup;
	struct tcp_sock *tp;
	struct sock *sk;

	if (!skc)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp)
		return 0;
	sk = &tp->inet_conn.icsk_inet.sk;
	r.state = skc->skc_state;
	r.netns = BPF_CORE_READ(skc, skc_net.net, ns.inum);
	list_addresses(&r, skc);
	if (r.state != TCPX_TCP_LISTEN) {
		cgroup = cgroup_of(sk);
		if (config.scope && !cgroup_below(cgroup, config.scope))
			return 0;
		if (cgroup)
			r.cgroup = cgroup_number(cgroup);
		list_settings(&r, tp);
		conn = by_hand ? conn_by_hand(sk) : bpf_sk_storage_get(&conns, tp, NULL, 0);
		if (conn)
			list_conn(&r, conn);
	}
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
	return 0;
}

SEC("iter/tcp")
int list(struct bpf_iter__tcp *ctx)
{
	return list_socket(ctx, false);
}

SEC("iter/tcp")
int list_by_hand(struct bpf_iter__tcp *ctx)
{
	return list_socket(ctx, true);
}
