/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Is this program's generation in force? The sock_ops link of the scope alone says it. A program of
 * another type has a link of its own, which is changed before: until then it does nothing itself.
 */
#ifndef TCPX_IN_FORCE_BPF_H
#define TCPX_IN_FORCE_BPF_H

#include "cgroups.bpf.h"
#include "maps.bpf.h"

#define TCPX_SOCK_OPS 3 /* the kernel's index of such programs in a cgroup */

/* Programs on one path that are looked at. */
#define TCPX_EACH_PLACE(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#define TCPX_PLACES 8

struct bpf_prog_aux___id {
	__u32 id;
} __attribute__((preserve_access_index));

struct bpf_prog___id {
	struct bpf_prog_aux___id *aux;
} __attribute__((preserve_access_index));

struct bpf_prog_array_item___id {
	struct bpf_prog___id *prog;
} __attribute__((preserve_access_index));

struct bpf_prog_array___id {
	struct bpf_prog_array_item___id items[TCPX_PLACES];
} __attribute__((preserve_access_index));

struct cgroup_bpf___id {
	struct bpf_prog_array___id *effective[TCPX_SOCK_OPS + 1];
} __attribute__((preserve_access_index));

struct cgroup___id {
	struct cgroup_bpf___id bpf;
} __attribute__((preserve_access_index));

/* The id of the generation's sock_ops program. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} generation SEC(".maps");

#define IN_FORCE_TYPED(i)                                                                          \
	prog = array->items[i].prog;                                                               \
	if (!prog)                                                                                 \
		return false;                                                                      \
	if (prog->aux->id == id)                                                                   \
		return true;

/* By loads that the verifier knows, which need no helper. */
static __always_inline bool in_force_typed(void *tp, __u32 id)
{
	struct cgroup___id *cgroup = (void *)((struct sock___cgroup *)tp)->sk_cgrp_data.cgroup;
	struct bpf_prog_array___id *array = cgroup->bpf.effective[TCPX_SOCK_OPS];
	struct bpf_prog___id *prog;

	TCPX_EACH_PLACE(IN_FORCE_TYPED)
	return true; /* too many to be sure */
}

#define IN_FORCE_READ(i)                                                                           \
	prog = BPF_CORE_READ(array, items[i].prog);                                                \
	if (!prog)                                                                                 \
		return false;                                                                      \
	if (BPF_CORE_READ(prog, aux, id) == id)                                                    \
		return true;

/* Before 5.16 only the helper can follow it. */
static __always_inline bool in_force_read(void *tp, __u32 id)
{
	struct cgroup___id *cgroup = (void *)cgroup_of(tp);
	struct bpf_prog_array___id *array;
	struct bpf_prog___id *prog;

	if (!cgroup)
		return true;
	array = BPF_CORE_READ(cgroup, bpf.effective[TCPX_SOCK_OPS]);
	TCPX_EACH_PLACE(IN_FORCE_READ)
	return true;
}

/*
 * Does the kernel call the generation's sock_ops program for this socket? True, too, where that
 * cannot be seen: then a change of rules is two steps, a moment apart.
 */
static __always_inline bool in_force(struct bpf_sock *sk)
{
	__u32 zero = 0, *id = bpf_map_lookup_elem(&generation, &zero);
	void *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	if (!id || !tp || !bpf_core_field_exists(struct cgroup_bpf___id, effective) ||
	    !bpf_core_field_exists(struct bpf_prog_array_item___id, prog) ||
	    !bpf_core_field_exists(struct bpf_prog_aux___id, id))
		return true;
	if (TCPX_CGROUP_TYPED)
		return in_force_typed(tp, *id);
	return config.no_reads || in_force_read(tp, *id);
}

#endif
