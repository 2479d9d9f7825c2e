/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Telling `tcpx watch` what has come of a negotiation. The slices leave a note on
 * the connection (conn_news), and it is looked at where a callback ends. While
 * nobody watches nothing is written: the watcher's wish is a time that it has to
 * renew, so that a killed one is soon forgotten.
 */
#ifndef TCPX_WATCH_BPF_H
#define TCPX_WATCH_BPF_H

#include "cgroups.bpf.h"
#include "watch_said.bpf.h"

#define TCPX_LEVELS_MAX 64 /* of cgroups */

static __always_inline void watch_place(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn,
					struct tcpx_watched *e)
{
	__u32 *local = (__u32 *)e->local, *remote = (__u32 *)e->remote, ipv4 = ctx->local_ip4;

	e->direction = conn_direction(conn->attempt_ns, conn->received);
	e->local_port = ctx->local_port;
	e->remote_port = bpf_ntohl(ctx->remote_port);
	policy_address(ctx, remote);
	e->family = policy_family(remote);
	barrier_var(ipv4); /* see policy_address() */
	if (ctx->family == TCPX_AF_INET) {
		local[2] = bpf_htonl(0xffff);
		local[3] = ipv4;
		return;
	}
	local[0] = ctx->local_ip6[0];
	local[1] = ctx->local_ip6[1];
	local[2] = ctx->local_ip6[2];
	local[3] = ctx->local_ip6[3];
}

static __always_inline void watch_lost(void)
{
	__u32 slot = TCPX_WATCH_COUNTED;
	struct tcpx_watch *counted = bpf_map_lookup_elem(&watch, &slot);

	if (counted)
		__sync_fetch_and_add(&counted->lost, 1);
}

/* One event; global, as these are: see count(). */
__noinline int watch_event(struct bpf_sock_ops *ctx, __u32 ext, __u32 news)
{
	struct tcpx_conn *conn = conn_of(ctx);
	struct tcpx_watched e = {};

	if (!conn || ext >= TCPX_EXT_COUNT)
		return 0;
	e.at_ns = bpf_ktime_get_ns();
	e.scope = conn->scope;
	e.netns = netns_inode(ctx);
	e.ext = ext;
	watch_place(ctx, conn, &e);
	if (news == TCPX_NEWS_OURS)
		watch_ours(conn, ext, &e);
	else if (news == TCPX_NEWS_PEERS)
		watch_peers(ctx, conn, ext, &e);
	else
		e.event = news == TCPX_NEWS_MALFORMED ? TCPX_WATCH_MALFORMED : TCPX_WATCH_FALLBACK;
	/* the watcher looks by itself: waking it up would be at the connection's expense */
	if (bpf_ringbuf_output(&events, &e, sizeof(e), BPF_RB_NO_WAKEUP))
		watch_lost();
	return 0;
}

/* Is this the cgroup with that id, or one below it? */
static __always_inline bool watch_below(struct cgroup *cgroup, __u64 id)
{
	for (int i = 0; i < TCPX_LEVELS_MAX && cgroup; i++) {
		if (cgroup_number(cgroup) == id)
			return true;
		cgroup = cgroup_around(cgroup);
	}
	return false;
}

static __always_inline const struct tcpx_watch *watch_wish(void)
{
	__u32 slot = TCPX_WATCH_WANTED;

	return bpf_map_lookup_elem(&watch, &slot);
}

static __always_inline bool watch_wanted(struct bpf_sock_ops *ctx, const struct tcpx_watch *wanted)
{
	struct bpf_sock *sk = ctx->sk;
	void *socket;

	if (bpf_ktime_get_ns() > wanted->until_ns)
		return false;
	if (wanted->netns && wanted->netns != netns_inode(ctx))
		return false;
	if (!wanted->scope)
		return true;
	socket = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	return socket && watch_below(cgroup_of(socket), wanted->scope);
}

/* Tells all that is new. What came of a loss is told with the request that it ended. */
__noinline int watch_news(struct bpf_sock_ops *ctx)
{
	const struct tcpx_watch *wanted = watch_wish();
	struct tcpx_conn *conn = conn_of(ctx);
	__u32 news;

	if (!conn || !wanted || !watch_wanted(ctx, wanted))
		return 0;
	news = conn->news;
#pragma clang loop unroll(full) /* see ask_syn_ack() */
	for (int ext = 0; ext < TCPX_EXT_COUNT; ext++) {
		__u32 of = news >> 4 * ext & 15;

		if (of & TCPX_NEWS_OURS)
			watch_event(ctx, ext, TCPX_NEWS_OURS);
		else if (of & TCPX_NEWS_FALLBACK)
			watch_event(ctx, ext, TCPX_NEWS_FALLBACK);
		if (of & TCPX_NEWS_PEERS)
			watch_event(ctx, ext, TCPX_NEWS_PEERS);
		if (of & TCPX_NEWS_MALFORMED)
			watch_event(ctx, ext, TCPX_NEWS_MALFORMED);
	}
	return 0;
}

/* Where a callback ends. */
static __always_inline void watch_tell(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	const struct tcpx_watch *wanted;

	if (!conn->news)
		return;
	wanted = watch_wish();
	if (wanted && wanted->until_ns)
		watch_news(ctx);
	conn->news = 0;
}

#endif
