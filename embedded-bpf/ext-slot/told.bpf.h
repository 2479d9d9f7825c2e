/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What `tcpx watch` says of an extension in a slot: see watch_said.bpf.h. */
#ifndef TCPX_SLOT_TOLD_BPF_H
#define TCPX_SLOT_TOLD_BPF_H

#include "state.bpf.h"

static __always_inline void slot_told_peers(const struct tcpx_slot_conn *s, __u16 refused,
					    struct tcpx_watched_news *e)
{
	e->event = TCPX_WATCH_GAVE;
	e->asked = s->peers.asked;
	e->granted = s->peers.answer;
	if (s->peers.state == TCPX_REQUEST_ANSWERED && e->granted == refused) {
		e->event = TCPX_WATCH_DENIED;
		e->reason = s->reason;
	} else if (e->granted != e->asked) {
		e->reason = TCPX_REASON_CLAMPED;
	}
}

/* In the words of enum tcpx_news, for the extension with this id. */
static __always_inline void slot_told(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn,
				      __u32 ext, __u32 news, struct tcpx_watched_news *e)
{
	struct tcpx_slot_conn *s;
	__u32 n = ext - TCPX_SLOT_FIRST;

	if (n >= TCPX_SLOT_COUNT)
		return;
	s = slot_state(ctx, n);
	if (!s)
		return;
	if (news == TCPX_NEWS_OURS ||
	    (news == TCPX_NEWS_FALLBACK && conn->silent == TCPX_WITHHELD)) {
		e->event = TCPX_SLOT_EVENT_SAID;
		if (s->ours.state != TCPX_REQUEST_NONE) {
			e->event = TCPX_WATCH_ASKED;
			watch_request(conn, &s->ours, e);
		}
		if (watch_withheld(conn, ext)) {
			e->event = TCPX_WATCH_WITHHELD;
			e->reason = TCPX_REASON_SIGNED;
		}
	} else if (news == TCPX_NEWS_PEERS) {
		slot_told_peers(s, slot_of(n)->refused, e);
	} else {
		e->event = news == TCPX_NEWS_MALFORMED ? TCPX_WATCH_MALFORMED : TCPX_WATCH_FALLBACK;
	}
	if (e->event == TCPX_WATCH_FALLBACK && conn->silent == TCPX_PLAIN)
		e->reason = TCPX_REASON_PATH;
}

#endif
