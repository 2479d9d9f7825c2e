// SPDX-License-Identifier: MIT
/* What stands in an object that is to be linked, and which sections it may have. */
#include <errno.h>
#include <gelf.h>
#include <stdio.h>
#include <string.h>

#include "link.h"

#ifndef EM_BPF
#define EM_BPF 247
#endif

static int refuse(char *why, const char *text)
{
	snprintf(why, LINK_WHY_MOST, "%s", text);
	return -EINVAL;
}

static bool begins(const char *name, const char *with)
{
	return !strncmp(name, with, strlen(with));
}

static bool is_or_below(const char *name, const char *section)
{
	size_t n = strlen(section);

	return !strncmp(name, section, n) && (!name[n] || name[n] == '.');
}

/* Data and hooks, what describes them, and what debuggers want. Programs of its own are none of it.
 */
static bool may_have(const char *name)
{
	static const char *const sections[] = {".text",	  ".rodata",  ".data",	".bss",
					       ".maps",	  ".BTF",     ".debug", ".symtab",
					       ".strtab", ".shstrtab"};

	if (begins(name, ".rela"))
		return false;
	if (begins(name, ".rel."))
		name += 4;
	if (!*name || !strcmp(name, "license") || !strcmp(name, "version") ||
	    begins(name, ".debug_") || !strcmp(name, ".llvm_addrsig") || !strcmp(name, ".eh_frame"))
		return true;
	for (size_t i = 0; i < sizeof(sections) / sizeof(*sections); i++)
		if (is_or_below(name, sections[i]))
			return true;
	return false;
}

/* libbpf goes by types in one place and by names in another: they have to say the same. */
static bool is_as_named(const char *name, Elf64_Word type)
{
	if (begins(name, ".rel")) /* of programs: ".relsockops" */
		return type == SHT_REL;
	if (!strcmp(name, ".symtab"))
		return type == SHT_SYMTAB;
	if (!strcmp(name, ".strtab") || !strcmp(name, ".shstrtab"))
		return type == SHT_STRTAB;
	if (is_or_below(name, ".bss"))
		return type == SHT_NOBITS;
	return !strcmp(name, ".llvm_addrsig") ? type >= SHT_LOOS : *name && type == SHT_PROGBITS;
}

/* And what they have has to be there: libbpf looks at it without a look whether it is. */
static bool is_whole(Elf_Scn *scn, const Elf64_Shdr *h)
{
	Elf_Data *data = elf_getdata(scn, NULL);

	if (!data || h->sh_addralign > 4096 || h->sh_addralign & (h->sh_addralign - 1))
		return false;
	if (h->sh_type == SHT_NOBITS || !h->sh_size)
		return true;
	if (h->sh_type == SHT_REL && h->sh_size % sizeof(Elf64_Rel))
		return false;
	return data->d_buf && data->d_size == h->sh_size;
}

/* What it is for, where it is not for us; both endings and both widths have the machine at one
 * place. */
static const char *other_machine(const unsigned char *ident, unsigned int machine)
{
	static char text[64];

	if (machine == EM_X86_64)
		return "x86-64";
	if (machine == EM_AARCH64)
		return "arm64";
	if (machine == EM_BPF && ident[EI_CLASS] == ELFCLASS64)
		return "BPF of big-endian hosts";
	snprintf(text, sizeof(text), "machine %u with %d bits", machine,
		 ident[EI_CLASS] == ELFCLASS64 ? 64 : 32);
	return text;
}

static int head(const struct link_object *o, Elf *elf, char *why)
{
	const unsigned char *ident = o->bytes;
	size_t size = o->size;
	unsigned int machine;
	Elf64_Ehdr *h;

	if (!elf || elf_kind(elf) != ELF_K_ELF || size < 20)
		return refuse(why, "is no object file (ELF)");
	machine = ident[EI_DATA] == ELFDATA2MSB ? (unsigned int)o->bytes[18] << 8 | o->bytes[19]
						: (unsigned int)o->bytes[19] << 8 | o->bytes[18];
	if (ident[EI_CLASS] != ELFCLASS64 || ident[EI_DATA] != ELFDATA2LSB || machine != EM_BPF) {
		snprintf(why, LINK_WHY_MOST,
			 "is for another machine (%s): BPF is needed (clang -target bpf)",
			 other_machine(ident, machine));
		return -EINVAL;
	}
	h = elf64_getehdr(elf);
	if (!h)
		return refuse(why, "is cut off");
	if (h->e_type != ET_REL)
		return refuse(why, "is no object of a compiler (clang -c)");
	/* libelf leaves out what it cannot see */
	if (h->e_shoff > size || h->e_shnum > (size - h->e_shoff) / sizeof(Elf64_Shdr))
		return refuse(why, "is cut off");
	return 0;
}

