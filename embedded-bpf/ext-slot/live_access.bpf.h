/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the hooks of live.bpf.h may call, by the names that tcpx_ext.h gives it: `sk` is the socket.
 * What is about segments and callbacks is there as well, since an object has all its hooks, and
 * does nothing.
 */
#ifndef TCPX_SLOT_LIVE_ACCESS_BPF_H
#define TCPX_SLOT_LIVE_ACCESS_BPF_H

#include "../live.bpf.h"

#define SLOT_LIVE(name, ...)                                                                       \
	__hidden __noinline int tcpx1_##name(struct bpf_sock_ops *sk, __u32 n, ##__VA_ARGS__)
#define SLOT_LIVE_NOT(name, ...)                                                                   \
	SLOT_LIVE(name, ##__VA_ARGS__)                                                             \
	{                                                                                          \
		asm volatile("");                                                                  \
		return -1;                                                                         \
	}

static __always_inline struct tcpx_slot_conn *slot_live_state(void *sk)
{
	struct tcpx_slot_conn *s = bpf_sk_storage_get(&slot0, sk, NULL, 0);

	return s && s->owner == slot.owner ? s : NULL;
}

SLOT_LIVE(rule, __u32 kind)
{
	struct tcpx_slot_conn *s = slot_live_state(sk);
	__u64 at = kind;

	barrier_var(at); /* see slot_index() */
	return s && at < TCPX_KIND_COUNT ? s->rules.flags[at] : 0;
}

SLOT_LIVE(value, __u32 kind, __u32 word)
{
	struct tcpx_slot_conn *s = slot_live_state(sk);
	__u64 at = kind * TCPX_VALUE_WORDS + word;

	if (kind >= TCPX_KIND_COUNT || word >= TCPX_VALUE_WORDS)
		return 0;
	barrier_var(at);
	return s && at < sizeof(s->value) / 4 ? s->value[0][at] : 0;
}

SLOT_LIVE(word, __u32 at)
{
	struct tcpx_slot_conn *s = slot_live_state(sk);
	__u64 index = at;

	barrier_var(index);
	return s && index < TCPX_SLOT_WORDS ? s->words[index] : 0;
}

SLOT_LIVE(set_word, __u32 at, __u32 value)
{
	struct tcpx_slot_conn *s = slot_live_state(sk);
	__u64 index = at;

	barrier_var(index);
	if (!s || index >= TCPX_SLOT_WORDS)
		return -1;
	s->words[index] = value;
	return 0;
}

SLOT_LIVE(count, __u32 counter)
{
	if (counter != TCPX_COUNTER_ERRORS)
		count_apart(SLOT_LIVE_EXT, counter);
	return 0;
}

SLOT_LIVE(error, __u32 line, __u32 code)
{
	count_error(SLOT_LIVE_EXT, line, code);
	slot_live_error = code;
	return 0;
}

SLOT_LIVE(outcome, __u32 outcome)
{
	struct tcpx_slot_conn *s = slot_live_state(sk);

	if (s)
		rules_outcome(&s->rules, outcome);
	return 0;
}

SLOT_LIVE(has_outcome)
{
	struct tcpx_slot_conn *s = slot_live_state(sk);

	return s ? s->rules.outcome : 0;
}

SLOT_LIVE(exchange, __u32 which)
{
	struct tcpx_slot_conn *s = slot_live_state(sk);
	const struct tcpx_exchange *r;

	if (!s)
		return 0;
	r = which < 2 ? &s->ours : &s->peers;
	return r->state << 16 | (which & 1 ? r->answer : r->asked);
}

SLOT_LIVE(opened)
{
	struct tcpx_conn *conn = bpf_sk_storage_get(&conns, (void *)sk, NULL, 0);

	return conn && conn->attempt_ns != 0;
}

SLOT_LIVE_NOT(get, __u32 at, __u32 size)
SLOT_LIVE_NOT(put, __u32 at, __u32 size, __u32 value)
SLOT_LIVE_NOT(news, __u32 news)
SLOT_LIVE_NOT(header)
SLOT_LIVE_NOT(speak, __u32 on)
SLOT_LIVE_NOT(listen, __u32 on)
SLOT_LIVE_NOT(want, __u32 flags)
SLOT_LIVE_NOT(done, __u32 flags)

#endif
