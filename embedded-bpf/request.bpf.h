/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Requests: options in kind 254 (RFC 6994) with which one side asks, and the
 * other grants or refuses under an identifier of its own, so that an echo is
 * never taken for an answer. What is asked for, the slices know.
 */
#ifndef TCPX_REQUEST_BPF_H
#define TCPX_REQUEST_BPF_H

#include "conn.bpf.h"
#include "options.bpf.h"

#define TCPX_REQUEST_LEN 6

/*
 * Is this the time for what depends on no peer? Once, before data goes: with Fast Open that is the
 * SYN, and the third ACK, with which a peer may be granted something, need not come.
 */
static __always_inline bool local_now(struct bpf_sock_ops *ctx)
{
	return ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB ||
	       ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB;
}

/* Programs of scopes in one another all come here, and each attempt of a socket begins anew. */
static __always_inline bool local_untried(const struct tcpx_rule *local)
{
	return rule_active(local) && local->outcome == TCPX_OUTCOME_NONE;
}

static __always_inline struct tcpx_request_conn *request_of(struct tcpx_conn *conn,
							    enum tcpx_ext ext)
{
	return &conn->requests[ext - TCPX_EXT_CC_REQUEST];
}

/* The peer's request, where both sides may make one. */
static __always_inline struct tcpx_request_conn *request_of_peer(struct tcpx_conn *conn,
								 enum tcpx_ext ext)
{
	return &conn->requests[ext - TCPX_EXT_CC_REQUEST + (ext == TCPX_EXT_ACK)];
}

static __always_inline void request_bytes(__u16 exid, __u16 value, union tcpx_option *o)
{
	option_put(o, TCPX_OPTION_EXP, TCPX_REQUEST_LEN, exid, value);
}

/* Has it something to put on segments? */
static __always_inline bool request_speaks(const struct tcpx_request_conn *r)
{
	return r->state == TCPX_REQUEST_ASKED ||
	       (r->state == TCPX_REQUEST_ANSWERED && !r->promised);
}

/* Is an answer, or a correction of the SYN-ACK's, still to come? */
static __always_inline bool request_listens(const struct tcpx_request_conn *r)
{
	return r->state >= TCPX_REQUEST_ASKED && r->state <= TCPX_REQUEST_REFUSED;
}

/* Is there an answer to give? */
static __always_inline bool request_answers(const struct tcpx_conn *conn)
{
	for (int i = 0; i < TCPX_REQUESTS; i++)
		if (conn->requests[i].state == TCPX_REQUEST_ANSWERED && !conn->requests[i].promised)
			return true;
	return false;
}

/* What this connection has to say: our ask until it is answered, or our answer. */
static __always_inline void request_option(const struct tcpx_request_conn *r, __u16 ask,
					   __u16 answer, union tcpx_option *o)
{
	if (r->state == TCPX_REQUEST_ASKED)
		request_bytes(ask, r->asked, o);
	else if (request_speaks(r))
		request_bytes(answer, r->answer, o);
}

/* An option with one of our identifiers, on the walk through a header. */
static __always_inline void request_see(__u8 *seen, __u16 *bits, const __u8 *option, __u32 len)
{
	/* a wrong length is as bad as twice */
	*seen = len == TCPX_REQUEST_LEN && !*seen ? 1 : 2;
	*bits = option[4] << 8 | option[5];
}

/* Do the options in front of the ACK answer leave no room for it among the 20 bytes of a SYN-ACK?
 */
static __always_inline bool request_full(const struct tcpx_conn *conn)
{
	return rule_active(&conn->policy.rules[TCPX_EXT_UTO][TCPX_KIND_ASK]) &&
	       conn->requests[0].state == TCPX_REQUEST_PENDING &&
	       conn->requests[1].state == TCPX_REQUEST_PENDING;
}

