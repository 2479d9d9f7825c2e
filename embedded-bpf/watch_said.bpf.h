/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What `tcpx watch` says of an extension, from the state of the connection. */
#ifndef TCPX_WATCH_SAID_BPF_H
#define TCPX_WATCH_SAID_BPF_H

#include "ext/ack.bpf.h"
#include "ext/cc_request.bpf.h"
#include "ext/iw.bpf.h"
#include "ext/uto.bpf.h"

/* Verifiers lose the bounds of an index that clang has moved elsewhere: a mask right at the access.
 */
static __always_inline const struct tcpx_request_conn *watch_request(const struct tcpx_conn *conn,
								     __u32 index)
{
	_Static_assert(TCPX_REQUESTS == 4, "the mask");
	index &= 3;
	barrier_var(index);
	return &conn->requests[index];
}

/* What has come of our request, or that we have told the peer something that it need not answer. */
static __always_inline void watch_ours(struct tcpx_conn *conn, __u32 ext,
				       struct tcpx_watched_news *e)
{
	const struct tcpx_request_conn *r;

	e->event = TCPX_WATCH_ASKED;
	if (ext == TCPX_EXT_UTO) {
		e->asked = conn->policy.rules[TCPX_EXT_UTO][TCPX_KIND_ASK].value[0];
		return;
	}
	if (ext == TCPX_EXT_ACK && conn->ack.tarr & TCPX_TARR_ASKED) {
		e->asked = conn->ack.tarr_asked ?: 1;
		return;
	}
	if (ext == TCPX_EXT_ACK && tarr_asks(&conn->policy.rules[TCPX_EXT_ACK][TCPX_KIND_ASK])) {
		e->asked = conn->policy.rules[TCPX_EXT_ACK][TCPX_KIND_ASK].value[0] & 0xff;
		return;
	}
	r = watch_request(conn, ext - TCPX_EXT_CC_REQUEST);
	e->asked = r->asked;
	if (r->state > TCPX_REQUEST_ASKED && r->state <= TCPX_REQUEST_NO_ROOM)
		e->event = r->state - TCPX_REQUEST_ASKED;
	if (r->state == TCPX_REQUEST_GRANTED)
		e->granted = r->answer;
	if (r->state >= TCPX_REQUEST_UNANSWERED && conn->silent == TCPX_SILENCED)
		e->reason = TCPX_REASON_LOSS;
}

/* What TCP-AO kept off our segments: a request, an answer, or what nobody answers. */
static __always_inline bool watch_withheld(const struct tcpx_conn *conn, __u32 ext)
{
	return conn->silent == TCPX_WITHHELD && !(conn->written & 1 << (ext & 7));
}

/* RFC 5482: adopted within our limits, unless the application has chosen. */
static __always_inline void watch_uto(const struct tcpx_conn *conn, struct tcpx_watched_news *e)
{
	const struct tcpx_rule *accept = &conn->policy.rules[TCPX_EXT_UTO][TCPX_KIND_ACCEPT];

	e->asked = conn->uto.remote_ms;
	e->granted = conn->uto.applied_ms;
	if (conn->keepalive & TCPX_KEEPALIVE_LOWERED) {
		e->reason = TCPX_REASON_KEEPALIVE;
		return;
	}
	if (e->granted != uto_timeout(conn)) {
		e->granted = 0;
		e->event = TCPX_WATCH_DENIED;
		e->reason = TCPX_REASON_APPLICATION;
		return;
	}
	if (e->asked < accept->value[0] || e->asked > accept->value[1])
		e->reason = TCPX_REASON_CLAMPED;
}

/* Which of the two is the one that ends the connection. */
static __always_inline void watch_keepalive(const struct tcpx_conn *conn,
					    struct tcpx_watched_news *e)
{
	e->event = TCPX_WATCH_KEEPALIVE;
	e->asked = uto_timeout(conn);
	e->granted = conn->uto.applied_ms;
	e->reason =
		conn->keepalive & TCPX_KEEPALIVE_SHORT ? TCPX_REASON_SHORT : TCPX_REASON_KEEPALIVE;
}

/* Why we have refused. */
static __always_inline __u8 watch_reason(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn,
					 __u32 ext, __u16 asked)
{
	const struct tcpx_rule *accept = &conn->policy.rules[TCPX_EXT_CC_REQUEST][TCPX_KIND_ACCEPT];

	if (ext == TCPX_EXT_CC_REQUEST && cc_allowed(accept, asked))
		return cc_is_applications(ctx, conn) ? TCPX_REASON_APPLICATION : TCPX_REASON_KERNEL;
	if (ext != TCPX_EXT_IW)
		return TCPX_REASON_NOT_ALLOWED;
	/* see iw_apply() */
	if (ctx->total_retrans)
		return TCPX_REASON_LOSS;
	return ctx->data_segs_out ? TCPX_REASON_LATE : TCPX_REASON_KERNEL;
}

/* What we have made of the peer's wish. */
static __always_inline void watch_peers(struct bpf_sock_ops *ctx, struct tcpx_conn *conn, __u32 ext,
					struct tcpx_watched_news *e)
{
	const struct tcpx_request_conn *r;

	e->event = TCPX_WATCH_GAVE;
	if (ext == TCPX_EXT_UTO) {
		watch_uto(conn, e);
		return;
	}
	if (ext == TCPX_EXT_ACK && conn->ack.tarr & TCPX_TARR_RULES) {
		e->asked = conn->ack.tarr_segments ?: 1;
		e->granted = conn->ack.every;
	} else {
		r = watch_request(conn, ext - TCPX_EXT_CC_REQUEST + (ext == TCPX_EXT_ACK));
		e->asked = r->asked;
		e->granted = r->answer;
	}
	if (e->granted == (ext == TCPX_EXT_CC_REQUEST ? TCPX_CC_REFUSED : 0)) {
		e->event = TCPX_WATCH_DENIED;
		e->reason = watch_reason(ctx, conn, ext, e->asked);
	} else if (e->granted != e->asked) {
		e->reason = TCPX_REASON_CLAMPED;
	}
}

#endif
