/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* ACKs that are held back: the copy, its timer, and the way to the agent. */
#ifndef TCPX_THIN_HOLD_BPF_H
#define TCPX_THIN_HOLD_BPF_H

#include "thin_packet.bpf.h"

#define THIN_CLOCK 1 /* CLOCK_MONOTONIC */
#define THIN_WANTED_NS 1000000000ULL

/* Looks its element up again: verifiers up to 6.1 take no lock in the one that is passed. */
static int thin_timer(void *map __attribute__((unused)), __u64 *key,
		      struct thin_hold *passed __attribute__((unused)))
{
	struct thin_hold *h = bpf_map_lookup_elem(&holds, key);
	__u64 now = bpf_ktime_get_ns(), next, armed;
	struct tcpx_held copy = {};
	bool due, idle;
	__u32 rule;

	if (!h)
		return 0;
	bpf_spin_lock(&h->lock);
	rule = h->rule;
	due = h->pending && now >= h->due_ns;
	if (due) {
		copy = h->held;
		h->pending = 0;
	}
	next = h->pending ? h->due_ns : h->used_ns + thin_config.idle_ns;
	idle = !h->pending && now >= next;
	if (idle)
		h->cookie = 0;
	h->armed_ns = next;
	bpf_spin_unlock(&h->lock);
	if (due) {
		thin_reader_stalled(now);
		if (bpf_ringbuf_output(&held, &copy, sizeof(copy), 0))
			reader_stalled = true;
		else
			thin_count(rule, TCPX_THIN_FLUSHED);
	}
	if (idle) {
		bpf_map_delete_elem(&holds, key);
		return 0;
	}
	bpf_timer_start(&h->timer, next > now ? next - now : 1, 0);
	bpf_spin_lock(&h->lock);
	armed = h->armed_ns;
	bpf_spin_unlock(&h->lock);
	/* Another CPU has armed it for an earlier time meanwhile, and we have undone that. */
	if (armed != next)
		bpf_timer_start(&h->timer, armed > now ? armed - now : 1, 0);
	return 0;
}

static __noinline int thin_hold_create(__u64 cookie)
{
	__u64 none[sizeof(struct thin_hold) / 8] = {};
	struct thin_hold *h;

	none[offsetof(struct thin_hold, cookie) / 8] = cookie;
	if (bpf_map_update_elem(&holds, &cookie, none, BPF_NOEXIST))
		return -1; /* full */
	h = bpf_map_lookup_elem(&holds, &cookie);
	/* Without a user of the map, whose agent is gone, there are no timers either. */
	if (!h || bpf_timer_init(&h->timer, &holds, THIN_CLOCK) ||
	    bpf_timer_set_callback(&h->timer, thin_timer)) {
		bpf_map_delete_elem(&holds, &cookie);
		return -1;
	}
	return 0;
}

/* The copy and its time. False: it cannot be sent later. */
static __always_inline bool thin_hold(struct __sk_buff *skb, __u32 rule,
				      const struct tcpx_held *copy, __u64 now, __u64 delay)
{
	__u64 cookie = bpf_get_socket_cookie(skb), due;
	struct thin_hold *h;
	bool start, ours;

	h = bpf_map_lookup_elem(&holds, &cookie);
	if (!h) {
		if (thin_hold_create(cookie))
			return false;
		h = bpf_map_lookup_elem(&holds, &cookie);
		if (!h)
			return false;
	}
	bpf_spin_lock(&h->lock);
	ours = h->cookie == cookie;
	due = h->pending ? h->due_ns : now + delay;
	start = ours && (!h->armed_ns || h->armed_ns > due);
	if (ours) {
		h->held = *copy;
		h->held.passed = h->passed;
		h->rule = rule;
		h->used_ns = now;
		h->pending = 1;
		h->due_ns = due;
	}
	if (start)
		h->armed_ns = due;
	bpf_spin_unlock(&h->lock);
	if (!start)
		return ours;
	if (!bpf_timer_start(&h->timer, due > now ? due - now : 1, 0))
		return true;
	h->pending = 0;
	h->armed_ns = 0; /* or nobody would try again */
	return false;
}

/* Something newer went out. `end`: and nothing will be held any more. */
static __always_inline void thin_forget(struct __sk_buff *skb, struct thin_flow *flow, bool end)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct thin_hold *h = bpf_map_lookup_elem(&holds, &cookie);
	__u64 now = bpf_ktime_get_ns();

	flow->holding = 0;
	if (end)
		flow->timed = 0;
	if (!h)
		return;
	h->passed++; /* what the agent has of before is too late; one segment at a time is here */
	if (!end) {
		h->pending = 0;
		return;
	}
	/* The callback removes it: a removal here could wait for the callback with the bucket
	 * locked. */
	bpf_spin_lock(&h->lock);
	h->pending = 0;
	h->used_ns = 0;
	h->armed_ns = now;
	bpf_spin_unlock(&h->lock);
	bpf_timer_start(&h->timer, 1, 0);
}

/* Asks the agent, once a second and connection, to serve the namespace. */
static __always_inline void thin_want(struct thin_flow *flow, __u32 netns, __u64 now)
{
	struct tcpx_wanted wanted = {.event = TCPX_THIN_EVENT_WANTED, .netns = netns};

	if (flow->wanted_ns && now - flow->wanted_ns < THIN_WANTED_NS)
		return;
	flow->wanted_ns = now;
	bpf_ringbuf_output(&held, &wanted, sizeof(wanted), 0);
}

#endif
