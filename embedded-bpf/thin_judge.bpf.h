/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Which pure ACKs a sender can do without for a while, and for how long. */
#ifndef TCPX_THIN_JUDGE_BPF_H
#define TCPX_THIN_JUDGE_BPF_H

#include "thin_packet.bpf.h"

#define THIN_FIRST_ACKS 8
#define THIN_RTT_LEAST 1000	  /* microseconds */
#define THIN_LATE 10000		  /* microseconds: a busy host, not a pause */
#define THIN_RTT_MOST 10000000	  /* beyond it there was no sample */
#define THIN_DELAY_MOST 200000	  /* with the kernel's own 200 ms below the 500 of RFC 1122 */
#define THIN_DELAY_DIVISOR 4	  /* when the rule names no delay */
#define THIN_MSS_LEAST 536	  /* of segments that were merged: RFC 9293's default */
#define THIN_AE 4		  /* of the three flags; the others are CWR and ECE */
#define THIN_ACCECN 8		  /* it is AccECN */
#define THIN_OPTION 16		  /* with its option */
#define THIN_AMBIGUOUS 8	  /* segments */
#define THIN_PASS TCPX_THIN_COUNT /* not a pure ACK: goes, and is not counted */

static __always_inline __u32 thin_rtt(struct tcp_sock *tp)
{
	__u32 rtt = tp->rtt_min.s[0].v;

	if (!rtt || rtt > THIN_RTT_MOST)
		rtt = tp->srtt_us >> 3;
	if (!rtt)
		rtt = tp->rcv_rtt_est.rtt_us >> 3;
	if (rtt < THIN_RTT_LEAST)
		return THIN_RTT_LEAST;
	return rtt > THIN_RTT_MOST ? THIN_RTT_MOST : rtt;
}

/* Microseconds. */
static __always_inline __u32 thin_delay(const struct tcpx_ack_conn *ack, __u32 rtt)
{
	__u32 delay = rtt / THIN_DELAY_DIVISOR;

	if (ack->divisor)
		delay = rtt / ack->divisor;
	else if (ack->delay_us && !ack->bound)
		delay = ack->delay_us;
	if (ack->delay_us && delay > ack->delay_us)
		delay = ack->delay_us;
	return delay > THIN_DELAY_MOST ? THIN_DELAY_MOST : delay;
}

/* A sender whose window grows by what is acknowledged needs its ACKs. */
static __always_inline void thin_epoch(struct thin_flow *flow, __u32 ack, __u32 rtt, __u64 now)
{
	__u64 elapsed = (now - flow->epoch_ns) / 1000, bytes = ack - flow->epoch_ack;

	/* New, or after a pause: slow start. */
	if (!flow->epoch_ns || elapsed > 2ULL * rtt + THIN_LATE) {
		flow->growing = 1;
		flow->per_rtt = 0;
	} else {
		if (elapsed < rtt)
			return;
		bytes = bytes * rtt / elapsed;
		flow->growing = bytes > (__u64)flow->per_rtt + flow->per_rtt * 3ULL / 10;
		flow->per_rtt = bytes;
	}
	flow->epoch_ack = ack;
	flow->epoch_ns = now;
}

/* Bytes after which an ACK is due. */
static __always_inline __u32 thin_stride(const struct tcpx_ack_conn *ack,
					 const struct thin_flow *flow, struct tcp_sock *tp)
{
	__u32 stride = ack->every * (flow->mss ?: tp->mss_cache), most;

	if (!ack->floor)
		return stride;
	most = flow->per_rtt / ack->floor;
	return stride < most ? stride : most;
}

/*
 * Has it news of congestion, compared to the segment before? With ECN that is ECE, until the sender
 * has answered, and the first ACK without. AccECN (RFC 9768 3.2.2) counts marks in three flags,
 * modulo 8 and from 5 on, so that AE, the bit that ECN leaves alone, tells them apart; and so does
 * its option, which some segments may have and others not.
 */
static __always_inline bool thin_signals(const struct thin_segment *seg, struct thin_flow *flow)
{
	const __u8 *bytes = (const __u8 *)seg->tcp; /* AE has its own name in new headers only */
	__u8 before = flow->ecn, counter = (bytes[12] & 1) << 2 | bytes[13] >> 6;

	if (bytes[12] & 0xe) /* nobody knows yet what these say */
		return true;
	if (counter & THIN_AE || before & THIN_ACCECN)
		counter |= THIN_ACCECN;
	if (seg->accecn)
		counter |= THIN_ACCECN | THIN_OPTION;
	flow->ecn = counter;
	if (counter & THIN_ACCECN)
		return counter != before;
	return counter || before;
}

/*
 * Without the option a sender takes an ACK of eight segments for eight marks (RFC 9768 A.2.1).
 * Could the next ACK be one? It comes two segments behind this one, or as far as this one behind
 * the last.
 */
static __always_inline bool thin_ambiguous(const struct thin_flow *flow, __u32 number,
					   struct tcp_sock *tp)
{
	__u32 mss = flow->mss ?: tp->mss_cache, since = number - flow->passed_ack;
	__u32 step = number - flow->seen_ack;

	if (step < 2 * mss)
		step = 2 * mss;
	return (flow->ecn & (THIN_ACCECN | THIN_OPTION)) == THIN_ACCECN &&
	       since + step >= THIN_AMBIGUOUS * mss;
}

static __always_inline __u32 thin_judge(struct __sk_buff *skb, const struct thin_segment *seg,
					const struct tcpx_ack_conn *ack, struct thin_flow *flow,
					struct tcp_sock *tp, __u64 now)
{
	__u32 number = bpf_ntohl(seg->tcp->ack_seq), rtt = thin_rtt(tp);
	const struct tcphdr *tcp = seg->tcp;

	if (skb->len != seg->headers || !tcp->ack || tcp->syn || tcp->fin || tcp->rst || tcp->psh) {
		if (flow->ecn & THIN_ACCECN) /* which is on data, too */
			thin_signals(seg, flow);
		return THIN_PASS;
	}
	if (thin_signals(seg, flow))
		return TCPX_THIN_ECN;
	if (!seg->plain) {
		flow->gap = 1;
		return TCPX_THIN_OPTIONS;
	}
	thin_epoch(flow, number, rtt, now);
	if (number == flow->seen_ack)
		return TCPX_THIN_DUPLICATE;
	if (flow->gap) { /* the ACK that says so is at once, RFC 5681 4.2 */
		flow->gap = 0;
		return TCPX_THIN_OPTIONS;
	}
	if (flow->pure < THIN_FIRST_ACKS) {
		flow->pure++;
		return TCPX_THIN_FIRST;
	}
	if (flow->growing)
		return TCPX_THIN_GROWTH;
	if (flow->small)
		return TCPX_THIN_SMALL;
	if (number - flow->passed_ack >= thin_stride(ack, flow, tp) ||
	    thin_ambiguous(flow, number, tp))
		return TCPX_THIN_EVERY;
	if (now - flow->passed_ns >= thin_delay(ack, rtt) * 1000ULL)
		return TCPX_THIN_TIME;
	if ((__s32)(flow->passed_edge - number) < (__s32)(tp->rcv_wnd / 2))
		return TCPX_THIN_WINDOW;
	return TCPX_THIN_DROPPED;
}

#endif
