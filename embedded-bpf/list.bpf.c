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
#include "quickack.bpf.h"

#define TCPX_LIST_SLICES
#include "extensions.generated.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

const volatile struct tcpx_list_config config = {};

#define TCPX_AF_INET 2
#define TCPX_TCP_LISTEN 10
#define TCPX_STORAGES_MAX 32 /* of one socket, by all BPF programs of the host */

/* Before 5.11 iterators cannot ask for a socket's storage: looks for it as the kernel does. */
static __always_inline const void *storage_by_hand(struct sock *sk, __u32 map_id)
{
	struct bpf_local_storage *storage = BPF_CORE_READ(sk, sk_bpf_storage);
	struct bpf_local_storage_elem *elem;
	struct hlist_node *node = storage ? BPF_CORE_READ(storage, list.first) : NULL;

	for (int i = 0; i < TCPX_STORAGES_MAX && node; i++) {
		elem = (void *)node; /* only to name its type */
		elem = (void *)node - bpf_core_field_offset(elem->snode);
		if (BPF_CORE_READ(elem, sdata.smap, map.id) == map_id)
			return (void *)elem + bpf_core_field_offset(elem->sdata.data);
		node = BPF_CORE_READ(node, next);
	}
	return NULL;
}

static __always_inline void list_address(__u8 *to, const struct in6_addr *address)
{
	const __u32 *from = (const void *)address;

	for (int i = 0; i < 4; i++)
		((__u32 *)to)[i] = from[i];
}

static __always_inline void list_addresses(struct tcpx_listed *r, struct sock_common *sk)
{
	r->local_port = sk->skc_num;
	r->remote_port = bpf_ntohs(sk->skc_dport);
	if (sk->skc_family == TCPX_AF_INET) {
		r->family = TCPX_FAMILY_IPV4;
		r->local[10] = r->local[11] = r->remote[10] = r->remote[11] = 0xff;
		*(__be32 *)&r->local[12] = sk->skc_rcv_saddr;
		*(__be32 *)&r->remote[12] = sk->skc_daddr;
		return;
	}
	list_address(r->local, &sk->skc_v6_rcv_saddr);
	list_address(r->remote, &sk->skc_v6_daddr);
	r->family = TCPX_FAMILY_IPV6;
	if (!*(__u64 *)r->remote && *(__u32 *)&r->remote[8] == bpf_htonl(0xffff)) {
		r->family = TCPX_FAMILY_IPV4;
		r->flags |= TCPX_LIST_MAPPED;
	}
}

static __always_inline void list_settings(struct tcpx_listed *r, struct tcp_sock *tp)
{
	struct inet_connection_sock *icsk = &tp->inet_conn;
	struct tcp_congestion_ops *ca = icsk->icsk_ca_ops;
	const __u64 *from = ca ? (const void *)&ca->name : NULL;
	struct keepalive k = {};
	__u64 name[2];

	r->mark = icsk->icsk_inet.sk.sk_mark;
	r->uid = icsk->icsk_inet.sk.sk_uid.val;
	r->tos = icsk->icsk_inet.tos;
	r->quickack = config.no_reads ? TCPX_QUICKACK_UNKNOWN : quickack_of(tp);
	r->user_timeout_ms = icsk->icsk_user_timeout;
	if (bpf_core_field_exists(icsk->icsk_delack_max))
		r->delack_max = icsk->icsk_delack_max;
	if (keepalive_read(tp, &k)) {
		r->flags |= TCPX_LIST_KEEPALIVE;
		r->keepalive_idle = k.idle;
		r->keepalive_interval = k.interval;
		r->keepalive_probes = k.probes;
	}
	r->cwnd = tp->snd_cwnd;
	r->srtt_us = tp->srtt_us >> 3;
	if (from) { /* the kernel has nothing behind the NUL */
		name[0] = from[0];
		name[1] = from[1];
		__builtin_memcpy(r->congestion, name, sizeof(name));
	}
}

/* Its address by hand is one that only reads can use. */
#define list_copy(to, size, from)                                                                  \
	(by_hand ? (void)bpf_probe_read_kernel(to, size, from)                                     \
		 : (void)__builtin_memcpy(to, from, size))

/* What tcpx has noted down, a copy at a time. */
static __always_inline void list_conn(struct tcpx_listed *r, const struct tcpx_conn *conn,
				      bool by_hand)
{
	__u64 since = 0, attempt = 0;
	__u32 received = 0;

	r->flags |= TCPX_LIST_KNOWN;
	list_copy(&r->scope, sizeof(r->scope), &conn->scope);
	list_copy(&since, sizeof(since), &conn->since_ns);
	list_copy(&attempt, sizeof(attempt), &conn->attempt_ns);
	list_copy(&received, sizeof(received), &conn->received);
	list_copy(&r->silent, sizeof(r->silent), &conn->silent);
	list_copy(&r->written, sizeof(r->written), &conn->written);
	list_copy(&r->states, sizeof(r->states), &conn->states);
	r->established = since > TCPX_SINCE_NEXT; /* else it has yet to speak */
	r->direction = conn_direction(attempt, received);
}

#ifdef TCPX_WITH_SLOTS
#include "ext-slot/list.bpf.h"
#endif

#define LIST_SLICE(ID, name, r, tp) name##_list(&(r)->states.name, tp);

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
	r.netns = skc->skc_net.net->ns.inum;
	r.bound_if = skc->skc_bound_dev_if;
	list_addresses(&r, skc);
	if (r.state != TCPX_TCP_LISTEN) {
		cgroup = cgroup_of(sk);
		if (config.scope && !cgroup_below(cgroup, config.scope))
			return 0;
		if (cgroup)
			r.cgroup = cgroup_number(cgroup);
		list_settings(&r, tp);
		conn = by_hand ? storage_by_hand(sk, config.conns_id)
			       : bpf_sk_storage_get(&conns, tp, NULL, 0);
		if (conn) {
			list_conn(&r, conn, by_hand);
			TCPX_EACH(LIST_SLICE, &r, tp)
		}
	}
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
#ifdef TCPX_WITH_SLOTS
	list_slots(ctx->meta->seq, tp, r.state == TCPX_TCP_LISTEN ? NULL : sk, by_hand);
#endif
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
