/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The thinner's maps, what it knows of a connection, and its counters. */
#ifndef TCPX_THIN_BPF_H
#define TCPX_THIN_BPF_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>
#include "conns.bpf.h"

const volatile struct tcpx_thin_config thin_config = {
	.idle_ns = 30000000000ULL,
	.stall_ns = 500000000ULL,
};

/* What goes with the socket. The numbers are TCP's, so they wrap. */
struct thin_flow {
	__u64 passed_ns; /* when a segment last went out */
	__u64 epoch_ns;	 /* since when the bytes per RTT are counted */
	__u64 wanted_ns; /* when the agent was last asked to serve the namespace */
	__u32 epoch_ack;
	__u32 per_rtt;	   /* bytes acknowledged in the last RTT */
	__u32 passed_ack;  /* acknowledged by the last segment that went */
	__u32 passed_edge; /* right edge of the window that it offered */
	__u32 seen_ack;	   /* of the last segment, gone or held */
	__u32 mss;	   /* what the peer's full-sized segments carry */
	__u8 pure;	   /* pure ACKs so far, up to THIN_FIRST_ACKS */
	__u8 growing;
	__u8 small;   /* the last data to arrive did not fill its segments */
	__u8 ecn;     /* flags of the last segment, see thin_signals() */
	__u8 gap;     /* it carried options, such as SACK: something was missing */
	__u8 closing; /* the peer's FIN was seen */
	__u8 holding; /* something was held since the last segment that went */
	__u8 timed;   /* perhaps it has a struct thin_hold */
};

/* What goes with the timer: those cannot live in socket storage. */
struct thin_hold {
	struct bpf_timer timer;
	struct bpf_spin_lock lock; /* the timer fires on another CPU while a copy is made */
	__u32 passed;
	__u32 rule;
	__u64 cookie; /* 0: about to go; memory of removed elements is used again at once */
	__u64 due_ns;
	__u64 armed_ns; /* when the timer will fire */
	__u64 used_ns;
	__u32 pending;
	struct tcpx_held held;
};

_Static_assert(offsetof(struct thin_hold, passed) == offsetof(struct tcpx_hold, passed),
	       "the agent reads another member");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct tcpx_served);
} served SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thin_flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct thin_hold);
} holds SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} held SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct tcpx_thin_counters);
} thinned SEC(".maps");

static __noinline int thin_count(__u32 rule, __u32 counter)
{
	struct tcpx_thin_counters none = {}, *c;

	if (counter >= TCPX_THIN_COUNT)
		return 0;
	c = bpf_map_lookup_elem(&thinned, &rule);
	if (!c) {
		bpf_map_update_elem(&thinned, &rule, &none, BPF_NOEXIST);
		c = bpf_map_lookup_elem(&thinned, &rule);
	}
	if (c) /* a softirq may interrupt a process on the same CPU */
		__sync_fetch_and_add(&c->count[counter], 1);
	return 0;
}

/* Does the agent read what we write? Approximate on purpose: all CPUs share these. */
static __u64 reader_at;	     /* consumer position when last looked at */
static __u64 reader_seen_ns; /* when it had moved, or had nothing to read */
static bool reader_stalled;

static __always_inline bool thin_reader_stalled(__u64 now)
{
	__u64 at = bpf_ringbuf_query(&held, BPF_RB_CONS_POS);

	if (at != reader_at || !bpf_ringbuf_query(&held, BPF_RB_AVAIL_DATA)) {
		reader_at = at;
		reader_seen_ns = now;
		reader_stalled = false;
	} else if (now - reader_seen_ns > thin_config.stall_ns) {
		reader_stalled = true;
	}
	return reader_stalled;
}

#endif
