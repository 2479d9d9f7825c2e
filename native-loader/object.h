/* SPDX-License-Identifier: MIT */
/* What stands behind the handle of an object. */
#ifndef TCPX_OBJECT_H
#define TCPX_OBJECT_H

#include <bpf/libbpf.h>

struct object {
	struct bpf_object *bpf;
	int btf_fd; /* until it is loaded, the part of the kernel's BTF for it; -1: all */
};

#endif
