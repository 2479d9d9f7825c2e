// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The ACK thinner. Of a connection with a strategy (conn->states.ack, every >= 2) it holds pure
 * ACKs back that carry no news the sender needs yet. A held ACK is sent by the agent when its time
 * comes, unless a later segment has made it needless.
 */
#include "thin_rewritten.bpf.h"
#include "thin_hold.bpf.h"
#include "thin_judge.bpf.h"
#include "thin_path.bpf.h"

/* Holds it back when it can be sent later, and says what became of it. */
static __always_inline __u32 thin_drop(struct __sk_buff *skb, struct bpf_sock *sk,
				       const struct thin_segment *seg,
				       const struct tcpx_ack_conn *ack, struct thin_flow *flow,
				       struct tcp_sock *tp, __u64 now)
{
	__u32 netns = tp->inet_conn.icsk_inet.sk.__sk_common.skc_net.net->ns.inum;
	struct tcpx_held copy = {
		.event = TCPX_THIN_EVENT_HELD,
		.netns = netns,
		.cookie = bpf_get_socket_cookie(skb),
		.mark = skb->mark,
		.bound_if = sk->bound_dev_if,
		.ifindex = skb->ifindex,
		.version = seg->ip == sizeof(struct iphdr) ? 4 : 6,
	};
	struct tcpx_served *service = bpf_map_lookup_elem(&served, &netns);
	__u32 len = skb->len;

	if (thin_is_special(skb, sk, seg, tp))
		return TCPX_THIN_PATH;
	if (service && thin_is_led_elsewhere(skb, service, tp))
		return TCPX_THIN_PATH;
	if (!service || !(service->flags & TCPX_SERVED_FLUSH)) {
		if (!service || !(service->flags & TCPX_SERVED_DECLINED))
			thin_want(flow, netns, now);
		return TCPX_THIN_UNSERVED;
	}
	if (!thin_is_own(skb, sk, seg) || thin_is_rewritten(skb, seg, tp) ||
	    (reader_stalled && thin_reader_stalled(now)))
		return TCPX_THIN_UNSERVED;
	if (!thin_copy(skb, copy.packet, len))
		return TCPX_THIN_UNSERVED;
	copy.len = len;
	if (!thin_hold(skb, ack->rule, &copy, now, thin_delay(ack, thin_rtt(tp)) * 1000ULL))
		return TCPX_THIN_UNSERVED;
	thin_note(service, TCPX_SERVED_USED);
	flow->holding = 1;
	flow->timed = 1;
	return TCPX_THIN_DROPPED;
}

/* The socket's strategy, if it is one for us. */
static __always_inline struct tcpx_ack_conn *thin_strategy(struct bpf_sock *sk)
{
	struct tcpx_conn *conn = bpf_sk_storage_get(&conns, sk, NULL, 0);

	return conn && conn->states.ack.every > 1 ? &conn->states.ack : NULL;
}

SEC("cgroup_skb/ingress") int ack_ingress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct thin_segment seg;
	struct thin_flow *flow;
	__u32 size;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk || !thin_strategy(sk))
		return 1;
	flow = bpf_sk_storage_get(&flows, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!flow)
		return 1;
	if (!thin_parse(skb, &seg)) {
		flow->small = 1; /* we do not know what it acknowledges */
		return 1;
	}
	if (seg.tcp->fin)
		flow->closing = 1;
	size = skb->len - seg.headers;
	if (skb->len <= seg.headers)
		return 1;
	/* A path that became narrower shows in segments that were merged, others may be short. */
	if (skb->gso_size >= THIN_MSS_LEAST)
		flow->mss = skb->gso_size;
	else if (size > flow->mss)
		flow->mss = size;
	flow->small = !flow->mss || size % flow->mss != 0;
	return 1;
}

SEC("cgroup_skb/egress") int ack_egress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct tcpx_ack_conn *ack;
	struct thin_segment seg;
	struct thin_flow *flow;
	struct tcp_sock *tp;
	__u32 why, number;
	bool open;
	__u64 now;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	ack = thin_strategy(sk);
	if (!ack || !thin_parse(skb, &seg)) {
		flow = bpf_sk_storage_get(&flows, sk, NULL, 0);
		if (flow && flow->holding) /* from before the rule went, or IP options came */
			thin_forget(skb, flow, false);
		return 1;
	}
	flow = bpf_sk_storage_get(&flows, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	tp = bpf_skc_to_tcp_sock(sk);
	if (!flow || !tp)
		return 1;
	/* In other states no data comes that could be acknowledged later. */
	open = !flow->closing && !seg.tcp->rst &&
	       (sk->state == TCP_STATE_ESTABLISHED || sk->state == TCP_STATE_FIN_WAIT1 ||
		sk->state == TCP_STATE_FIN_WAIT2);
	now = bpf_ktime_get_ns();
	number = bpf_ntohl(seg.tcp->ack_seq);
	why = open ? thin_judge(skb, &seg, ack, flow, tp, now) : THIN_PASS;
	if (why == TCPX_THIN_DROPPED)
		why = thin_drop(skb, sk, &seg, ack, flow, tp, now);
	thin_count(ack->rule, why);
	flow->seen_ack = number;
	if (why == TCPX_THIN_DROPPED)
		return 0;
	flow->passed_ack = number;
	flow->passed_edge = number + tp->rcv_wnd;
	flow->passed_ns = now;
	/* After our FIN the socket may be gone before another segment leaves. */
	if (seg.tcp->fin)
		open = false;
	if (flow->holding || (flow->timed && !open))
		thin_forget(skb, flow, !open);
	return 1;
}

char _license[] SEC("license") = "Dual MIT/GPL";
