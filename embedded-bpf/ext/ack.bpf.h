/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * How this side acknowledges: the delay here, at once by a mark that routing
 * reads, every N segments by the thinner, which looks the numbers up.
 */
#ifndef TCPX_ACK_BPF_H
#define TCPX_ACK_BPF_H

#include "../request.bpf.h"
#include "tarr.bpf.h"

#define TCPX_SOL_SOCKET 1
#define TCPX_SO_MARK 36
#define TCPX_DELAY_MOST_US 200000 /* TCP_DELACK_MAX */
#define TCPX_ACK_SAMPLES 8	  /* of the RTT; a pure receiver gets none later */

#define TCPX_RTT BPF_SOCK_OPS_RTT_CB_FLAG

#define TCPX_ACK_CLOCK_SHIFT 28 /* a quarter of a second */
#define TCPX_ACK_PATIENCE 8	/* of these: the agent takes milliseconds to serve a namespace */

struct net___inode {
	struct {
		unsigned int inum;
	} ns;
} __attribute__((preserve_access_index));

struct sock_common___net {
	struct {
		struct net___inode *net;
	} skc_net;
} __attribute__((preserve_access_index));

static __always_inline __u8 ack_field(const struct tcpx_rule *rule, enum tcpx_ack_field field)
{
	return rule->value[0] >> field;
}

/* Delay and segments as they travel: an accept rule bounds the second, and its delay the first. */
static __always_inline __u16 ack_bounded(const struct tcpx_rule *accept, __u16 asked)
{
	__u8 most = ack_field(accept, TCPX_ACK_EVERY), segments = asked & 0xff;

	return (asked & 0xff00) | (segments < most ? segments : most);
}

static __always_inline bool ack_accepts(const struct tcpx_conn *conn)
{
	return rule_active(&conn->policy.rules[TCPX_EXT_ACK][TCPX_KIND_ACCEPT]);
}

