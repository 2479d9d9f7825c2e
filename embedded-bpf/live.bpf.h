/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Sockets as an iterator meets them: which, where, and in which scopes. */
#ifndef TCPX_LIVE_BPF_H
#define TCPX_LIVE_BPF_H

#include <stdbool.h>
#include "ask.bpf.h"
#include "cgroups.bpf.h"
#include "iter_tcp.bpf.h"
#include "listen.bpf.h"
#include "receive.bpf.h"
#include "signed.bpf.h"

#define TCPX_AF_INET6 10
#define TCPX_CGROUP_DEPTH 32
#define TCPX_TCP_BPF_SOCK_OPS_CB_FLAGS 1008

struct net___cookie {
	__u64 net_cookie;
} __attribute__((preserve_access_index));

struct sock_common___live {
	__u32 skc_daddr;
	__u16 skc_dport;
	__u16 skc_num;
	__u16 skc_family;
	__u8 skc_state;
	struct {
		__u8 bytes[16];
	} skc_v6_daddr;
	struct {
		struct net___cookie *net;
	} skc_net;
} __attribute__((preserve_access_index));

struct tcp_sock___live {
	__u32 srtt_us; /* times 8 */
	__u32 snd_nxt;
	__u32 rcv_nxt;
	__u32 total_retrans;
	__u8 bpf_sock_ops_cb_flags;
} __attribute__((preserve_access_index));

/* Cgroups with rules. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u8);
} scopes SEC(".maps");

/* What is to be done, and with which sockets, by their cookies. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcpx_live_order);
} orders SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct tcpx_live_target);
} targets SEC(".maps");

/* Results go into maps: what a full seq_file has no room for is shown, and so done, twice. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcpx_live_tally);
} tally SEC(".maps");

struct live_scratch {
	struct tcpx_live_socket socket;
	__u32 n;
	__u32 inside;
};

/* Every command has an object of its own: one user at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct live_scratch);
} scratch SEC(".maps");

/* NULL for what is no TCP socket proper: requests, TIME-WAIT. */
static __always_inline struct tcp_sock *live_sock(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;

	return sk ? bpf_skc_to_tcp_sock(sk) : NULL;
}

static __always_inline __u8 live_state(struct tcp_sock *tp)
{
	return ((struct sock_common___live *)tp)->skc_state;
}

/*
 * Is the socket in the cgroup of this program's scope, or below? Those around it that have rules
 * are put into out->scopes, innermost first. The state of the walk is in memory, where the
 * verifier does not follow it.
 */
static __always_inline bool live_scopes(struct tcp_sock *tp, struct live_scratch *at)
{
	struct cgroup *cgroup = cgroup_of(tp);

	__builtin_memset(at, 0, sizeof(*at));
/* until 6.1 no loop is taken whose end falls through to its beginning, as clang lays this one out
 */
#pragma clang loop unroll(full)
	for (int i = 0; i < TCPX_CGROUP_DEPTH; i++) {
		__u64 id;

		if (!cgroup)
			break;
		id = cgroup_number(cgroup);
		at->inside |= id == config.scope;
		if (at->n < TCPX_NEST && bpf_map_lookup_elem(&scopes, &id))
			at->socket.scopes[at->n++ & (TCPX_NEST - 1)] = id;
		cgroup = cgroup_around(cgroup);
	}
	return at->inside;
}

#endif
