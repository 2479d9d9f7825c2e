// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel-btf.h"

struct kernel {
	const char *types, *strings;
	uint32_t types_size, strings_size;
	uint32_t count;
	uint32_t *at;	 /* of each type in types */
	uint32_t *to;	 /* its number in the copy; 0: not there */
	uint32_t *queue; /* what is copied, in the copy's order */
	uint32_t copied;
	struct btf_header
		*out; /* room for all types, that is before copying, and for all strings */
	char *out_strings;
	int err;
};

static const char *string_at(struct kernel *k, uint32_t at)
{
	if (at < k->strings_size)
		return k->strings + at;
	k->err = -EINVAL;
	return "";
}

/* 0: a kind that is not known. */
static size_t record_size(const struct btf_type *t)
{
	enum { HEAD = sizeof(*t) };
	static const struct {
		uint8_t fixed, each;
	} kinds[] = {
		[BTF_KIND_INT] = {HEAD + sizeof(uint32_t), 0},
		[BTF_KIND_PTR] = {HEAD, 0},
		[BTF_KIND_ARRAY] = {HEAD + sizeof(struct btf_array), 0},
		[BTF_KIND_STRUCT] = {HEAD, sizeof(struct btf_member)},
		[BTF_KIND_UNION] = {HEAD, sizeof(struct btf_member)},
		[BTF_KIND_ENUM] = {HEAD, sizeof(struct btf_enum)},
		[BTF_KIND_FWD] = {HEAD, 0},
		[BTF_KIND_TYPEDEF] = {HEAD, 0},
		[BTF_KIND_VOLATILE] = {HEAD, 0},
		[BTF_KIND_CONST] = {HEAD, 0},
		[BTF_KIND_RESTRICT] = {HEAD, 0},
		[BTF_KIND_FUNC] = {HEAD, 0},
		[BTF_KIND_FUNC_PROTO] = {HEAD, sizeof(struct btf_param)},
		[BTF_KIND_VAR] = {HEAD + sizeof(struct btf_var), 0},
		[BTF_KIND_DATASEC] = {HEAD, sizeof(struct btf_var_secinfo)},
		[BTF_KIND_FLOAT] = {HEAD, 0},
		[BTF_KIND_DECL_TAG] = {HEAD + sizeof(struct btf_decl_tag), 0},
		[BTF_KIND_TYPE_TAG] = {HEAD, 0},
		[BTF_KIND_ENUM64] = {HEAD, sizeof(struct btf_enum64)},
	};
	unsigned int kind = btf_kind(t);

	if (kind >= sizeof(kinds) / sizeof(*kinds) || !kinds[kind].fixed)
		return 0;
	return kinds[kind].fixed + (size_t)btf_vlen(t) * kinds[kind].each;
}

/* The number in the copy, which gets the type when it does not have it. */
static uint32_t refer(struct kernel *k, uint32_t id)
{
	if (id > k->count) {
		k->err = -EINVAL;
		return 0;
	}
	if (id && !k->to[id]) {
		k->queue[k->copied++] = id;
		k->to[id] = k->copied;
	}
	return k->to[id];
}

/* All types of a name, as libbpf looks whether they agree. */
static void take_if_wanted(struct kernel *k, const struct btf_type *t, struct core_roots *roots)
{
	const char *name = string_at(k, t->name_off);

	for (unsigned int i = 0; i < roots->count; i++) {
		struct core_root *r = &roots->at[i];

		if (*name != *r->name || strncmp(name, r->name, r->length) != 0 ||
		    btf_kind(t) != r->kind)
			continue;
		if (!name[r->length]) {
			refer(k, k->count);
			r->found = true;
		} else if (!strncmp(name + r->length, "___", 3)) {
			k->err = -EOPNOTSUPP; /* maybe the same name to libbpf */
		}
	}
}

static int scan(struct kernel *k, struct core_roots *roots)
{
	const struct btf_type *t;
	uint32_t off;
	size_t size;

	for (off = 0; off < k->types_size; off += size) {
		t = (const void *)(k->types + off);
		size = k->types_size - off < sizeof(*t) ? 0 : record_size(t);
		if (!size || size > k->types_size - off)
			return -EINVAL;
		k->at[++k->count] = off;
		if (btf_is_composite(t))
			take_if_wanted(k, t, roots);
	}
	for (unsigned int i = 0; i < roots->count; i++)
		if (roots->at[i].needed && !roots->at[i].found)
			return -ENOENT; /* libbpf looks for it in modules */
	return k->err;
}

static uint32_t copy_name(struct kernel *k, uint32_t at)
{
	const char *name = string_at(k, at);
	uint32_t used = k->out->str_len;
	size_t n = strlen(name) + 1;

	if (n > k->strings_size - used)
		k->err = -ENOSPC;
	if (n == 1 || k->err)
		return 0;
	memcpy(k->out_strings + used, name, n);
	k->out->str_len += n;
	return used;
}