/* After the walk: may the peer ask here? `bits` has passed the slice's check when `valid`. */
static __always_inline void request_take_ask(struct tcpx_conn *conn, enum tcpx_ext ext, bool valid)
{
	struct tcpx_request_conn *r = request_of_peer(conn, ext);
	bool again = ext == TCPX_EXT_ACK && r->state == TCPX_REQUEST_ANSWERED;
	__u8 seen = r->ask_seen;

	r->ask_seen = 0;
	if (!seen)
		return;
	/* repeated until it is answered, with the same bytes */
	if (seen == 1 && r->state == TCPX_REQUEST_ANSWERED && r->ask_bits == r->asked)
		return;
	if (!rule_active(&conn->policy.rules[ext][TCPX_KIND_ACCEPT]))
		return; /* nobody here grants anything: not even counted */
	/* a changed wish for ACKs may come at any time */
	if (seen > 1 || !valid ||
	    (ext != TCPX_EXT_ACK && !(conn->header.flags & TCPX_HEADER_ASKS)) ||
	    (r->state != TCPX_REQUEST_NONE && r->state != TCPX_REQUEST_PENDING && !again)) {
		conn_malformed(conn, ext);
		return;
	}
	if (r->state != TCPX_REQUEST_PENDING)
		count_apart(ext, TCPX_COUNTER_RECEIVED);
	/* the header at hand is the SYN's before it is the third ACK's */
	r->promised = r->state == TCPX_REQUEST_NONE && conn->armed && !conn->header.crowded &&
		      conn->header.flags & TCPX_HEADER_SYN && !conn->fast_open && !conn->retrans &&
		      !(ext == TCPX_EXT_ACK && (request_full(conn) || conn->ack.tarr_seen));
	r->asked = r->ask_bits;
	r->state = TCPX_REQUEST_PENDING;
}

/* After the walk: the answer to our ask. A later one, on the first data, corrects the SYN-ACK's. */
static __always_inline void request_take_answer(struct tcpx_conn *conn, enum tcpx_ext ext,
						bool granted, bool refused)
{
	struct tcpx_request_conn *r = request_of(conn, ext);
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
	count_apart(ext, granted ? TCPX_COUNTER_GRANTED : TCPX_COUNTER_REFUSED);
	conn_news(conn, ext, TCPX_NEWS_OURS);
}

/* The ask rule of a connection that we open; `asked`: what it says, as it travels. */
static __always_inline void request_start(struct tcpx_conn *conn, enum tcpx_ext ext, __u16 asked)
{
	struct tcpx_request_conn *r = request_of(conn, ext);
	const struct tcpx_rule *ask = &conn->policy.rules[ext][TCPX_KIND_ASK];

	if (!rule_active(ask) || r->state != TCPX_REQUEST_NONE)
		return;
	r->asked = asked;
	r->state = TCPX_REQUEST_ASKED;
}

/* We have stopped talking. */
static __always_inline void request_stop(struct tcpx_conn *conn, enum tcpx_ext ext)
{
	struct tcpx_request_conn *r = request_of(conn, ext);

	if (r->state != TCPX_REQUEST_ASKED)
		return;
	r->state = conn->written & 1 << ext ? TCPX_REQUEST_UNANSWERED : TCPX_REQUEST_NO_ROOM;
	count_apart(ext, TCPX_COUNTER_UNANSWERED);
	conn_news(conn, ext, TCPX_NEWS_OURS);
}

/*
 * Our decision on the peer's request. `promise` is what a SYN-ACK says to it:
 * when it went out and is right, nothing more has to be said.
 */
static __always_inline void request_decide(struct tcpx_conn *conn, enum tcpx_ext ext, __u16 answer,
					   bool granted, __u16 promise)
{
	struct tcpx_request_conn *r = request_of_peer(conn, ext);

	r->answer = answer;
	r->state = TCPX_REQUEST_ANSWERED;
	r->promised = r->promised && answer == promise;
	conn_news(conn, ext, TCPX_NEWS_PEERS);
	if (!granted)
		count_apart(ext, TCPX_COUNTER_REFUSED);
}

/* Has the peer asked for something that is not decided yet? */
static __always_inline bool request_pending(const struct tcpx_conn *conn)
{
	for (int i = 0; i < TCPX_REQUESTS; i++)
		if (conn->requests[i].state == TCPX_REQUEST_PENDING)
			return true;
	return false;
}

#endif