/* Where the data of a section is in the object's bytes; it may not be compressed. */
static uint8_t *data_of(const struct link_object *o, const Elf64_Shdr *h)
{
	if (h->sh_flags & SHF_COMPRESSED || h->sh_offset > o->size ||
	    h->sh_size > o->size - h->sh_offset)
		return NULL;
	return o->bytes + h->sh_offset;
}

static int symbols(const struct link_object *o, Elf *elf, const Elf64_Shdr *h,
		   struct link_sections *s, char *why)
{
	Elf_Scn *scn = elf_getscn(elf, h->sh_link);
	Elf64_Shdr *strings = scn ? elf64_getshdr(scn) : NULL;

	if (s->symbols || h->sh_entsize != sizeof(Elf64_Sym) || h->sh_size % sizeof(Elf64_Sym) ||
	    h->sh_offset % 8 || !strings || strings->sh_type != SHT_STRTAB)
		return refuse(why, "has a damaged table of symbols");
	s->symbols = (void *)data_of(o, h);
	s->symbol_count = h->sh_size / sizeof(Elf64_Sym);
	s->strings = (char *)data_of(o, strings);
	s->string_size = strings->sh_size;
	if (!s->symbols || !s->strings || !s->string_size || s->strings[s->string_size - 1])
		return refuse(why, "has a damaged table of symbols");
	if (s->symbol_count > LINK_SYMBOLS_MOST)
		return refuse(why, "has too many symbols");
	return 0;
}

static int section(const struct link_object *o, Elf *elf, Elf_Scn *scn, const char *name,
		   struct link_sections *s, char *why)
{
	Elf64_Shdr *h = elf64_getshdr(scn);
	uint8_t *data;

	if (h->sh_type == SHT_SYMTAB)
		return symbols(o, elf, h, s, why);
	data = h->sh_type == SHT_NOBITS ? o->bytes : data_of(o, h);
	if (!data || h->sh_size > o->size)
		return refuse(why, "is cut off");
	if (!strcmp(name, ".BTF")) {
		s->btf = data;
		s->btf_size = h->sh_size;
	} else if (!strcmp(name, ".BTF.ext")) {
		s->btf_ext = data;
		s->btf_ext_size = h->sh_size;
	} else if (!strcmp(name, "license")) {
		s->license = (const char *)data;
		s->license_size = h->sh_size;
	} else if (!strcmp(name, ".text")) {
		s->text = elf_ndxscn(scn);
	} else if (!strcmp(name, ".maps")) {
		s->maps = elf_ndxscn(scn);
	}
	return 0;
}

static int sections(const struct link_object *o, Elf *elf, bool user, struct link_sections *s,
		    char *why)
{
	Elf_Scn *scn = NULL;
	size_t names;
	int err;

	if (elf_getshdrstrndx(elf, &names))
		return refuse(why, "is cut off");
	while ((scn = elf_nextscn(elf, scn))) {
		Elf64_Shdr *h = elf64_getshdr(scn);
		const char *name = h ? elf_strptr(elf, names, h->sh_name) : NULL;

		if (!name)
			return refuse(why, "is cut off");
		if (user && !may_have(name)) {
			snprintf(why, LINK_WHY_MOST,
				 "has a section '%.40s': an extension has hooks, maps and data, "
				 "and no "
				 "programs of its own",
				 name);
			return -EINVAL;
		}
		if (!is_as_named(name, h->sh_type))
			return refuse(why, "has a section of the wrong type");
		if (!is_whole(scn, h))
			return refuse(why, "is cut off");
		err = section(o, elf, scn, name, s, why);
		if (err)
			return err;
	}
	return 0;
}

int link_read(const struct link_object *o, bool user, struct link_sections *s, char *why)
{
	Elf *elf;
	int err;

	memset(s, 0, sizeof(*s));
	elf_version(EV_CURRENT);
	elf = elf_memory((char *)o->bytes, o->size);
	err = head(o, elf, why);
	err = err ?: sections(o, elf, user, s, why);
	elf_end(elf);
	if (err)
		return err;
	if (!s->symbols)
		return refuse(why,
			      "has no symbols: is it stripped? Only llvm-strip -g leaves them");
	if (!s->btf || !s->btf_ext)
		return refuse(why, "has no type information: it is compiled with clang -g");
	return link_btf_is_sound(s, !user) ? 0 : refuse(why, "has damaged type information (BTF)");
}
