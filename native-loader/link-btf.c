// SPDX-License-Identifier: MIT
/*
 * libbpf follows ids and offsets of .BTF and .BTF.ext without a look at their bounds. Those of an
 * object that somebody else has made are looked at here.
 */
#include <linux/btf.h>
#include <string.h>

#include "link.h"

#define KINDS 20 /* those of libbpf 1.1: 0..19 */
#define TYPES_MOST 65536
#define DEPTH_MOST 32 /* of types that are made of others without a pointer between them */

struct types {
	const uint8_t *begin;
	const uint8_t *end;
	const char *strings;
	uint32_t string_size;
	uint32_t count;		       /* 0, void, included */
	const struct btf_type **by_id; /* room for TYPES_MOST */
	bool functions;		       /* of the kernel may be called: its .ksyms names them */
};

static const struct btf_type *at[TYPES_MOST];

/* Bytes behind struct btf_type; < 0: there is no such kind. */
static long trailing(const struct btf_type *t)
{
	unsigned int n = BTF_INFO_VLEN(t->info);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case 17: /* DECL_TAG */
		return sizeof(uint32_t);
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return (long)(n * sizeof(struct btf_member));
	case BTF_KIND_ENUM:
		return (long)(n * sizeof(struct btf_enum));
	case BTF_KIND_FUNC_PROTO:
		return (long)(n * sizeof(struct btf_param));
	case BTF_KIND_DATASEC:
		return (long)(n * sizeof(struct btf_var_secinfo));
	case 19: /* ENUM64 */
		return (long)(n * 3 * sizeof(uint32_t));
	case 0:
		return -1;
	default:
		return BTF_INFO_KIND(t->info) < KINDS ? 0 : -1;
	}
}

/* Does `type` of the kind stand for another type? */
static bool refers(unsigned int kind)
{
	return kind == BTF_KIND_PTR || (kind >= BTF_KIND_TYPEDEF && kind <= BTF_KIND_FUNC) ||
	       kind == BTF_KIND_FUNC_PROTO || kind == BTF_KIND_VAR || kind == 17 || kind == 18;
}

static bool has_name(const struct types *b, uint32_t offset)
{
	return offset < b->string_size;
}

static bool collect(struct types *b)
{
	const uint8_t *p = b->begin;

	b->count = 1;
	while (p < b->end) {
		const struct btf_type *t = (const void *)p;
		long more;

		if (b->end - p < (long)sizeof(*t) || b->count >= TYPES_MOST)
			return false;
		more = trailing(t);
		if (more < 0 || b->end - p - (long)sizeof(*t) < more || !has_name(b, t->name_off))
			return false;
		b->by_id[b->count++] = t;
		p += sizeof(*t) + more;
	}
	return true;
}

static bool may_be_data(const struct types *b, unsigned int kind)
{
	return kind == BTF_KIND_VAR || (b->functions && kind == BTF_KIND_FUNC);
}

/* Names and types of what stands behind a type. */
static bool members_are_sound(const struct types *b, const struct btf_type *t)
{
	unsigned int n = BTF_INFO_VLEN(t->info), i;
	const struct btf_var_secinfo *v = (const void *)(t + 1);
	const struct btf_member *m = (const void *)(t + 1);
	const struct btf_param *p = (const void *)(t + 1);
	const struct btf_array *a = (const void *)(t + 1);
	const uint32_t *e = (const void *)(t + 1);

	switch (BTF_INFO_KIND(t->info)) {
	case BTF_KIND_ARRAY:
		return a->type < b->count && a->index_type < b->count;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		for (i = 0; i < n; i++)
			if (m[i].type >= b->count || !has_name(b, m[i].name_off))
				return false;
		return true;
	case BTF_KIND_FUNC_PROTO:
		for (i = 0; i < n; i++)
			if (p[i].type >= b->count || !has_name(b, p[i].name_off))
				return false;
		return true;
	case BTF_KIND_DATASEC:
		for (i = 0; i < n; i++)
			if (v[i].type >= b->count || !v[i].type ||
			    !may_be_data(b, BTF_INFO_KIND(b->by_id[v[i].type]->info)))
				return false;
		return true;
	case BTF_KIND_ENUM:
		for (i = 0; i < n; i++)
			if (!has_name(b, e[2 * i]))
				return false;
		return true;
	case 19:
		for (i = 0; i < n; i++)
			if (!has_name(b, e[3 * i]))
				return false;
		return true;
	}
	return true;
}

