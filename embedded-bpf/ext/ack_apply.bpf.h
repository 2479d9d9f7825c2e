/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Acknowledging as it was decided: the delay, and at once by a mark that routing reads. */
#ifndef TCPX_ACK_APPLY_BPF_H
#define TCPX_ACK_APPLY_BPF_H

#include "../conn.bpf.h"
#include "../netns.bpf.h"
#include "../quickack.bpf.h"

#define TCPX_SOL_SOCKET 1
#define TCPX_SO_MARK 36
#define TCPX_DELAY_MOST_US 200000 /* TCP_DELACK_MAX */
#define TCPX_ACK_SAMPLES 8	  /* of the RTT; a pure receiver gets none later */

#define TCPX_RTT BPF_SOCK_OPS_RTT_CB_FLAG

#define TCPX_ACK_CLOCK_SHIFT 28 /* a quarter of a second */
#define TCPX_ACK_PATIENCE 8	/* of these: the agent takes milliseconds to serve a namespace */

static __always_inline __u8 ack_field(__u32 fields, enum tcpx_ack_field field)
{
	return fields >> field;
}

/* Those of the rule that decided. */
static __always_inline __u32 ack_fields(const struct tcpx_ack_conn *ack)
{
	return ack->bound ? ack->accept : ack->local;
}

/* The agent has to know the namespaces in which it is needed. */
static __always_inline void ack_notice(struct bpf_sock_ops *ctx)
{
	__u32 inode = netns_inode(ctx);

	if (inode && !bpf_map_lookup_elem(&served, &inode))
		bpf_ringbuf_output(&notices, &inode, sizeof(inode), 0);
}

/* Never 0, and the same again after a minute. */
static __always_inline __u8 ack_clock(void)
{
	return (bpf_ktime_get_ns() >> TCPX_ACK_CLOCK_SHIFT) | 1;
}

static __always_inline bool ack_clocked(const struct tcpx_ack_conn *ack)
{
	return ack->waits & 1;
}

enum ack_route { ACK_ROUTE_NONE, ACK_ROUTE_STANDS, ACK_ROUTE_CLEAR };

/*
 * Do the routes of this bit stand in the connection's namespace, and is nothing in their way?
 * Without them a peer could steer our routing: the bit may mean something to the administrator.
 * Sets *wait where they may come.
 */
static __always_inline enum ack_route ack_routed(struct bpf_sock_ops *ctx, int bit, bool *wait)
{
	__u32 inode = netns_inode(ctx);
	struct tcpx_served *service = inode ? bpf_map_lookup_elem(&served, &inode) : NULL;

	if (service && service->mark_bits & 1U << bit)
		return service->flags & TCPX_SERVED_IN_WAY ? ACK_ROUTE_STANDS : ACK_ROUTE_CLEAR;
	*wait = inode &&
		(!service || !(service->flags & (TCPX_SERVED_NO_ROUTES | TCPX_SERVED_DECLINED)));
	return ACK_ROUTE_NONE;
}

/*
 * The mark selects the routes with quickack; its other bits stay, and a bit that
 * the application had set itself is never taken away. Where the routes are still to come, the
 * connection's next segments try again: see ack_waits().
 */
__noinline int ack_mark(struct bpf_sock_ops *ctx, int at_once, int bit)
{
	struct tcpx_conn *conn = conn_of(ctx);
	struct bpf_sock *sk = ctx->sk;
	void *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	enum ack_route route = ACK_ROUTE_NONE;
	bool wait = false, clear = false;
	__u32 before, mark;
	__u8 marked = 0;
	int err;

	if (!sk || !tp || !conn)
		return 0;
	before = mark = sk->mark;
	if (conn->states.ack.marked)
		mark &= ~(1U << ((conn->states.ack.marked - 1) & 31));
	bit &= 31;
	if (at_once && !(mark & 1U << bit))
		route = ack_routed(ctx, bit, &wait);
	if (route != ACK_ROUTE_NONE) {
		mark |= 1U << bit;
		marked = bit + 1;
		/* where nobody may look it counts as it was asked for; `connections` asks the
		 * kernel
		 */
		clear = config.no_reads || (route == ACK_ROUTE_CLEAR && route_leaves(tp));
	}
	if (marked && marked == conn->states.ack.marked && mark == before)
		return 0;
	if (!wait)
		conn->states.ack.waits = 0;
	else if (!conn->states.ack.waits)
		conn->states.ack.waits = ack_clock();
	if (at_once && !wait && !(mark & 1U << bit))
		count_apart(TCPX_EXT_ACK, TCPX_ACK_COUNTER_UNROUTED);
	err = mark == before
		      ? 0
		      : bpf_setsockopt(ctx, TCPX_SOL_SOCKET, TCPX_SO_MARK, &mark, sizeof(mark));
	if (err) {
		TCPX_ERROR(TCPX_EXT_ACK, err);
		return 0;
	}
	if (clear)
		count(TCPX_EXT_ACK, TCPX_COUNTER_APPLIED);
	else if (marked) /* whether its route is one of ours its next segments show */
		conn->states.ack.waits = ack_clock();
	conn->states.ack.marked = marked;
	return 0;
}

