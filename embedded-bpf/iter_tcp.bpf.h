/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What an iterator over TCP sockets is called with. */
#ifndef TCPX_ITER_TCP_BPF_H
#define TCPX_ITER_TCP_BPF_H

struct seq_file;
struct sock_common;

struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
} __attribute__((preserve_access_index));

#endif