/* A function is of a prototype; everything that is made of others ends. */
static bool ends(const struct types *b, uint32_t id, int depth)
{
	const struct btf_type *t = id ? b->by_id[id] : NULL;
	unsigned int kind = t ? BTF_INFO_KIND(t->info) : 0;

	if (!t || kind == BTF_KIND_PTR || kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION)
		return true;
	if (depth >= DEPTH_MOST)
		return false;
	if (kind == BTF_KIND_ARRAY)
		return ends(b, ((const struct btf_array *)(t + 1))->type, depth + 1);
	return !refers(kind) || ends(b, t->type, depth + 1);
}

static bool types_are_sound(const struct types *b)
{
	for (uint32_t id = 1; id < b->count; id++) {
		const struct btf_type *t = b->by_id[id];
		unsigned int kind = BTF_INFO_KIND(t->info);

		if (refers(kind) && t->type >= b->count)
			return false;
		if (kind == BTF_KIND_FUNC &&
		    (!t->type || BTF_INFO_KIND(b->by_id[t->type]->info) != BTF_KIND_FUNC_PROTO))
			return false;
		if (!members_are_sound(b, t))
			return false;
	}
	for (uint32_t id = 1; id < b->count; id++)
		if (!ends(b, id, 0))
			return false;
	return true;
}

/* By sections: { name, count, records }; the words of a record that are an id of a type, and a
 * name. */
static bool info_is_sound(const struct types *b, const uint8_t *p, const uint8_t *end, int type,
			  int name, int name2)
{
	uint32_t size, head[2];

	if (p == end)
		return true;
	if (end - p < (long)sizeof(size))
		return false;
	memcpy(&size, p, sizeof(size));
	p += sizeof(size);
	if (size < 8 || size > 256 || size % 4)
		return false;
	while (p < end) {
		if (end - p < (long)sizeof(head))
			return false;
		memcpy(head, p, sizeof(head));
		p += sizeof(head);
		if (!has_name(b, head[0]) || !head[1] || head[1] > (uint64_t)(end - p) / size)
			return false;
		for (; head[1]; head[1]--, p += size) {
			const uint32_t *words = (const void *)p;

			if ((type && words[type] >= b->count) ||
			    (name && (size < 16 || !has_name(b, words[name]))) ||
			    (name2 && !has_name(b, words[name2])))
				return false;
		}
	}
	return true;
}

static bool ext_is_sound(const struct types *b, const uint8_t *bytes, size_t size)
{
	struct {
		uint16_t magic;
		uint8_t version, flags;
		uint32_t hdr_len, func_off, func_len, line_off, line_len, core_off, core_len;
	} h = {};
	const uint8_t *begin;
	size_t room;

	if (size < 24 || (uintptr_t)bytes % 4)
		return false;
	memcpy(&h, bytes, size < sizeof(h) ? size : sizeof(h));
	if (h.magic != BTF_MAGIC || h.hdr_len < 24 || h.hdr_len > size || h.hdr_len % 4)
		return false;
	if (h.hdr_len < sizeof(h))
		h.core_off = h.core_len = 0;
	begin = bytes + h.hdr_len;
	room = size - h.hdr_len;
#define WITHIN(off, len) ((off) <= room && (len) <= room - (off) && (off) % 4 == 0)
	return WITHIN(h.func_off, h.func_len) && WITHIN(h.line_off, h.line_len) &&
	       WITHIN(h.core_off, h.core_len) &&
	       info_is_sound(b, begin + h.func_off, begin + h.func_off + h.func_len, 1, 0, 0) &&
	       info_is_sound(b, begin + h.line_off, begin + h.line_off + h.line_len, 0, 1, 2) &&
	       info_is_sound(b, begin + h.core_off, begin + h.core_off + h.core_len, 1, 2, 0);
#undef WITHIN
}

bool link_btf_is_sound(const struct link_sections *s, bool functions)
{
	struct types b = {.by_id = at, .functions = functions};
	struct btf_header h;
	size_t room;

	if (s->btf_size < sizeof(h) || (uintptr_t)s->btf % 4)
		return false;
	memcpy(&h, s->btf, sizeof(h));
	if (h.magic != BTF_MAGIC || h.version != BTF_VERSION || h.hdr_len < sizeof(h) ||
	    h.hdr_len > s->btf_size || h.hdr_len % 4)
		return false;
	room = s->btf_size - h.hdr_len;
	if (h.type_off > room || h.type_len > room - h.type_off || h.type_off % 4 ||
	    h.str_off > room || h.str_len > room - h.str_off || !h.str_len)
		return false;
	b.begin = s->btf + h.hdr_len + h.type_off;
	b.end = b.begin + h.type_len;
	b.strings = (const char *)s->btf + h.hdr_len + h.str_off;
	b.string_size = h.str_len;
	if (b.strings[0] || b.strings[h.str_len - 1])
		return false;
	return collect(&b) && types_are_sound(&b) && ext_is_sound(&b, s->btf_ext, s->btf_ext_size);
}
