// SPDX-License-Identifier: MIT
/*
 * kernel-btf OBJECT BTF: relocates the object with all of the kernel's BTF in that file, and with
 * the part that native-loader/kernel-btf.c makes of it. Says "same PROGRAMS INSTRUCTIONS BYTES",
 * BYTES being those of the part, "different PROGRAM", or "all ERRNO" when no part is made.
 */
#include <bpf/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../native-loader/kernel-btf.h"

static char object[1 << 20];

/* Relocations are done before the kernel is asked, which may refuse: it need not be its own BTF. */
static struct bpf_object *relocate(size_t n, const char *btf, int *loaded)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "test", .btf_custom_path = btf);
	struct bpf_object *o = bpf_object__open_mem(object, n, &opts);

	if (!o)
		exit(1);
	*loaded = bpf_object__load(o);
	return o;
}

/* File descriptors of maps are other ones each time. */
static size_t instructions(const struct bpf_program *p, struct bpf_insn **out)
{
	size_t n = bpf_program__insn_cnt(p);

	*out = malloc(n * sizeof(**out));
	memcpy(*out, bpf_program__insns(p), n * sizeof(**out));
	for (size_t i = 0; i + 1 < n; i++)
		if ((*out)[i].code == (BPF_LD | BPF_IMM | BPF_DW) &&
		    ((*out)[i].src_reg == BPF_PSEUDO_MAP_FD ||
		     (*out)[i].src_reg == BPF_PSEUDO_MAP_VALUE))
			(*out)[i].imm = 0;
	return n;
}

static bool same(const struct bpf_object *all, const struct bpf_object *part, size_t *total)
{
	struct bpf_program *p;

	bpf_object__for_each_program(p, all)
	{
		const char *name = bpf_program__name(p);
		struct bpf_insn *a, *b;
		size_t n = instructions(p, &a);

		if (n != instructions(bpf_object__find_program_by_name(part, name), &b) ||
		    memcmp(a, b, n * sizeof(*a)))
			return false;
		free(a);
		free(b);
		*total += n;
	}
	return true;
}

int main(int argc, char **argv)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "test");
	FILE *file = argc == 3 ? fopen(argv[1], "r") : NULL;
	size_t n = file ? fread(object, 1, sizeof(object), file) : 0, total = 0;
	struct bpf_object *o, *all, *part;
	int fd, loaded_all, loaded_part;
	char path[32];

	libbpf_set_print(NULL);
	o = n ? bpf_object__open_mem(object, n, &opts) : NULL;
	if (!o)
		return 2;
	fd = kernel_btf_for(o, object, n, argv[2]);
	bpf_object__close(o);
	if (fd < 0) {
		printf("all %d\n", -fd);
		return 0;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	all = relocate(n, argv[2], &loaded_all);
	part = relocate(n, path, &loaded_part);
	if (loaded_all != loaded_part)
		printf("different results: %d, %d\n", loaded_all, loaded_part);
	else if (!same(all, part, &total))
		printf("different instructions\n");
	else
		printf("same %d %zu %ld\n", loaded_all, total, lseek(fd, 0, SEEK_END));
	bpf_object__close(all);
	bpf_object__close(part);
	return 0;
}
