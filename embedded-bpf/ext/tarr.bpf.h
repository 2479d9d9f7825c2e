/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * TCP ACK Rate Request, draft-ietf-tcpm-ack-rate-request: a capability on SYN and
 * SYN-ACK, and, to a peer that has it, a request on data. Nobody answers it.
 */
#ifndef TCPX_TARR_BPF_H
#define TCPX_TARR_BPF_H

#include "../exchange.bpf.h"

#define TCPX_TARR_CAPABLE_LEN 4
#define TCPX_TARR_REQUEST_LEN 5
#define TCPX_TARR_MOST 127

/* Is it TARR that this connection asks with? */
static __always_inline bool tarr_asks(const struct tcpx_ack_conn *ack)
{
	return rules_active(&ack->rules, TCPX_KIND_ASK) && ack->ask >> TCPX_ACK_TARR;
}

static __always_inline bool tarr_rule(const struct tcpx_rule *ask)
{
	return rule_active(ask) && ask->value[0] >> TCPX_ACK_TARR;
}

static __always_inline void tarr_bytes(__u8 len, __u8 segments, union tcpx_option *o)
{
	/* R is the high seven bits */
	option_put(o, TCPX_OPTION_EXP, len, config.exids[TCPX_EXT_ACK][TCPX_ROLE_OWN],
		   segments << 9);
}

/* Is a request still to be made on data? Both who asks and who grants announces it. */
static __always_inline bool tarr_speaks(const struct tcpx_conn *conn)
{
	const struct tcpx_ack_conn *ack = &conn->states.ack;

	if (!conn->since_ns)
		return tarr_asks(ack) || rules_active(&ack->rules, TCPX_KIND_ACCEPT);
	return ack->tarr & TCPX_TARR_PEER && tarr_asks(ack);
}

/*
 * R = 0 asks for ACKs at once; more than our window it must not be. The value of
 * the first time stays: repetitions are the same bytes.
 */
static __always_inline void tarr_option(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
					union tcpx_option *o)
{
	struct tcpx_ack_conn *ack = &conn->states.ack;
	__u32 segments = ack->ask & 0xff;

	if (!tarr_speaks(conn))
		return;
	if (!conn->since_ns) {
		tarr_bytes(TCPX_TARR_CAPABLE_LEN, 0, o);
		return;
	}
	/* not on the third ACK; space for it is taken off the segment size all the same */
	if (ctx->args[0] != BPF_WRITE_HDR_TCP_CURRENT_MSS && !ctx->skb_len)
		return;
	if (!(ack->tarr & TCPX_TARR_ASKED)) {
		if (segments > ctx->snd_cwnd)
			segments = ctx->snd_cwnd;
		ack->tarr_asked = segments == 1 ? 0 : segments & TCPX_TARR_MOST;
		ack->tarr |= TCPX_TARR_ASKED;
		conn_news(conn, TCPX_EXT_ACK, TCPX_NEWS_OURS);
	}
	tarr_bytes(TCPX_TARR_REQUEST_LEN, ack->tarr_asked, o);
}

/* On the walk through a header. */
static __always_inline void tarr_see(__u8 *seen, __u32 len)
{
	/* a wrong length is as bad as twice */
	*seen = len >= TCPX_TARR_CAPABLE_LEN && len <= TCPX_TARR_REQUEST_LEN && !*seen
			? len
			: TCPX_TARR_REQUEST_LEN + 1;
}

/* After the walk. It may be announced on a SYN or SYN-ACK alone: TCPX_HEADER_OPENS. */
static __always_inline void tarr_judge(struct tcpx_conn *conn)
{
	struct tcpx_ack_conn *ack = &conn->states.ack;
	__u8 seen = ack->tarr_seen, segments = ack->tarr_bits >> 1;

	ack->tarr_seen = 0;
	if (!seen)
		return;
	if (seen == TCPX_TARR_CAPABLE_LEN && conn->header.flags & TCPX_HEADER_OPENS) {
		ack->tarr |= TCPX_TARR_PEER;
		return;
	}
	if (!rules_active(&ack->rules, TCPX_KIND_ACCEPT))
		return; /* nobody here grants anything: not even counted */
	if (seen != TCPX_TARR_REQUEST_LEN || conn->header.flags & TCPX_HEADER_SYN) {
		conn_malformed(conn, TCPX_EXT_ACK);
		return;
	}
	if (ack->tarr & TCPX_TARR_TAKEN && segments == ack->tarr_segments)
		return; /* repeated */
	ack->tarr |= TCPX_TARR_TAKEN | TCPX_TARR_PENDING;
	ack->tarr_segments = segments;
	count_apart(TCPX_EXT_ACK, TCPX_COUNTER_RECEIVED);
}

#endif
