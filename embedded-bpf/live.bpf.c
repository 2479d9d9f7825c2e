// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Socket iterators over what exists already: list tells user space what there is, change does what
 * user space has decided, arm prepares listeners that are older than the rules, restore gives
 * everything back. The iterator holds the socket's lock, as the sock_ops program does.
 */
#include "live_list.bpf.h"

#define TCPX_LIVE_SLICES
#include "extensions.generated.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

SEC("iter/tcp")
int list(struct bpf_iter__tcp *ctx)
{
	struct tcp_sock *tp = live_sock(ctx);
	struct tcpx_live_socket *out;
	struct live_scratch *at;
	__u32 zero = 0;

	at = bpf_map_lookup_elem(&scratch, &zero);
	/* listeners of other scopes, too: they tell who accepted a connection */
	if (!tp || !at || (!live_scopes(tp, at) && live_state(tp) != BPF_TCP_LISTEN))
		return 0;
	out = &at->socket;
	out->state = live_state(tp);
	out->cookie = bpf_get_socket_cookie(tp);
	out->netns_cookie = ((struct sock_common___live *)tp)->skc_net.net->net_cookie;
	live_address(tp, out);
	live_rules(tp, out);
	bpf_seq_write(ctx->meta->seq, out, sizeof(*out));
	return 0;
}

#define LIVE_DO(ID, name, tp, conn, order, target)                                                 \
	if ((order)->ext == TCPX_EXT_##ID)                                                         \
		live_do(tp, conn, order, target, &name##_live_extension);

static __always_inline void live_do(struct tcp_sock *tp, struct tcpx_conn *conn,
				    const struct tcpx_live_order *order,
				    struct tcpx_live_target *target,
				    const struct tcpx_live_extension *x)
{
	int result = TCPX_LIVE_FAILED;

	if (order->verb == TCPX_LIVE_UNDO) {
		result = x->undo ? x->undo(tp, conn, false, &target->error) : TCPX_LIVE_SAME;
		if (target->error)
			TCPX_ERROR(order->ext, target->error);
	} else if (order->verb == TCPX_LIVE_ASK) {
		if (x->ask)
			result = x->ask(tp, conn, order, target);
	} else {
		if (x->set)
			result = x->set(tp, conn, order, target);
		if (x->say && order->ask.flags)
			target->said = x->say(tp, conn, order, target);
	}
	target->result = result;
}

SEC("iter/tcp")
int change(struct bpf_iter__tcp *ctx)
{
	struct tcp_sock *tp = live_sock(ctx);
	struct tcpx_live_target *target;
	struct tcpx_live_order *order;
	struct tcpx_conn *conn;
	__u64 cookie;
	__u32 number;

	if (!tp)
		return 0;
	cookie = bpf_get_socket_cookie(tp);
	target = bpf_map_lookup_elem(&targets, &cookie);
	if (!target || target->result)
		return 0;
	number = target->order;
	order = bpf_map_lookup_elem(&orders, &number);
	if (!order)
		return 0;
	conn = order->verb == TCPX_LIVE_UNDO ? bpf_sk_storage_get(&conns, tp, NULL, 0)
					     : live_conn(tp, order);
	if (!conn)
		return 0;
#ifdef TCPX_LIVE_SLOTS
	slot_live_do(tp, conn, order, target);
#else
	TCPX_EACH(LIVE_DO, tp, conn, order, target)
#endif
	return 0;
}

/* As listen_arm(). */
SEC("iter/tcp")
int arm(struct bpf_iter__tcp *ctx)
{
	struct tcp_sock *tp = live_sock(ctx);
	struct tcp_sock___save_syn *saving = (void *)tp;
	struct tcpx_live_tally *t;
	__u32 zero = 0, flags, save_syn;
	int one = 1, armed = 0, err;
	struct live_scratch *at;

	at = bpf_map_lookup_elem(&scratch, &zero);
	if (!tp || !at || live_state(tp) != BPF_TCP_LISTEN || !live_scopes(tp, at))
		return 0;
	t = bpf_map_lookup_elem(&tally, &zero);
	if (!t)
		return 0;
	flags = ((struct tcp_sock___live *)tp)->bpf_sock_ops_cb_flags;
	save_syn = BPF_CORE_READ_BITFIELD(saving, save_syn);
	if (save_syn < TCPX_SAVE_SYN_MAC && !(flags & TCPX_WRITE)) {
		err = live_flags(tp, TCPX_WRITE);
		armed = !err;
		t->syn_ack += !err;
		if (err)
			t->error = err;
	}
	if (!save_syn) {
		err = bpf_setsockopt(tp, TCPX_SOL_TCP, TCPX_TCP_SAVE_SYN, &one, sizeof(one));
		if (err)
			t->error = err;
		else
			armed = 1;
	}
	t->armed += armed;
	return 0;
}

#define RESTORE(ID, name, tp, conn, t)                                                             \
	if (name##_live_extension.undo)                                                            \
		restore_one(tp, conn, t, TCPX_EXT_##ID, &name##_live_extension);
#define RESTORE_FORGET(ID, name, conn)                                                             \
	__builtin_memset(&(conn)->states.name.rules, 0, sizeof((conn)->states.name.rules));

static __always_inline void restore_one(struct tcp_sock *tp, struct tcpx_conn *conn,
					struct tcpx_live_tally *t, __u32 ext,
					const struct tcpx_live_extension *x)
{
	int err = 0, result = x->undo(tp, conn, true, &err);

	if (err)
		TCPX_ERROR(ext, err);
	t->restored[ext] += result == TCPX_LIVE_CHANGED;
	t->kept[ext] += result == TCPX_LIVE_KEPT;
	t->failed[ext] += result == TCPX_LIVE_FAILED;
}

/* Everything that was ever set on a connection, in whatever scope. */
SEC("iter/tcp")
int restore(struct bpf_iter__tcp *ctx)
{
	struct tcp_sock *tp = live_sock(ctx);
	struct tcpx_live_tally *t;
	struct tcpx_conn *conn;
	__u32 zero = 0;

	if (!tp)
		return 0;
	conn = bpf_sk_storage_get(&conns, tp, NULL, 0);
	t = bpf_map_lookup_elem(&tally, &zero);
	if (!conn || !t)
		return 0;
#ifdef TCPX_LIVE_SLOTS
	slot_live_restore(tp, t);
#else
	TCPX_EACH(RESTORE_FORGET, conn)
	TCPX_EACH(RESTORE, tp, conn, t)
#endif
	return 0;
}
