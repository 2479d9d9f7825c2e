/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Speaking again on a connection that stands. */
#ifndef TCPX_LIVE_ASK_BPF_H
#define TCPX_LIVE_ASK_BPF_H

#include "live.bpf.h"

/* Adds callback flags: 0, or -EINVAL on kernels before 6.12. */
static __always_inline int live_flags(struct tcp_sock *tp, __u32 set)
{
	int present = ((struct tcp_sock___live *)tp)->bpf_sock_ops_cb_flags;
	int flags = present | set;

	if (flags == present)
		return 0;
	return bpf_setsockopt(tp, TCPX_SOL_TCP, TCPX_TCP_BPF_SOCK_OPS_CB_FLAGS, &flags,
			      sizeof(flags));
}

/*
 * The state of a connection, made as if it had been set up with the scope's rules and had nothing
 * left to say. One whose scope has gone becomes ours: its program would never speak.
 */
static __always_inline struct tcpx_conn *live_conn(struct tcp_sock *tp,
						   const struct tcpx_live_order *order)
{
	struct tcpx_conn *conn = bpf_sk_storage_get(&conns, tp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	__u64 scope;

	if (!conn)
		return NULL;
	scope = conn->scope;
	if (!scope || !bpf_map_lookup_elem(&scopes, &scope))
		conn->scope = order->scope;
	if (conn->since_ns)
		return conn;
	conn->since_ns = bpf_ktime_get_ns();
	conn->silent = TCPX_SILENT; /* received stays 0: nobody has seen its handshake */
	return conn;
}

/* A rule is the connection's from now on; its value the extension takes. */
static __always_inline void live_take(struct tcpx_rules *rules, enum tcpx_kind kind,
				      const struct tcpx_rule *rule)
{
	rules->flags[kind] = rule->flags;
	rules->ids[kind] = rule->id;
}

/* It is not, after all. */
static __always_inline void live_take_back(struct tcpx_rules *rules, enum tcpx_kind kind,
					   const struct tcpx_rules *before)
{
	rules->flags[kind] = before->flags[kind];
	rules->ids[kind] = before->ids[kind];
}

static __always_inline void live_drop(struct tcpx_rules *rules, enum tcpx_kind kind)
{
	rules->flags[kind] = 0;
	rules->ids[kind] = 0;
	if (kind == TCPX_KIND_LOCAL)
		rules->outcome = TCPX_OUTCOME_NONE;
}

/* The application has chosen itself: the connection has the rule, as after a set-up under it. */
static __always_inline int live_kept(struct tcpx_rules *rules, __u32 ext)
{
	rules_outcome(rules, TCPX_OUTCOME_APPLICATION);
	count_apart(ext, TCPX_COUNTER_KEPT);
	return TCPX_LIVE_KEPT;
}

static __always_inline __u32 live_srtt(void *tp)
{
	return ((struct tcp_sock___live *)tp)->srtt_us;
}

#define LIVE_PROMISED(ID, name, conn)                                                              \
	if (name##_extension.peers && (conn)->silent &&                                            \
	    exchange_at(conn, name##_extension.peers)->state == TCPX_REQUEST_ANSWERED)             \
		exchange_at(conn, name##_extension.peers)->promised = 1;

/*
 * As ask_again(): with the next segments, whenever they come. `answered`: the peer is to answer.
 * Returns enum tcpx_live_said.
 */
static __always_inline int live_speak(struct tcp_sock *tp, struct tcpx_conn *conn, __u32 ext,
				      bool answered, struct tcpx_live_target *target)
{
	__u32 flags = TCPX_WRITE | (answered ? TCPX_PARSE : 0), present;
	struct tcp_sock___live *live = (void *)tp;

	present = live->bpf_sock_ops_cb_flags;
	if (conn->silent >= TCPX_SILENCED || signed_options(tp))
		return TCPX_LIVE_UNSAID;
	target->error = live_flags(tp, flags);
	if (target->error)
		return TCPX_LIVE_UNSAID;
	conn->flags_ours |= flags & ~present;
	/* what was said before is not said again */
	TCPX_EACH(LIVE_PROMISED, conn)
	conn->written &= ~(1 << ext);
	conn->heard = answered;
	conn->silent = TCPX_SPEAKING;
	conn->segments = 0;
	conn->since_ns = TCPX_SINCE_NEXT;
	conn->first_byte = live->snd_nxt;
	conn->retrans = live->total_retrans;
	return TCPX_LIVE_SAID;
}

#endif
