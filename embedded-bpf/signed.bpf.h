/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * TCP-AO (RFC 5925) signs the options of a segment, and the kernel makes the signature before BPF
 * writes ours: the peer would throw the segment away. Keys may leave the options out, and may
 * change. Kernels that cannot sign have no such field, and nothing of this. TCP MD5 signs none.
 */
#ifndef TCPX_SIGNED_BPF_H
#define TCPX_SIGNED_BPF_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <stdbool.h>

#define TCPX_ENOMSG 42
#define TCPX_OPTION_AO 29
#define TCPX_KEY_WITHOUT_OPTIONS 2 /* TCP_AO_KEYF_EXCLUDE_OPT */

/* Kernels need not have these two: native-loader/core-roots.c. */
struct tcp_ao_key___if_any {
	__u8 keyflags;
} __attribute__((preserve_access_index));

struct tcp_ao_info___if_any {
	struct tcp_ao_key___if_any *current_key;
} __attribute__((preserve_access_index));

struct tcp_sock___ao {
	struct tcp_ao_info___if_any *ao_info;
} __attribute__((preserve_access_index));

/* Has this kernel TCP-AO? */
static __always_inline bool signed_known(void)
{
	return bpf_core_field_exists(struct tcp_sock___ao, ao_info);
}

/* Does the key of this moment cover options that are added to a segment? `sock`: a tcp_sock. */
static __always_inline bool signed_options(void *sock)
{
	struct tcp_sock___ao *tp = sock;
	struct tcp_ao_info___if_any *info;
	struct tcp_ao_key___if_any *key;

	if (!signed_known())
		return false;
	info = tp->ao_info;
	if (!info)
		return false;
	if (!bpf_core_field_exists(struct tcp_ao_info___if_any, current_key) ||
	    !bpf_core_field_exists(struct tcp_ao_key___if_any, keyflags))
		return true;
	key = info->current_key;
	return !key || !(key->keyflags & TCPX_KEY_WITHOUT_OPTIONS);
}

/* The same of a segment that a socket is about to send. */
static __always_inline bool signed_segment(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk;
	void *tp;

	if (!signed_known())
		return false;
	barrier_var(ctx); /* see conn_of() */
	sk = ctx->sk;
	tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	return tp && signed_options(tp);
}

/*
 * Of a SYN-ACK, where no socket and so no key is at hand: it is signed when the SYN was. An option
 * list that cannot be walked is none that we know of.
 */
static __always_inline bool signed_syn(struct bpf_sock_ops *ctx)
{
	__u8 option[2] = {};

	if (!signed_known())
		return false;
	option[0] = TCPX_OPTION_AO;
	return bpf_load_hdr_opt(ctx, option, sizeof(option), BPF_LOAD_HDR_OPT_TCP_SYN) !=
	       -TCPX_ENOMSG;
}

#endif
