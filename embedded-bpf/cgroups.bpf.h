/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The cgroup of a socket, and those around it. They are read through the kernel's types, which
 * needs no helper: kernel lockdown (confidentiality) forbids those that read memory. Before 5.16
 * the cgroup is a number to the verifier, and only the helper can follow it.
 */
#ifndef TCPX_CGROUPS_BPF_H
#define TCPX_CGROUPS_BPF_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <stdbool.h>

#define TCPX_LEVELS_MAX 32 /* of cgroups */

struct kernfs_node {
	__u64 id;
} __attribute__((preserve_access_index));

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
} __attribute__((preserve_access_index));

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
} __attribute__((preserve_access_index));

struct sock_cgroup_data {
	struct cgroup *cgroup;
} __attribute__((preserve_access_index));

struct sock___cgroup {
	struct sock_cgroup_data sk_cgrp_data;
} __attribute__((preserve_access_index));

struct sock_cgroup_data___old {
	__u64 val;
} __attribute__((preserve_access_index));

struct sock___old {
	struct sock_cgroup_data___old sk_cgrp_data;
} __attribute__((preserve_access_index));

/* Does the verifier know what it is? */
#define TCPX_CGROUP_TYPED bpf_core_field_exists(((struct sock_cgroup_data *)0)->cgroup)

/* NULL: the root. */
static __always_inline struct cgroup *cgroup_of(void *sock)
{
	struct sock___cgroup *sk = sock;
	struct sock___old *old = sock;
	__u64 val;

	if (TCPX_CGROUP_TYPED)
		return sk->sk_cgrp_data.cgroup;
	val = BPF_CORE_READ(old, sk_cgrp_data.val); /* before 5.16 */
	return val & 3 ? NULL : (void *)val;
}

static __always_inline __u64 cgroup_number(struct cgroup *cgroup)
{
	struct kernfs_node *node;

	if (!TCPX_CGROUP_TYPED)
		return BPF_CORE_READ(cgroup, kn, id);
	node = cgroup->kn;
	return node ? node->id : 0;
}

/* NULL: there is none, this is the root. */
static __always_inline struct cgroup *cgroup_around(struct cgroup *cgroup)
{
	struct cgroup_subsys_state *parent;

	if (!TCPX_CGROUP_TYPED) /* a cgroup begins with its own state: that may stand for it */
		return (void *)BPF_CORE_READ(cgroup, self.parent);
	parent = cgroup->self.parent;
	return parent ? parent->cgroup : NULL;
}

/* Is this the cgroup with that id, or one below it? */
static __always_inline bool cgroup_below(struct cgroup *cgroup, __u64 id)
{
	for (int i = 0; i < TCPX_LEVELS_MAX && cgroup; i++) {
		if (cgroup_number(cgroup) == id)
			return true;
		cgroup = cgroup_around(cgroup);
	}
	return false;
}

#endif