/* The kernel takes 2 ticks at the least. 0: nothing to set. */
static __always_inline __u32 ack_delay_us(const struct tcpx_ack_conn *ack, __u32 rtt)
{
	__u32 us = ack->delay_us, least = 2 * config.jiffy_us;

	if (ack->divisor && rtt) {
		rtt /= ack->divisor;
		if (!us || rtt < us)
			us = rtt ?: 1;
	}
	if (us > TCPX_DELAY_MOST_US)
		return TCPX_DELAY_MOST_US;
	return us && us < least ? least : us;
}

__noinline int ack_delay(struct bpf_sock_ops *ctx, __u32 srtt_us)
{
	struct tcpx_conn *conn = conn_of(ctx);
	__u32 us = conn ? ack_delay_us(&conn->states.ack, srtt_us >> 3) : 0;
	int err;

	if (!conn || !us || us == conn->states.ack.applied_us)
		return 0;
	err = bpf_setsockopt(ctx, TCPX_SOL_TCP, TCP_BPF_DELACK_MAX, &us, sizeof(us));
	if (err) {
		TCPX_ERROR(TCPX_EXT_ACK, err);
		return 0;
	}
	if (!conn->states.ack.applied_us)
		count(TCPX_EXT_ACK, TCPX_COUNTER_APPLIED);
	conn->states.ack.applied_us = us;
	return 0;
}

/* From now on we acknowledge like this: a rule's numbers, or what a peer was granted. */
__noinline int ack_adopt(struct bpf_sock_ops *ctx, __u32 kind, __u32 every, __u32 divisor)
{
	struct tcpx_conn *conn = conn_of(ctx);
	struct tcpx_ack_conn *ack;
	__u32 fields;

	if (!conn)
		return 0;
	ack = &conn->states.ack;
	ack->bound = kind == TCPX_KIND_ACCEPT;
	fields = ack_fields(ack);
	ack->rule = ack->bound ? ack->rules.ids[TCPX_KIND_ACCEPT] : ack->rules.ids[TCPX_KIND_LOCAL];
	ack->every = every;
	ack->divisor = divisor;
	ack->floor = ack_field(fields, TCPX_ACK_FLOOR);
	ack->delay_us = ack->bound ? ack->accept_us : ack->local_us;
	if (every)
		ack_notice(ctx);
	ack_mark(ctx, every == 1, ack_field(fields, TCPX_ACK_MARK_BIT));
	if (every == 1)
		return 0;
	ack_delay(ctx, ctx->srtt_us);
	ack->samples = divisor ? TCPX_ACK_SAMPLES : 0;
	if (divisor)
		callback_flags(ctx, conn, TCPX_RTT, 0);
	return 0;
}

/* The mark is set: has the route that the kernel took by it the metric? */
__noinline int ack_look(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);
	struct bpf_sock *sk = ctx->sk;
	void *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	enum tcpx_quickack quick = TCPX_QUICKACK_UNKNOWN;

	if (tp && !config.no_reads)
		quick = quickack_of(tp);
	if (!conn || quick == TCPX_QUICKACK_UNKNOWN)
		return 0;
	conn->states.ack.waits = quick == TCPX_QUICKACK_ON ? 0 : TCPX_ACK_NEWS;
	count_apart(TCPX_EXT_ACK,
		    quick == TCPX_QUICKACK_ON ? TCPX_COUNTER_APPLIED : TCPX_ACK_COUNTER_UNROUTED);
	return 0;
}

static __always_inline bool ack_in_time(__u8 since)
{
	return (__u8)(ack_clock() - since) <= TCPX_ACK_PATIENCE;
}

/*
 * A segment is about to leave, maybe an ACK: do the routes of the mark stand by now, and is the
 * socket's one of them? (Most that arrive take the kernel's fast path, which shows them to nobody.)
 * Global: see receive_header().
 */
__noinline int ack_waits(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);

	if (!conn || !ack_clocked(&conn->states.ack))
		return 0;
	if (conn->states.ack.marked)
		return ack_look(ctx);
	ack_mark(ctx, 1, ack_field(ack_fields(&conn->states.ack), TCPX_ACK_MARK_BIT));
	if (ack_clocked(&conn->states.ack) && !conn->states.ack.marked &&
	    !ack_in_time(conn->states.ack.waits)) {
		conn->states.ack.waits = 0;
		count_apart(TCPX_EXT_ACK, TCPX_ACK_COUNTER_UNROUTED);
	}
	return 0;
}

/* A sample of the RTT: follow it for a while. */
static __always_inline void ack_rtt(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	if (conn->states.ack.samples) {
		conn->states.ack.samples--;
		/* since 6.10 the new value is an argument; the socket's is still the one before */
		ack_delay(ctx, ctx->args[1] ?: ctx->srtt_us);
	}
	if (!conn->states.ack.samples)
		callback_flags(ctx, conn, 0, TCPX_RTT);
}

#endif
