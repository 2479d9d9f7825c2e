/* SPDX-License-Identifier: MIT */
/* Objects that tcpx does not ship: what they are looked at for before libbpf's linker gets them. */
#ifndef TCPX_LINK_H
#define TCPX_LINK_H

#include <libelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_OBJECT_MOST (1 << 20) /* bytes of an object */
#define LINK_SYMBOLS_MOST 65536	   /* of an object, those of jumps included */
#define LINK_NAME_MOST 64	   /* bytes of a name that is told */
#define LINK_WHY_MOST 400

/* A name that an object gives to all. Points into the object's bytes. */
struct link_symbol {
	const char *name;
	bool weak;
};

struct link_object {
	char name[LINK_NAME_MOST]; /* for people */
	uint8_t *bytes;		   /* a copy of ours */
	size_t size;
	struct link_symbol *symbols; /* defined, not local */
	unsigned int count;
};

/* Sections that something is to be read of. */
struct link_sections {
	Elf64_Sym *symbols;
	size_t symbol_count;
	char *strings; /* ends with NUL */
	size_t string_size;
	uint8_t *btf;
	size_t btf_size;
	uint8_t *btf_ext;
	size_t btf_ext_size;
	const char *license;
	size_t license_size;
	unsigned int text;
	unsigned int maps;
};

/* link-elf.c: what stands in an object, or why it is none that can be linked; `why` has
 * LINK_WHY_MOST bytes. */
int link_read(const struct link_object *o, bool user, struct link_sections *s, char *why);
/* link-btf.c: is the type information sound? libbpf 1.1 takes it as it is. `functions`: of the
 * kernel may be called; its linker does not know that. */
bool link_btf_is_sound(const struct link_sections *s, bool functions);

#endif
