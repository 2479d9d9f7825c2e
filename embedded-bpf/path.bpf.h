/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Paths that do not take our options. A SYN that is answered by an ICMP error, or that the
 * application does not wait for, is the end of the attempt, and no second SYN goes out plain. So
 * the next attempt does: when that one fails as well, the options were not the reason. The same
 * after a reset that reset.bpf.h could not hold back, or for whose fate nobody has waited.
 */
#ifndef TCPX_PATH_BPF_H
#define TCPX_PATH_BPF_H

#include "ask.bpf.h"
#include "claim.bpf.h"

#define TCPX_ECONNABORTED 103 /* the administrator has ended it: says nothing of the path */
#define TCPX_ETIMEDOUT 110

struct net___path {
	struct {
		unsigned int inum;
	} ns;
	__u64 net_cookie; /* before 5.12 of another type, and not always there */
} __attribute__((preserve_access_index));

struct sk_buff_head___path {
	__u32 qlen;
} __attribute__((preserve_access_index));

struct sock___path {
	struct {
		struct {
			struct net___path *net;
		} skc_net;
	} __sk_common;
	struct sk_buff_head___path sk_error_queue;
	int sk_err;
	int sk_err_soft;
} __attribute__((preserve_access_index));

static __always_inline struct sock___path *path_socket(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	return sk ? (void *)bpf_skc_to_tcp_sock(sk) : NULL;
}

static __always_inline __u64 path_netns(struct sock___path *sk)
{
	struct net___path *net = sk->__sk_common.skc_net.net;

	return bpf_core_field_exists(net->net_cookie) ? net->net_cookie : net->ns.inum;
}

static __always_inline bool path_key(struct bpf_sock_ops *ctx, struct tcpx_path_key *key)
{
	struct sock___path *sk = path_socket(ctx);

	if (!sk)
		return false;
	__builtin_memset(key, 0, sizeof(*key));
	key->netns = path_netns(sk);
	policy_address(ctx, (__u32 *)key->address);
	key->port = bpf_ntohl(ctx->remote_port);
	return true;
}

/* What is known, as long as it holds. */
static __always_inline const struct tcpx_path *path_find(const struct tcpx_path_key *key)
{
	const struct tcpx_path *path = bpf_map_lookup_elem(&paths, key);

	return path && path->until_ns > bpf_ktime_get_ns() ? path : NULL;
}

/* Replaces what says less, or holds for less. As a whole: an element may be another's by now. */
static __always_inline void path_note(const struct tcpx_path_key *key, __u8 state, __u8 cause)
{
	const struct tcpx_path *known = path_find(key);
	struct tcpx_path path = {.state = state, .cause = cause};

	path.until_ns = bpf_ktime_get_ns() +
			(cause == TCPX_PATH_REFUSED ? TCPX_PATH_REFUSED_NS : TCPX_PATH_LOST_NS);
	if (known &&
	    (known->state > state || (known->state == state && known->until_ns >= path.until_ns)))
		return;
	bpf_map_update_elem(&paths, key, &path, BPF_ANY);
}

/* A connection that is being opened has something to say: does it, or does it go plain? */
static __always_inline void path_choose(struct bpf_sock_ops *ctx, struct tcpx_conn *conn)
{
	const struct tcpx_path *path;
	struct tcpx_path_key key;

	if (conn->silent == TCPX_PLAIN || !path_key(ctx, &key))
		return;
	path = path_find(&key);
	if (path)
		conn->silent = TCPX_PLAIN;
	else
		conn->unasked = 1;
	/* whether it fails is of interest, unless the matter is settled */
	if (!path || path->state == TCPX_PATH_SUSPECTED)
		callback_flags(ctx, conn, TCPX_STATE | (path ? 0 : TCPX_WRITE), 0);
}

/* A plain SYN was reset as well: resets of this host are not about our options. */
static __always_inline void path_believe(struct tcpx_path_key *key)
{
	key->any = 1;
	key->port = 0;
	path_note(key, TCPX_PATH_BELIEVED, TCPX_PATH_REFUSED);
}

