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
#include "netns.bpf.h"
#include "watch_said.bpf.h"

#define TCPX_WATCHED_HEAD __builtin_offsetof(struct tcpx_watched, news)

/* The news of a callback, until they are sent off: the header has been read by then. */
_Static_assert(sizeof(((struct tcpx_watched *)0)->news) <= sizeof(struct tcpx_header),
	       "room for the news");

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

static __always_inline void watch_lost(__u32 events)
{
	__u32 slot = TCPX_WATCH_COUNTED;
	struct tcpx_watch *counted = bpf_map_lookup_elem(&watch, &slot);

	if (counted)
		__sync_fetch_and_add(&counted->lost, events);
}

/* Sends off what was put down. */
__noinline int watch_send(struct bpf_sock_ops *ctx, __u32 count)
{
	struct tcpx_conn *conn = conn_of(ctx);
	struct tcpx_watched e = {};

	if (!conn)
		return 0;
	e.at_ns = bpf_ktime_get_ns();
	e.scope = conn->scope;
	e.netns = netns_inode(ctx);
	e.count = count;
	watch_place(ctx, conn, &e);
	__builtin_memcpy(e.news, &conn->header, sizeof(e.news));
	barrier_var(count);
	if (count > TCPX_WATCHED_MOST)
		return 0;
	/* the watcher looks by itself: waking it up would be at the connection's expense */
	if (bpf_ringbuf_output(&events, &e, TCPX_WATCHED_HEAD + count * sizeof(e.news[0]),
			       BPF_RB_NO_WAKEUP))
		watch_lost(count);
	return 0;
}

static __always_inline const struct tcpx_watch *watch_wish(void)
{
	__u32 slot = TCPX_WATCH_WANTED;

	return bpf_map_lookup_elem(&watch, &slot);
}

static __always_inline bool watch_wanted(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn,
					 const struct tcpx_watch *wanted)
{
	struct bpf_sock *sk = ctx->sk;
	bool opened = conn_direction(conn->attempt_ns, conn->received) == TCPX_DIRECTION_TO;
	void *socket;

	if (wanted->direction && opened != (wanted->direction == TCPX_DIRECTION_TO))
		return false;
	if (bpf_ktime_get_ns() > wanted->until_ns)
		return false;
	if (wanted->netns && wanted->netns != netns_inode(ctx))
		return false;
	if (!wanted->scope)
		return true;
	socket = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	return socket && cgroup_below(cgroup_of(socket), wanted->scope);
}

/* Tells what is new of one extension. What came of a loss is told with the request that it ended.
 */
#define WATCH_OF(ID, name, ctx, conn, wish, at)                                                    \
	if (TCPX_USES(ID)) {                                                                       \
		__u32 wants = (wish) >> 4 * TCPX_EXT_##ID & 15;                                    \
		__u32 of = (conn)->news >> 4 * TCPX_EXT_##ID & wants;                              \
                                                                                                   \
		if ((at) > TCPX_WATCHED_MOST - WATCH_OF_ONE) {                                     \
			watch_send(ctx, at);                                                       \
			(at) = 0;                                                                  \
		}                                                                                  \
		if (wants && name##_extension.has_news && name##_extension.has_news(conn))         \
			watch_note(ctx, (at)++, TCPX_EXT_##ID, 0);                                 \
		if (of & TCPX_NEWS_OURS)                                                           \
			watch_note(ctx, (at)++, TCPX_EXT_##ID, TCPX_NEWS_OURS);                    \
		else if (of & TCPX_NEWS_FALLBACK)                                                  \
			watch_note(ctx, (at)++, TCPX_EXT_##ID, TCPX_NEWS_FALLBACK);                \
		if (of & TCPX_NEWS_PEERS)                                                          \
			watch_note(ctx, (at)++, TCPX_EXT_##ID, TCPX_NEWS_PEERS);                   \
		if (of & TCPX_NEWS_MALFORMED)                                                      \
			watch_note(ctx, (at)++, TCPX_EXT_##ID, TCPX_NEWS_MALFORMED);               \
	}

/* An extension in a slot has no news of its own. */
static const struct tcpx_extension slot_extension = {};

#define SLOT_WATCH_OF(n, ctx, conn, wish, at) WATCH_OF(SLOT##n, slot, ctx, conn, wish, at)

#define WATCH_OF_ONE 4 /* news of one extension at most */

/* Tells all that is new. */
__noinline int watch_news(struct bpf_sock_ops *ctx)
{
	const __u32 uses = config.uses;
	const struct tcpx_watch *wanted = watch_wish();
	struct tcpx_conn *conn = conn_of(ctx);
	__u32 count = 0;
	__u64 wish;

	if (!conn || !wanted || !watch_wanted(ctx, conn, wanted))
		return 0;
	wish = wanted->news;
	TCPX_EACH(WATCH_OF, ctx, conn, wish, count)
	TCPX_SLOTS(SLOT_WATCH_OF, ctx, conn, wish, count)
	if (count)
		watch_send(ctx, count);
	return 0;
}

/* Where a callback ends. */
static __always_inline void watch_tell(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	const struct tcpx_watch *wanted;

	if (!conn->news && !TCPX_ANY(has_news, conn))
		return;
	wanted = watch_wish();
	if (wanted && wanted->until_ns && wanted->news)
		watch_news(ctx);
	conn->news = 0;
	TCPX_CALL(told, conn)
}

#endif
