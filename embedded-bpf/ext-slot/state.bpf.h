/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What an extension in a slot keeps of a connection, and calling its hooks. */
#ifndef TCPX_SLOT_STATE_BPF_H
#define TCPX_SLOT_STATE_BPF_H

#include "../exchange.bpf.h"
#include "../slices.bpf.h"
#include "note.bpf.h"

TCPX_EACH_SLOT(SLOT_MAP)

/* The hooks of an empty slot. Objects have their own in these places: the linker prefers what is
 * not weak. With a version in their names: an object may be older than the tcpx that it is linked
 * to. */
#define SLOT_WEAK_HOOK(n, hook)                                                                    \
	__weak __noinline int tcpx1_slot##n##_##hook(struct bpf_sock_ops *ctx, __u32 slot,         \
						     __u32 arg)                                    \
	{                                                                                          \
		asm volatile("");                                                                  \
		return 0;                                                                          \
	}

/* An index with bounds: verifiers before 5.13 forget those of a number that was copied before it
 * was compared. */
static __always_inline __u64 slot_index(__u32 n)
{
	__u64 at = n;

	barrier_var(at);
	return at & (TCPX_SLOT_COUNT - 1);
}

/* Its constants, and identifiers of its experiments. */
static __always_inline const volatile struct tcpx_slot *slot_of(__u32 n)
{
	return &slots.at[slot_index(n)];
}

static __always_inline __u16 slot_exid(__u32 n, enum tcpx_role role)
{
	return config.exids[TCPX_SLOT_FIRST + slot_index(n)][role];
}

#define SLOT_HOOK_OF(n, hook)                                                                      \
	case n:                                                                                    \
		return SLOT_USED(n) ? tcpx1_slot##n##_##hook(ctx, n, arg) : -1;

/* Calls it, where the extension has it; else -1. */
#define SLOT_HOOK(ID, hook)                                                                        \
	TCPX_EACH_SLOT(SLOT_WEAK_HOOK, hook)                                                       \
	static __always_inline int slot_hook_##hook(struct bpf_sock_ops *ctx, __u32 n, __u32 arg)  \
	{                                                                                          \
		const __u32 uses = config.uses;                                                    \
                                                                                                   \
		if (n >= TCPX_SLOT_COUNT || !(slot_of(n)->hooks & 1U << TCPX_HOOK_##ID))           \
			return -1;                                                                 \
		switch (n) {                                                                       \
			TCPX_EACH_SLOT(SLOT_HOOK_OF, hook)                                         \
		}                                                                                  \
		return -1;                                                                         \
	}
TCPX_HOOKS(SLOT_HOOK)

#define SLOT_STORED(n)                                                                             \
	case n:                                                                                    \
		s = SLOT_USED(n) ? bpf_sk_storage_get(&slot##n, sk, NULL, 0) : NULL;               \
		owner = slots.at[n].owner;                                                         \
		break;

/* NULL: no rule of it is for this connection, or there is none, as on a SYN-ACK. */
static __always_inline struct tcpx_slot_conn *slot_state(struct bpf_sock_ops *ctx, __u32 n)
{
	const __u32 uses = config.uses;
	struct tcpx_slot_conn *s = NULL;
	struct bpf_sock *sk;
	__u32 owner = 0;

	barrier_var(ctx); /* see conn_of() */
	sk = ctx->sk;
	if (!sk || n >= TCPX_SLOT_COUNT)
		return NULL;
	switch (n) {
		TCPX_EACH_SLOT(SLOT_STORED)
	}
	return s && s->owner == owner ? s : NULL;
}

static __always_inline bool slot_flag(__u32 n, __u32 flag)
{
	return slot_of(n)->flags & flag;
}

#endif
