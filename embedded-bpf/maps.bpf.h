/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The maps of one loaded program, and the counters on them. */
#ifndef TCPX_MAPS_BPF_H
#define TCPX_MAPS_BPF_H

#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>
#include "conns.bpf.h"

const volatile struct tcpx_config config = {};

/* Sizes are set before load; conns and handover are shared by all scopes. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct tcpx_policy_key);
	__type(value, __u32); /* of the profile */
} policies SEC(".maps");

/* The size of a value is set before load, too: see config.places. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcpx_profile);
} profiles SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} namespaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcpx_rule_record);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcpx_counters);
} counters SEC(".maps");

/* Programs of other types (sock.bpf.h) look rules up and count; these are not for them. */
#ifndef TCPX_SOCK

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcpx_handover);
} handover SEC(".maps");

/* Network namespaces, by inode number, in which the ACK agent is at work. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct tcpx_served);
} served SEC(".maps");

/* Those in which it is needed and is not yet. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536); /* a page, of whatever size */
} notices SEC(".maps");

/* Is anybody watching, and what? Shared by all scopes, as what is told. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TCPX_WATCH_SLOTS);
	__type(key, __u32); /* enum tcpx_watch_slot */
	__type(value, struct tcpx_watch);
} watch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20); /* 13000 of struct tcpx_watched and more */
} events SEC(".maps");

/* Places whose paths do not take our options; shared by all scopes. See path.bpf.h. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TCPX_PATHS);
	__type(key, struct tcpx_path_key);
	__type(value, struct tcpx_path);
} paths SEC(".maps");

#endif

/* Does a rule of this scope, or of one around it, use the extension? A constant of the loaded
 * program: what depends on it is not there when none does. It is read once in a function, as
 * `const __u32 uses = config.uses;`. */
#define TCPX_USES(ID) (uses & 1U << TCPX_EXT_##ID)

/* Inlined, where a call would be most of what it costs. */
static __always_inline void count(__u32 ext, __u32 counter)
{
	__u32 zero = 0;
	struct tcpx_counters *c = bpf_map_lookup_elem(&counters, &zero);

	if (!c || ext >= TCPX_EXTENSIONS)
		return;
	barrier(); /* or clang compares both at once, and verifiers do not know the bounds of each
		    */
	/* a softirq may interrupt a process on the same CPU */
	if (counter < TCPX_COUNTER_COUNT)
		__sync_fetch_and_add(&c->count[ext][counter], 1);
}

#ifndef TCPX_SOCK

/* Global: verifiers look at it once, not at every place that calls it and on every way to there.
 * For all that is not on every segment. */
__noinline int count_apart(__u32 ext, __u32 counter)
{
	count(ext, counter);
	return 0;
}

/* Global, too: any place may fail. */
__noinline int count_error(__u32 ext, int line, int code)
{
	__u32 zero = 0;
	struct tcpx_counters *c = bpf_map_lookup_elem(&counters, &zero);

	count(ext, TCPX_COUNTER_ERRORS);
	if (!c)
		return 0;
	c->error_line = line;
	c->error_code = code;
	return 0;
}

/* Leaves a trace that `tcpx status` shows. */
#define TCPX_ERROR(ext, code) count_error((ext), __LINE__, (code))

#endif

#endif
