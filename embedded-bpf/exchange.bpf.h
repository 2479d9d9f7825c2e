/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The exchange: one side asks with an option in kind 254 (RFC 6994), the other grants or refuses
 * under an identifier of its own, so that an echo is never taken for an answer. What is asked for,
 * in 16 bits, the extensions know.
 */
#ifndef TCPX_EXCHANGE_BPF_H
#define TCPX_EXCHANGE_BPF_H

#include "conn.bpf.h"
#include "options.bpf.h"

#define TCPX_EXCHANGE_LEN 6

static __always_inline void exchange_bytes(__u32 ext, enum tcpx_role role, __u16 value,
					   union tcpx_option *o)
{
	option_put(o, TCPX_OPTION_EXP, TCPX_EXCHANGE_LEN, config.exids[ext][role], value);
}

/* Has it something to put on segments? */
static __always_inline bool exchange_speaks(const struct tcpx_exchange *r)
{
	return r && (r->state == TCPX_REQUEST_ASKED ||
		     (r->state == TCPX_REQUEST_ANSWERED && !r->promised));
}

/* Is an answer, or a correction of the SYN-ACK's, still to come? */
static __always_inline bool exchange_listens(const struct tcpx_exchange *r)
{
	return r && r->state >= TCPX_REQUEST_ASKED && r->state <= TCPX_REQUEST_REFUSED;
}

/* What it has to say: our ask until it is answered, or our answer. */
static __always_inline void exchange_say(__u32 ext, const struct tcpx_exchange *r,
					 union tcpx_option *o)
{
	if (r->state == TCPX_REQUEST_ASKED)
		exchange_bytes(ext, TCPX_ROLE_ASK, r->asked, o);
	else if (exchange_speaks(r))
		exchange_bytes(ext, TCPX_ROLE_ANSWER, r->answer, o);
}

/* An option with one of its identifiers, on the walk through a header. */
static __always_inline void exchange_see(__u8 *seen, __u16 *bits, const __u8 *option, __u32 len)
{
	/* a wrong length is as bad as twice */
	*seen = len == TCPX_EXCHANGE_LEN && !*seen ? 1 : 2;
	*bits = option[4] << 8 | option[5];
}

/* When may a peer ask? */
enum exchange_when {
	EXCHANGE_OPENING,  /* with the handshake */
	EXCHANGE_ANY_TIME, /* and again with another wish */
};

/*
 * After the walk: may the peer ask here? `valid`: the extension takes this wish. `promised`: the
 * SYN-ACK, when it could carry options, had room for the answer, and said it.
 */
static __always_inline void exchange_take_ask(struct tcpx_conn *conn, __u32 ext,
					      const struct tcpx_rules *rules,
					      struct tcpx_exchange *r, bool valid,
					      enum exchange_when when, bool promised)
{
	bool again = when == EXCHANGE_ANY_TIME && r->state == TCPX_REQUEST_ANSWERED;
	__u8 seen = r->ask_seen;

	r->ask_seen = 0;
	if (!seen)
		return;
	/* repeated until it is answered, with the same bytes */
	if (seen == 1 && r->state == TCPX_REQUEST_ANSWERED && r->ask_bits == r->asked)
		return;
	if (!rules_active(rules, TCPX_KIND_ACCEPT))
		return; /* nobody here grants anything: not even counted */
	if (seen > 1 || !valid ||
	    (when == EXCHANGE_OPENING && !(conn->header.flags & TCPX_HEADER_ASKS)) ||
	    (r->state != TCPX_REQUEST_NONE && r->state != TCPX_REQUEST_PENDING && !again)) {
		conn_malformed(conn, ext);
		return;
	}
	if (r->state != TCPX_REQUEST_PENDING)
		count(ext, TCPX_COUNTER_RECEIVED);
	/* the header at hand is the SYN's before it is the third ACK's */
	r->promised = r->state == TCPX_REQUEST_NONE && conn->armed &&
		      !(conn->header.flags & TCPX_HEADER_CROWDED) &&
		      conn->header.flags & TCPX_HEADER_SYN && !conn->fast_open && !conn->retrans &&
		      promised;
	r->asked = r->ask_bits;
	r->state = TCPX_REQUEST_PENDING;
}

/* After the walk: the answer to our ask. A later one, on the first data, corrects the SYN-ACK's. */
static __always_inline void exchange_take_answer(struct tcpx_conn *conn, __u32 ext,
						 struct tcpx_exchange *r, bool granted,
						 bool refused)
{
	__u8 seen = r->answer_seen;
	bool correct;

	r->answer_seen = 0;
	if (!seen)
		return;
	/* repeated until data with it is acknowledged, which may be after we have fallen silent */
	if (seen == 1 && r->answer == r->answer_bits &&
	    (r->state == TCPX_REQUEST_GRANTED || r->state == TCPX_REQUEST_REFUSED))
		return;
	correct = conn->header.flags & TCPX_HEADER_CORRECTS || r->state == TCPX_REQUEST_ASKED;
	if (seen > 1 || !correct || conn->silent || r->state < TCPX_REQUEST_ASKED ||
	    r->state > TCPX_REQUEST_REFUSED || (!granted && !refused)) {
		conn_malformed(conn, ext);
		return;
	}
	r->answer = r->answer_bits;
	r->state = granted ? TCPX_REQUEST_GRANTED : TCPX_REQUEST_REFUSED;
	conn->heard = 1;
	count(ext, granted ? TCPX_COUNTER_GRANTED : TCPX_COUNTER_REFUSED);
	conn_news(conn, ext, TCPX_NEWS_OURS);
}

/* The ask rule of a connection that we open; `asked`: what it says, as it travels. */
static __always_inline void exchange_start(const struct tcpx_rules *rules, struct tcpx_exchange *r,
					   __u16 asked)
{
	if (!rules_active(rules, TCPX_KIND_ASK) || r->state != TCPX_REQUEST_NONE)
		return;
	r->asked = asked;
	r->state = TCPX_REQUEST_ASKED;
}

/* We have stopped talking. */
static __always_inline void exchange_stop(struct tcpx_conn *conn, __u32 ext,
					  struct tcpx_exchange *r)
{
	if (!r || r->state != TCPX_REQUEST_ASKED)
		return;
	r->state = conn->written & 1 << ext ? TCPX_REQUEST_UNANSWERED : TCPX_REQUEST_NO_ROOM;
	count_apart(ext, TCPX_COUNTER_UNANSWERED);
	conn_news(conn, ext, TCPX_NEWS_OURS);
}

/*
 * Our decision on the peer's request. `promise` is what a SYN-ACK says to it:
 * when it went out and is right, nothing more has to be said.
 */
static __always_inline void exchange_decide(struct tcpx_conn *conn, __u32 ext,
					    struct tcpx_exchange *r, __u16 answer, bool granted,
					    __u16 promise)
{
	r->answer = answer;
	r->state = TCPX_REQUEST_ANSWERED;
	r->promised = r->promised && answer == promise;
	conn_news(conn, ext, TCPX_NEWS_PEERS);
	if (!granted)
		count_apart(ext, TCPX_COUNTER_REFUSED);
}

/* That of a place in the record; NULL: it has none. */
#define exchange_at(conn, place)                                                                   \
	((place) ? (struct tcpx_exchange *)((__u8 *)(conn) + (place)) : (struct tcpx_exchange *)0)

#endif
