/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* All extensions, and calling what they have: TCPX_CALL(hook, conn, ...). */
#ifndef TCPX_SLICES_BPF_H
#define TCPX_SLICES_BPF_H

#include "exchange.bpf.h"
#include "options.bpf.h"
#include "slots.bpf.h"
#include "tcpx_slice.h"

#define TCPX_SLICES
#include "extensions.generated.h"

#define TCPX_CALL_ONE(ID, name, hook, ...)                                                         \
	if (TCPX_USES(ID) && name##_extension.hook)                                                \
		name##_extension.hook(__VA_ARGS__);
#define TCPX_CALL(hook, ...)                                                                       \
	{                                                                                          \
		const __u32 uses = config.uses;                                                    \
                                                                                                   \
		TCPX_EACH(TCPX_CALL_ONE, hook, __VA_ARGS__)                                        \
	}

/* Does any of them say yes? */
#define TCPX_ANY_ONE(ID, name, hook, ...)                                                          \
	|| (TCPX_USES(ID) && name##_extension.hook && name##_extension.hook(__VA_ARGS__))
#define TCPX_ANY(hook, ...)                                                                        \
	({                                                                                         \
		const __u32 uses = config.uses;                                                    \
                                                                                                   \
		false TCPX_EACH(TCPX_ANY_ONE, hook, __VA_ARGS__);                                  \
	})

/* Has it something to say on segments: of its own, its request, or its answer? */
static __always_inline bool slice_speaks(const struct tcpx_extension *x,
					 const struct tcpx_conn *conn)
{
	return (x->speaks && x->speaks(conn)) || exchange_speaks(exchange_at(conn, x->ours)) ||
	       (x->peers != x->ours && exchange_speaks(exchange_at(conn, x->peers)));
}

/* Is an answer to be given, or to come? */
static __always_inline bool slice_answers(const struct tcpx_extension *x,
					  const struct tcpx_conn *conn)
{
	const struct tcpx_exchange *r = exchange_at(conn, x->peers);

	return r && r->state == TCPX_REQUEST_ANSWERED && !r->promised;
}

static __always_inline bool slice_pending(const struct tcpx_extension *x,
					  const struct tcpx_conn *conn)
{
	const struct tcpx_exchange *r = exchange_at(conn, x->peers);

	return (x->pending && x->pending(conn)) || (r && r->state == TCPX_REQUEST_PENDING);
}

/* Is an option of the peer of interest, now or later? */
static __always_inline bool slice_listens(const struct tcpx_extension *x,
					  const struct tcpx_conn *conn)
{
	return (x->listens && x->listens(conn)) ||
	       (!conn->silent && exchange_listens(exchange_at(conn, x->ours)));
}

/* And those that come with the handshake? `asks`: requests are welcome. */
static __always_inline bool slice_looks(const struct tcpx_extension *x,
					const struct tcpx_conn *conn,
					const struct tcpx_rules *rules, bool asks)
{
	return (x->looks && x->looks(conn)) ||
	       (asks && x->peers && rules_active(rules, TCPX_KIND_ACCEPT));
}

#define SLICE_ANY(ID, name, of, conn) || (TCPX_USES(ID) && of(&name##_extension, conn))
#define SLICE_LOOKS(ID, name, conn, asks)                                                          \
	|| (TCPX_USES(ID) && slice_looks(&name##_extension, conn, &(conn)->states.name.rules, asks))

static __always_inline bool any_speaks(const struct tcpx_conn *conn)
{
	const __u32 uses = config.uses;

	return SLOTS_SPEAK(conn) TCPX_EACH(SLICE_ANY, slice_speaks, conn);
}

static __always_inline bool any_answers(const struct tcpx_conn *conn)
{
	const __u32 uses = config.uses;

	return SLOTS_SPEAK(conn) TCPX_EACH(SLICE_ANY, slice_answers, conn);
}

static __always_inline bool any_pending(const struct tcpx_conn *conn)
{
	const __u32 uses = config.uses;

	return SLOTS_PENDING(conn) TCPX_EACH(SLICE_ANY, slice_pending, conn);
}

static __always_inline bool any_listens(const struct tcpx_conn *conn)
{
	const __u32 uses = config.uses;

	return SLOTS_LISTEN(conn) TCPX_EACH(SLICE_ANY, slice_listens, conn);
}

static __always_inline bool any_looks(const struct tcpx_conn *conn, bool asks)
{
	const __u32 uses = config.uses;

	return SLOTS_LOOK(conn) TCPX_EACH(SLICE_LOOKS, conn, asks);
}

#endif