/* Of the socket's network namespace; 0: not known. */
static __always_inline __u32 netns_inode(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct sock_common___net *common = sk ? (void *)bpf_skc_to_tcp_sock(sk) : NULL;

	return common ? common->skc_net.net->ns.inum : 0;
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

/*
 * Do the routes of this bit stand in the connection's namespace? Without them a peer could steer
 * our routing: the bit may mean something to the administrator. Sets *wait where they may come.
 */
static __always_inline bool ack_routed(struct bpf_sock_ops *ctx, int bit, bool *wait)
{
	__u32 inode = netns_inode(ctx);
	struct tcpx_served *service = inode ? bpf_map_lookup_elem(&served, &inode) : NULL;

	if (service && service->mark_bits & 1U << bit)
		return true;
	*wait = inode &&
		(!service || !(service->flags & (TCPX_SERVED_NO_ROUTES | TCPX_SERVED_DECLINED)));
	return false;
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
	__u32 before, mark;
	bool wait = false;
	__u8 marked = 0;
	int err;

	if (!sk || !conn)
		return 0;
	before = mark = sk->mark;
	if (conn->ack.marked)
		mark &= ~(1U << ((conn->ack.marked - 1) & 31));
	bit &= 31;
	if (at_once && !(mark & 1U << bit) && ack_routed(ctx, bit, &wait)) {
		mark |= 1U << bit;
		marked = bit + 1;
	}
	if (!wait)
		conn->ack.waits = 0;
	else if (!conn->ack.waits)
		conn->ack.waits = ack_clock();
	err = mark == before
		      ? 0
		      : bpf_setsockopt(ctx, TCPX_SOL_SOCKET, TCPX_SO_MARK, &mark, sizeof(mark));
	if (err) {
		TCPX_ERROR(TCPX_EXT_ACK, err);
		return 0;
	}
	if (marked && marked != conn->ack.marked)
		count(TCPX_EXT_ACK, TCPX_COUNTER_APPLIED);
	conn->ack.marked = marked;
	return 0;
}

/* The kernel takes 2 ticks at the least. 0: nothing to set. */
static __always_inline __u32 ack_delay_us(const struct tcpx_conn *conn, __u32 rtt)
{
	__u32 us = conn->ack.delay_us, least = 2 * config.jiffy_us;

	if (conn->ack.divisor && rtt) {
		rtt /= conn->ack.divisor;
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
	__u32 us = conn ? ack_delay_us(conn, srtt_us >> 3) : 0;
	int err;

	if (!conn || !us || us == conn->ack.applied_us)
		return 0;
	err = bpf_setsockopt(ctx, TCPX_SOL_TCP, TCP_BPF_DELACK_MAX, &us, sizeof(us));
	if (err) {
		TCPX_ERROR(TCPX_EXT_ACK, err);
		return 0;
	}
	if (!conn->ack.applied_us)
		count(TCPX_EXT_ACK, TCPX_COUNTER_APPLIED);
	conn->ack.applied_us = us;
	return 0;
}

/* From now on we acknowledge like this: a rule's numbers, or what a peer was granted. */
__noinline int ack_adopt(struct bpf_sock_ops *ctx, __u32 kind, __u32 every, __u32 divisor)
{
	struct tcpx_conn *conn = conn_of(ctx);
	const struct tcpx_rule *rule;

	if (!conn || kind >= TCPX_KIND_COUNT)
		return 0;
	rule = &conn->policy.rules[TCPX_EXT_ACK][kind];
	conn->ack.rule = rule->id;
	conn->ack.every = every;
	conn->ack.divisor = divisor;
	conn->ack.floor = ack_field(rule, TCPX_ACK_FLOOR);
	conn->ack.delay_us = rule->value[1];
	conn->ack.bound = kind == TCPX_KIND_ACCEPT;
	if (every)
		ack_notice(ctx);
	ack_mark(ctx, every == 1, ack_field(rule, TCPX_ACK_MARK_BIT));
	if (every == 1)
		return 0;
	ack_delay(ctx, ctx->srtt_us);
	conn->ack.samples = divisor ? TCPX_ACK_SAMPLES : 0;
	if (divisor)
		callback_flags(ctx, conn, TCPX_RTT, 0);
	return 0;
}

/* The paper's request goes on the first segment; TARR's waits for the peer's announcement. */
static __always_inline void ack_start(struct tcpx_conn *conn)
{
	const struct tcpx_rule *ask = &conn->policy.rules[TCPX_EXT_ACK][TCPX_KIND_ASK];

	if (!tarr_asks(ask))
		request_start(conn, TCPX_EXT_ACK, ask->value[0]);
}

static __always_inline void ack_received(struct tcpx_conn *conn)
{
	struct tcpx_request_conn *r = request_of(conn, TCPX_EXT_ACK);
	__u16 answer = r->answer_bits, asked = r->asked;

	request_take_ask(conn, TCPX_EXT_ACK, request_of_peer(conn, TCPX_EXT_ACK)->ask_bits);
	request_take_answer(conn, TCPX_EXT_ACK,
			    answer && (answer >> 8 == asked >> 8 || !(answer >> 8)) &&
				    (answer & 0xff) <= (asked & 0xff),
			    !answer);
	tarr_received(conn, ack_accepts(conn));
}

static __always_inline void ack_local(struct bpf_sock_ops *ctx, const struct tcpx_conn *conn)
{
	const struct tcpx_rule *local = &conn->policy.rules[TCPX_EXT_ACK][TCPX_KIND_LOCAL];

	if (rule_active(local) && !conn->ack.rule)
		ack_adopt(ctx, TCPX_KIND_LOCAL, ack_field(local, TCPX_ACK_EVERY),
			  ack_field(local, TCPX_ACK_DIVISOR));
}

/* The handshake is complete, or the peer has asked later. */
static __always_inline void ack_established(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	struct tcpx_request_conn *r = request_of_peer(conn, TCPX_EXT_ACK);
	const struct tcpx_rule *rules = conn->policy.rules[TCPX_EXT_ACK];
	const struct tcpx_rule *accept = &rules[TCPX_KIND_ACCEPT];
	__u16 granted;

	if (r->state == TCPX_REQUEST_PENDING) {
		granted = ack_bounded(accept, r->asked);
		if ((granted & 0xff) < (r->asked & 0xff))
			count_apart(TCPX_EXT_ACK, TCPX_COUNTER_CLAMPED);
		ack_adopt(ctx, TCPX_KIND_ACCEPT, granted & 0xff, granted >> 8);
		conn->ack.tarr &= ~TCPX_TARR_RULES;
		request_decide(conn, TCPX_EXT_ACK, granted, granted, granted);
	} else if (conn->ack.tarr & TCPX_TARR_PENDING) {
		granted = ack_bounded(accept, conn->ack.tarr_segments ?: 1);
		if (granted < conn->ack.tarr_segments)
			count_apart(TCPX_EXT_ACK, TCPX_COUNTER_CLAMPED);
		ack_adopt(ctx, TCPX_KIND_ACCEPT, granted & 0xff, 0);
		conn->ack.tarr |= TCPX_TARR_RULES;
		conn_news(conn, TCPX_EXT_ACK, TCPX_NEWS_PEERS);
	} else {
		ack_local(ctx, conn);
	}
	conn->ack.tarr &= ~TCPX_TARR_PENDING;
}

/*
 * A segment is about to leave, maybe an ACK: do the routes of the mark stand by now? (Most that
 * arrive take the kernel's fast path, which shows them to nobody.) Global: see receive_judge().
 */
__noinline int ack_waits(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);
	const struct tcpx_rule *rule;

	if (!conn || !conn->ack.waits)
		return 0;
	rule = &conn->policy
			.rules[TCPX_EXT_ACK][conn->ack.bound ? TCPX_KIND_ACCEPT : TCPX_KIND_LOCAL];
	ack_mark(ctx, 1, ack_field(rule, TCPX_ACK_MARK_BIT));
	if (conn->ack.waits && (__u8)(ack_clock() - conn->ack.waits) > TCPX_ACK_PATIENCE)
		conn->ack.waits = 0;
	return 0;
}

/* A sample of the RTT: follow it for a while. */
static __always_inline void ack_rtt(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	if (conn->ack.samples) {
		conn->ack.samples--;
		/* since 6.10 the new value is an argument; the socket's is still the one before */
		ack_delay(ctx, ctx->args[1] ?: ctx->srtt_us);
	}
	if (!conn->ack.samples)
		callback_flags(ctx, conn, 0, TCPX_RTT);
}

#endif