/* With what says where a field is and how large: not what pointers point to, no enumerators. */
static void copy_type(struct kernel *k, const struct btf_type *t)
{
	struct btf_type *to = (void *)((char *)(k->out + 1) + k->out->type_len);

	memcpy(to, t, record_size(t));
	to->name_off = copy_name(k, t->name_off);
	if (btf_is_any_enum(t))
		to->info &= ~0xffffU;
	else if (btf_is_ptr(t))
		to->type = 0;
	else if (btf_is_mod(t) || btf_is_typedef(t))
		to->type = refer(k, t->type);
	else if (btf_is_array(t))
		*btf_array(to) = (struct btf_array){.type = refer(k, btf_array(t)->type),
						    .nelems = btf_array(t)->nelems};
	else if (!btf_is_composite(t) && !btf_is_int(t) && !btf_is_float(t) && !btf_is_fwd(t))
		k->err = -EOPNOTSUPP;
	for (unsigned int i = 0; btf_is_composite(t) && i < btf_vlen(t); i++) {
		struct btf_member *m = &btf_members(to)[i];

		m->name_off = copy_name(k, m->name_off);
		m->type = refer(k, m->type);
	}
	k->out->type_len += record_size(to);
}

static int write_out(const struct kernel *k)
{
	ssize_t head = (ssize_t)(sizeof(*k->out) + k->out->type_len);
	int fd = (int)syscall(SYS_memfd_create, "kernel-btf", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (write(fd, k->out, head) == head &&
	    write(fd, k->out_strings, k->out->str_len) == (ssize_t)k->out->str_len)
		return fd;
	close(fd);
	return -EIO;
}

static int copy(struct kernel *k, struct core_roots *roots)
{
	size_t most = k->types_size / sizeof(struct btf_type) + 1;
	size_t size =
		3 * most * sizeof(uint32_t) + sizeof(*k->out) + k->types_size + k->strings_size;
	/* most of it is never touched, and nothing of it stays with malloc() */
	uint32_t *room =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int result;

	if (room == MAP_FAILED)
		return -ENOMEM;
	k->at = room;
	k->to = k->at + most;
	k->queue = k->to + most;
	k->out = (void *)(k->queue + most);
	k->out_strings = (char *)(k->out + 1) + k->types_size;
	*k->out = (struct btf_header){
		.magic = BTF_MAGIC,
		.version = BTF_VERSION,
		.hdr_len = sizeof(*k->out),
		/* libbpf looks at the four bytes behind a type for more than it has */
		.str_len = sizeof(uint32_t),
	};
	result = scan(k, roots);
	for (uint32_t i = 0; i < k->copied && !result; i++) {
		copy_type(k, (const void *)(k->types + k->at[k->queue[i]]));
		result = k->err;
	}
	k->out->str_off = k->out->type_len;
	result = result ?: write_out(k);
	munmap(room, size);
	return result;
}

static int split(struct kernel *k, const char *data, size_t n)
{
	const struct btf_header *h = (const void *)data;

	if (n < sizeof(*h) || h->magic != BTF_MAGIC || h->version != BTF_VERSION || h->flags ||
	    h->hdr_len < sizeof(*h) || h->hdr_len > n || (h->hdr_len | h->type_off) & 3)
		return -EINVAL;
	n -= h->hdr_len;
	if (h->type_off > n || h->type_len > n - h->type_off || h->str_off > n || !h->str_len ||
	    h->str_len > n - h->str_off || data[h->hdr_len + h->str_off + h->str_len - 1])
		return -EINVAL;
	k->types = data + h->hdr_len + h->type_off;
	k->types_size = h->type_len;
	k->strings = data + h->hdr_len + h->str_off;
	k->strings_size = h->str_len;
	return 0;
}

/* Mapped where the kernel can (6.16), which saves a read() for every 4 KiB. */
static void *read_whole(int fd, size_t n)
{
	char *data = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
	ssize_t got = 0;

	if (data != MAP_FAILED)
		return data;
	data = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t done = 0; data != MAP_FAILED && done < n; done += got) {
		got = read(fd, data + done, n - done);
		if (got <= 0) {
			munmap(data, n);
			return MAP_FAILED;
		}
	}
	return data;
}

int kernel_btf(const char *path, struct core_roots *roots)
{
	struct kernel k = {};
	void *data = MAP_FAILED;
	off_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC), result;

	if (fd < 0)
		return -errno;
	n = lseek(fd, 0, SEEK_END);
	if (n > 0 && !lseek(fd, 0, SEEK_SET))
		data = read_whole(fd, n);
	close(fd);
	if (data == MAP_FAILED)
		return -EIO;
	result = split(&k, data, n) ?: copy(&k, roots);
	munmap(data, n);
	return result;
}
