// SPDX-License-Identifier: MIT
/* The built-in iw (embedded-bpf/ext/iw.bpf.h) as somebody else would write it: a client asks the
 * server for an initial congestion window; or we set our own. */
#include "tcpx_ext.h"

#define SOL_TCP 6
#define MOST 1024 /* segments */
#define USUAL 10  /* RFC 6928 */

/* Values of a rule, as extension.toml has them. */
#define SEGMENTS 0
#define MAX 1

/* Words that the connection keeps: the window that it has begun with by us. */
#define BEGAN 0

static __always_inline __u32 bounded(struct bpf_sock_ops *ctx, __u32 slot, __u32 asked)
{
	__u32 most = tcpx_value(TCPX_ACCEPT, MAX);

	return asked < most ? asked : most;
}

TCPX_HOOK(promise)
{
	return arg >= 1 && arg <= MOST ? (int)bounded(ctx, slot, arg) : TCPX_MALFORMED;
}

/* Nobody grants more than was asked for. */
TCPX_HOOK(judge)
{
	return arg > tcpx_value(TCPX_ASK, SEGMENTS) ? TCPX_MALFORMED : 0;
}

/* After a lost SYN or SYN-ACK the window stays small: RFC 5681 3.1, RFC 6928. 0: it is set. */
static __always_inline int apply(struct bpf_sock_ops *ctx, __u32 slot, __u32 segments)
{
	if (ctx->total_retrans)
		return TCPX_REFUSE_LOSS;
	if (ctx->data_segs_out && ctx->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
		return TCPX_REFUSE_LATE; /* a Fast Open server has replied before the third ACK */
	if (tcpx_setsockopt(SOL_TCP, TCP_BPF_IW, segments))
		return TCPX_REFUSE_KERNEL;
	tcpx_set_word(BEGAN, segments);
	return 0;
}

static __always_inline int outcome_of(int err)
{
	if (err == TCPX_REFUSE_LOSS)
		return TCPX_KEPT_LOSS;
	return err == TCPX_REFUSE_LATE ? TCPX_KEPT_LATE : TCPX_KEPT_KERNEL;
}

TCPX_HOOK(decide)
{
	__u32 segments = bounded(ctx, slot, arg);
	int err = apply(ctx, slot, segments);

	if (err) {
		tcpx_outcome(outcome_of(err));
		return err;
	}
	tcpx_outcome(TCPX_KEPT_GRANTED);
	if (segments < arg)
		tcpx_count(TCPX_COUNT_CLAMPED);
	return segments;
}

/* A peer that was granted a window goes before our own, which is tried once. */
TCPX_HOOK(established)
{
	__u32 segments = tcpx_value(TCPX_LOCAL, SEGMENTS);
	int err;

	if (tcpx_active(TCPX_LOCAL) && !tcpx_has_outcome() &&
	    (ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB ||
	     ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)) {
		err = apply(ctx, slot, segments);
		tcpx_outcome(err ? outcome_of(err) : TCPX_APPLIED);
	}
	if (tcpx_word(BEGAN) > USUAL)
		tcpx_speak(1);
	return 0;
}

/*
 * It has nothing to say, but sees what leaves: a pause shrinks the window, and only before the
 * first data may BPF set it again. The built-in one waits as long as it takes; what speaks falls
 * silent after 3 s, so a longer pause is not made up for here.
 * Of all settings the kernel takes this one here without harm.
 */
TCPX_HOOK(say)
{
	__u32 segments = tcpx_word(BEGAN);

	if (!ctx->skb_len || ctx->args[0] == BPF_WRITE_HDR_TCP_CURRENT_MSS)
		return 0;
	tcpx_speak(0);
	if (!ctx->data_segs_out && !ctx->total_retrans && ctx->snd_cwnd < segments)
		bpf_setsockopt(ctx, SOL_TCP, TCP_BPF_IW, &segments, sizeof(segments));
	return 0;
}
