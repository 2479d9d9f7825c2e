/* SPDX-License-Identifier: MIT */
/*
 * The kernel's BTF has more than 100,000 types; the CO-RE relocations of an object begin with a
 * few of them. libbpf reads and searches a file with these alone in no time.
 */
#ifndef TCPX_KERNEL_BTF_H
#define TCPX_KERNEL_BTF_H

#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_BTF "/sys/kernel/btf/vmlinux"
#define CORE_ROOTS_MAX 64

/* Structs and unions that relocations begin with. */
struct core_roots {
	struct core_root {
		const char *name; /* the object's */
		size_t length;	  /* without what follows ___ */
		unsigned int kind;
		bool needed; /* not every mention of it says that it may be missing: ___if_any */
		bool found;  /* in the kernel */
	} at[CORE_ROOTS_MAX];
	unsigned int count;
};

/* core-roots.c: a memfd with what an open object, whose file is at bytes, needs of the BTF at
 * path. < 0: there is something that it is not known how to do, or nothing to do.
 */
int kernel_btf_for(const struct bpf_object *o, const void *bytes, size_t n, const char *path);
/* kernel-btf.c: the same, knowing what. */
int kernel_btf(const char *path, struct core_roots *roots);

#endif