/* The SYN after a reset that was held back was answered; or the first one, after all. */
static __always_inline void path_saved(struct bpf_sock_ops *ctx, struct tcpx_conn *conn,
				       const struct tcpx_path_key *key)
{
	if (!ctx->total_retrans) {
		conn->silent = TCPX_SPEAKING;
		return;
	}
	conn->silent = TCPX_PLAIN;
	path_note(key, TCPX_PATH_AVOIDED, TCPX_PATH_REFUSED);
	ask_cut_all_short(conn, TCPX_PLAIN);
}

/* A plain SYN was answered. */
__noinline int path_came_through(struct bpf_sock_ops *ctx)
{
	struct tcpx_conn *conn = conn_of(ctx);
	const struct tcpx_path *path;
	struct tcpx_path_key key;

	if (!conn || !path_key(ctx, &key))
		return 0;
	if (conn->silent == TCPX_HELD) {
		path_saved(ctx, conn, &key);
		return 0;
	}
	if (conn->silent != TCPX_PLAIN) { /* the first one was not, and was lost */
		if (conn->written)
			path_note(&key, TCPX_PATH_AVOIDED, TCPX_PATH_LOST);
		return 0;
	}
	path = path_find(&key);
	if (path && path->state == TCPX_PATH_SUSPECTED)
		path_note(&key, TCPX_PATH_AVOIDED, path->cause);
	ask_cut_all_short(conn, TCPX_PLAIN);
	return 0;
}

/* A plain attempt has failed, too: what was suspected is wrong, if this was the same failure. */
static __always_inline void path_acquit(struct tcpx_path_key *key, bool refused)
{
	const struct tcpx_path *path = path_find(key);
	bool alike;

	if (!path || path->state != TCPX_PATH_SUSPECTED)
		return;
	alike = refused && path->cause == TCPX_PATH_REFUSED;
	if (refused || path->cause == TCPX_PATH_LOST)
		bpf_map_delete_elem(&paths, key);
	if (alike)
		path_believe(key);
}

/* A reset was held back, and the attempt has failed. Was it for the plain SYN? */
static __always_inline void path_not_saved(struct tcpx_path_key *key, bool refused, bool plain)
{
	if (refused && plain)
		path_believe(key);
	else /* nobody has waited for the answer: the next attempt goes plain at once */
		path_note(key, TCPX_PATH_SUSPECTED, TCPX_PATH_REFUSED);
}

/* SYN_SENT has become CLOSE: by a reset, an ICMP error, the timer or the application. */
__noinline int path_failed(struct bpf_sock_ops *ctx)
{
	struct sock___path *sk = path_socket(ctx);
	struct tcpx_conn *conn = conn_of(ctx);
	struct tcpx_path_key key;
	bool refused;
	int err;

	if (!conn || !sk)
		return 0;
	callback_flags(ctx, conn, 0, TCPX_STATE);
	conn->attempt_ns = 0; /* the next attempt of this socket is another one, however soon */
	err = sk->sk_err;
	if (err == TCPX_ECONNABORTED || !path_key(ctx, &key))
		return 0;
	/* an ICMP error that comes while the socket is locked does not end the attempt: it is left
	 * there for the application, which may have fetched the second of these by now */
	refused = (err && err != TCPX_ETIMEDOUT) || sk->sk_error_queue.qlen || sk->sk_err_soft;
	if (conn->silent == TCPX_HELD)
		path_not_saved(&key, refused, ctx->total_retrans);
	else if (conn->silent == TCPX_PLAIN)
		path_acquit(&key, refused);
	else if (conn->written && !ctx->total_retrans) /* else a plain SYN has failed with it */
		path_note(&key, TCPX_PATH_SUSPECTED, refused ? TCPX_PATH_REFUSED : TCPX_PATH_LOST);
	conn->written = 0; /* nothing of ours is on a SYN that may not even be made */
	return 0;
}

#endif
