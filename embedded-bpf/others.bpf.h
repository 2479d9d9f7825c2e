/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Whose sock_ops programs does the kernel call for a socket? A socket has one set of callback flags
 * for all of them, and nobody notes who wanted a bit: one that others may want stays.
 */
#ifndef TCPX_OTHERS_BPF_H
#define TCPX_OTHERS_BPF_H

#include "cgroups.bpf.h"
#include "maps.bpf.h"

#define TCPX_SOCK_OPS 3	    /* the kernel's index of such programs in a cgroup */
#define TCPX_PROGRAMS_MAX 8 /* on one path that are looked at; more may be anybody's */
#define TCPX_USED_MAPS_MAX 16

struct bpf_prog_aux___used {
	__u32 used_map_cnt;
	void **used_maps;
} __attribute__((preserve_access_index));

struct bpf_prog___used {
	struct bpf_prog_aux___used *aux;
} __attribute__((preserve_access_index));

struct bpf_prog_array_item___used {
	struct bpf_prog___used *prog;
} __attribute__((preserve_access_index));

struct bpf_prog_array___used {
	struct bpf_prog_array_item___used items[2];
} __attribute__((preserve_access_index));

struct cgroup_bpf___used {
	struct bpf_prog_array___used *effective[TCPX_SOCK_OPS + 1];
} __attribute__((preserve_access_index));

struct cgroup___used {
	struct cgroup_bpf___used bpf;
} __attribute__((preserve_access_index));

/* Is it of another scope of ours? Those have the same map of connections; another tcpx has not. */
__noinline int others_ours(__u64 program)
{
	struct bpf_prog___used *prog = (void *)program;
	void **maps, *map;
	__u32 count;

	if (config.no_reads)
		return 0;
	maps = BPF_CORE_READ(prog, aux, used_maps);
	count = BPF_CORE_READ(prog, aux, used_map_cnt);
	for (__u32 i = 0; i < TCPX_USED_MAPS_MAX && i < count; i++) {
		if (bpf_probe_read_kernel(&map, sizeof(map), maps + i))
			break;
		if (map == (void *)&conns)
			return 1;
	}
	return 0;
}

/* Of the programs that the kernel calls for a socket, is every one ours? */
static __always_inline bool others_none(struct bpf_prog_array___used *array)
{
	void *at = &array->items[0].prog, *program;
	__u64 step = (void *)&array->items[1].prog - at; /* differs between kernels */

	for (int i = 0; i < TCPX_PROGRAMS_MAX; i++) {
		if (bpf_probe_read_kernel(&program, sizeof(program), at))
			break;
		if (!program)
			return true;
		if (!others_ours((__u64)program))
			break;
		at += step;
	}
	return false;
}

/* May another program want the flags of this socket? The kernel's own list of now says it. */
__noinline int others(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	void *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	struct cgroup___used *cgroup;
	struct sock___cgroup *own = tp;

	if (!tp || !bpf_core_field_exists(struct cgroup_bpf___used, effective) ||
	    !bpf_core_field_exists(struct bpf_prog_array_item___used, prog) ||
	    !bpf_core_field_exists(struct bpf_prog_aux___used, used_maps))
		return config.foreign; /* what was known when the rules were set */
	if (bpf_core_field_exists(own->sk_cgrp_data.cgroup)) { /* no helper for the usual case */
		cgroup = (void *)own->sk_cgrp_data.cgroup;
		if (!cgroup->bpf.effective[TCPX_SOCK_OPS]->items[1].prog)
			return 0; /* ours alone */
	}
	if (config.no_reads)
		return 1; /* whose they are cannot be told */
	cgroup = (void *)cgroup_of(tp);
	if (!cgroup)
		return config.foreign;
	return !others_none(BPF_CORE_READ(cgroup, bpf.effective[TCPX_SOCK_OPS]));
}

#endif
