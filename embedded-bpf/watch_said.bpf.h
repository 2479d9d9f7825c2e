/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What `tcpx watch` says of an extension, from the state of the connection. */
#ifndef TCPX_WATCH_SAID_BPF_H
#define TCPX_WATCH_SAID_BPF_H

#include "slices.bpf.h"

/* What has come of our request. */
static __always_inline void watch_request(const struct tcpx_conn *conn,
					  const struct tcpx_exchange *r,
					  struct tcpx_watched_news *e)
{
	e->asked = r->asked;
	if (r->state > TCPX_REQUEST_ASKED && r->state <= TCPX_REQUEST_NO_ROOM)
		e->event = r->state - TCPX_REQUEST_ASKED;
	if (r->state == TCPX_REQUEST_GRANTED)
		e->granted = r->answer;
	if (r->state >= TCPX_REQUEST_UNANSWERED && conn->silent == TCPX_SILENCED)
		e->reason = TCPX_REASON_LOSS;
}

/* The same, or that we have told the peer something that it need not answer. */
static __always_inline void watch_ours(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn,
				       const struct tcpx_extension *x, struct tcpx_watched_news *e)
{
	const struct tcpx_exchange *r = exchange_at(conn, x->ours);

	e->event = TCPX_WATCH_ASKED;
	if ((x->tell_ours && x->tell_ours(ctx, conn, e)) || !r)
		return;
	watch_request(conn, r, e);
}

/* What we have made of the peer's wish. */
static __always_inline void watch_peers(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn,
					const struct tcpx_extension *x, struct tcpx_watched_news *e)
{
	const struct tcpx_exchange *r = exchange_at(conn, x->peers);

	e->event = TCPX_WATCH_GAVE;
	if ((x->tell_peers && x->tell_peers(ctx, conn, e)) || !r)
		return;
	e->asked = r->asked;
	e->granted = r->answer;
	if (e->granted == x->refused) {
		e->event = TCPX_WATCH_DENIED;
		e->reason = x->refusal ? x->refusal(ctx, conn) : TCPX_REASON_NOT_ALLOWED;
	} else if (e->granted != e->asked) {
		e->reason = TCPX_REASON_CLAMPED;
	}
}

/* What TCP-AO kept off our segments: a request, an answer, or what nobody answers. */
static __always_inline bool watch_withheld(const struct tcpx_conn *conn, __u32 ext)
{
	return conn->silent == TCPX_WITHHELD && !(conn->written & 1 << ext);
}

static __always_inline void watch_said(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn,
				       __u32 ext, const struct tcpx_extension *x, __u32 news,
				       struct tcpx_watched_news *e)
{
	if (!news) {
		if (x->tell)
			x->tell(conn, e);
	} else if (news == TCPX_NEWS_OURS ||
		   (news == TCPX_NEWS_FALLBACK && conn->silent == TCPX_WITHHELD)) {
		watch_ours(ctx, conn, x, e);
		if (watch_withheld(conn, ext)) {
			e->event = TCPX_WATCH_WITHHELD;
			e->reason = TCPX_REASON_SIGNED;
		}
	} else if (news == TCPX_NEWS_PEERS) {
		watch_peers(ctx, conn, x, e);
	} else {
		e->event = news == TCPX_NEWS_MALFORMED ? TCPX_WATCH_MALFORMED : TCPX_WATCH_FALLBACK;
	}
	if (e->event == TCPX_WATCH_FALLBACK && conn->silent == TCPX_PLAIN)
		e->reason = TCPX_REASON_PATH;
}

#define WATCH_SAID(ID, name, ctx, conn, of, news, e)                                               \
	if (TCPX_USES(ID) && (of) == TCPX_EXT_##ID)                                                \
		watch_said(ctx, conn, TCPX_EXT_##ID, &name##_extension, news, e);

#ifdef TCPX_WITH_SLOTS
#include "ext-slot/told.bpf.h"
#endif

/* Puts one piece of news down, 0 an extension's own; global: see count_apart(). */
__noinline int watch_note(struct bpf_sock_ops *ctx, __u32 at, __u32 ext, __u32 news)
{
	const __u32 uses = config.uses;
	struct tcpx_conn *conn = conn_of(ctx);
	struct tcpx_watched_news e = {};

	if (!conn)
		return 0;
	e.ext = ext;
	TCPX_EACH(WATCH_SAID, ctx, conn, ext, news, &e)
#ifdef TCPX_WITH_SLOTS
	slot_told(ctx, conn, ext, news, &e);
#endif
	barrier_var(at); /* its bounds are those of the access */
	if (at < TCPX_WATCHED_MOST)
		__builtin_memcpy((__u8 *)&conn->header + at * sizeof(e), &e, sizeof(e));
	return 0;
}

#endif
