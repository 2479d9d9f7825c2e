// SPDX-License-Identifier: MIT
#include <bpf/btf.h>
#include <errno.h>
#include <libelf.h>
#include <string.h>

#include "kernel-btf.h"

/* Behind the name of a struct that kernels may be built without, and then no module has it. */
#define IF_ANY "___if_any"

/* What libbpf keeps to itself. */
struct ext_header {
	uint16_t magic;
	uint8_t version;
	uint8_t flags;
	uint32_t hdr_len;
	uint32_t func_info_off, func_info_len;
	uint32_t line_info_off, line_info_len;
	uint32_t core_relo_off, core_relo_len;
};

struct ext_section {
	uint32_t name_off;
	uint32_t count;
};

static int add_root(const struct btf *btf, const struct bpf_core_relo *relo, struct core_roots *out)
{
	const struct btf_type *t = btf__type_by_id(btf, relo->type_id);
	const char *name = t ? btf__name_by_offset(btf, t->name_off) : NULL, *flavor;
	struct core_root *r, root = {.name = name};

	/* for enums, typedefs and questions about whole types more would have to be copied */
	if (relo->kind > BPF_CORE_FIELD_RSHIFT_U64 || !name || !*name || !btf_is_composite(t))
		return -EOPNOTSUPP;
	flavor = strstr(name, "___");
	if (flavor && (flavor == name || strstr(flavor + 1, "___")))
		return -EOPNOTSUPP; /* whatever it means */
	root.length = flavor ? (size_t)(flavor - name) : strlen(name);
	root.kind = btf_kind(t);
	root.needed = !flavor || strcmp(flavor, IF_ANY) != 0;
	for (r = out->at; r < out->at + out->count; r++)
		if (r->kind == root.kind && r->length == root.length &&
		    !memcmp(r->name, name, root.length)) {
			r->needed |= root.needed;
			return 0;
		}
	if (out->count == CORE_ROOTS_MAX)
		return -E2BIG;
	out->at[out->count++] = root;
	return 0;
}

/* Of a section in which btf_ext__new() has found nothing wrong. */
static int add_roots(const struct btf *btf, const void *section, struct core_roots *out)
{
	const struct ext_header *h = section;
	const struct ext_section *s;
	const char *at, *end;
	uint32_t step, i;
	int err = 0;

	if (h->hdr_len < sizeof(*h) || !h->core_relo_len)
		return -ENOENT;
	at = (const char *)section + h->hdr_len + h->core_relo_off;
	end = at + h->core_relo_len;
	step = *(const uint32_t *)at;
	for (at += sizeof(step); at < end && !err;) {
		s = (const void *)at;
		at += sizeof(*s);
		for (i = 0; i < s->count && !err; i++, at += step)
			err = add_root(btf, (const void *)at, out);
	}
	return err;
}

static Elf_Data *find_section(Elf *elf, const char *wanted)
{
	Elf_Scn *section = NULL;
	size_t names;

	if (!elf || elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((section = elf_nextscn(elf, section))) {
		const Elf64_Shdr *header = elf64_getshdr(section);
		const char *name = header ? elf_strptr(elf, names, header->sh_name) : NULL;

		if (name && !strcmp(name, wanted))
			return elf_rawdata(section, NULL);
	}
	return NULL;
}

static int core_roots(const struct bpf_object *o, const void *bytes, size_t n,
		      struct core_roots *out)
{
	Elf *elf = elf_memory((char *)bytes, n); /* which only reads */
	Elf_Data *data = find_section(elf, ".BTF.ext");
	struct btf_ext *ext = data ? btf_ext__new(data->d_buf, data->d_size) : NULL;
	const struct btf *btf = bpf_object__btf(o);
	int err = ext && btf ? add_roots(btf, data->d_buf, out) : -ENOENT;

	btf_ext__free(ext);
	elf_end(elf);
	return err;
}

int kernel_btf_for(const struct bpf_object *o, const void *bytes, size_t n, const char *path)
{
	struct core_roots roots = {};

	return core_roots(o, bytes, n, &roots) ?: kernel_btf(path, &roots);
}
