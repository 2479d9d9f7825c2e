// SPDX-License-Identifier: MIT
/*
 * Links extensions that tcpx does not ship to our program, each in its slot, through memfds.
 * Nothing of the kernel is touched here. What others have made is looked at first: libbpf's linker
 * trusts its input.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bridge.h"
#include "link.h"
#include "log.h"

#define SLOTS 8
#define API "tcpx1_"
#define API_NUMBER 1
#define HOOK API "slot0_"
#define LICENSE "Dual MIT/GPL" /* of what all is linked to */
#define DIGIT (sizeof(API "slot") - 1)

struct linker {
	struct link_object at[1 + SLOTS]; /* the first is ours */
	unsigned int count;
	char why[LINK_WHY_MOST];
};

static int refuse(struct linker *l, const struct link_object *o, const char *text, const char *name)
{
	snprintf(l->why, sizeof(l->why), "%s %s%.*s", o->name, text, LINK_NAME_MOST, name);
	return -EINVAL;
}

static bool defines(const struct link_object *o, const char *name)
{
	for (unsigned int i = 0; i < o->count; i++)
		if (!strcmp(o->symbols[i].name, name))
			return true;
	return false;
}

/* The version of what is offered to extensions, where a name begins so: digits; their number, or 0.
 */
static int api_digits(const char *name)
{
	size_t n;

	if (strncmp(name, "tcpx", 4))
		return 0;
	n = strspn(name + 4, "0123456789");
	return name[4 + n] == '_' && n < LINK_NAME_MOST ? (int)n : 0;
}

static bool is_api(const char *name)
{
	return api_digits(name) > 0;
}

/* Is it of another version than ours? Then that is said. */
static int check_version(struct linker *l, const struct link_object *o, const char *name)
{
	int digits = api_digits(name);

	if (!digits || !strncmp(name, API, sizeof(API) - 1))
		return 0;
	snprintf(l->why, sizeof(l->why), "%s needs api %.*s of tcpx_ext.h; this tcpx has %d",
		 o->name, digits < 9 ? digits : 9, name + 4, API_NUMBER);
	return -EINVAL;
}

/* The bit of a hook, in the order of their names in `hooks`; < 0: there is none. */
static int hook_bit(const char *name, const char *hooks)
{
	size_t n = strlen(name);
	int bit = 0;

	for (const char *p = hooks; *p; bit++) {
		size_t m = strcspn(p, " ");

		if (m == n && !memcmp(p, name, n))
			return bit;
		p += m;
		p += strspn(p, " ");
	}
	return -1;
}

static int check_defined(struct linker *l, struct link_object *o, const struct link_sections *s,
			 const Elf64_Sym *sym, const char *hooks, uint32_t *has)
{
	const char *name = s->strings + sym->st_name;
	int bit;

	if (!strncmp(name, HOOK, sizeof(HOOK) - 1)) {
		bit = hook_bit(name + sizeof(HOOK) - 1, hooks);
		if (bit < 0)
			return refuse(l, o, "has a hook that this tcpx does not call: ",
				      name + sizeof(HOOK) - 1);
		if (ELF64_ST_TYPE(sym->st_info) != STT_FUNC || sym->st_shndx != s->text ||
		    ELF64_ST_BIND(sym->st_info) != STB_GLOBAL)
			return refuse(l, o, "has a hook that is no ordinary function: ", name);
		*has |= 1U << bit;
		return 0;
	}
	if (is_api(name))
		return refuse(l, o, "has a function in the place of one of tcpx: ", name);
	for (unsigned int i = 0; i < l->count; i++) {
		if (!defines(&l->at[i], name))
			continue;
		snprintf(l->why, sizeof(l->why),
			 "%s has a name that %s has, too: %.*s (make it static)", o->name,
			 i ? l->at[i].name : "tcpx", LINK_NAME_MOST, name);
		return -EINVAL;
	}
	o->symbols[o->count].weak = ELF64_ST_BIND(sym->st_info) == STB_WEAK;
	o->symbols[o->count++].name = name;
	return 0;
}

static int check_undefined(struct linker *l, const struct link_object *o, const char *name)
{
	if (is_api(name) && strncmp(name, API "slot", DIGIT) && defines(&l->at[0], name))
		return 0;
	if (is_api(name))
		return refuse(l, o, "is for another tcpx: this one does not have ", name);
	return refuse(l, o, "calls what nobody offers: ", name);
}

static int check_symbols(struct linker *l, struct link_object *o, const struct link_sections *s,
			 const char *hooks, uint32_t *has)
{
	int err = 0;

	for (size_t i = 1; i < s->symbol_count && !err; i++) {
		const Elf64_Sym *sym = &s->symbols[i];
		bool is_local = ELF64_ST_BIND(sym->st_info) == STB_LOCAL;

		if (sym->st_name >= s->string_size)
			return refuse(l, o, "has a damaged table of symbols", "");
		if (is_local && s->maps && sym->st_shndx == s->maps &&
		    ELF64_ST_TYPE(sym->st_info) == STT_OBJECT)
			return refuse(l, o, "has a static map, which libbpf does not take: ",
				      s->strings + sym->st_name);
		if (is_local)
			continue;
		err = check_version(l, o, s->strings + sym->st_name);
		if (err)
			return err;
		err = sym->st_shndx == SHN_UNDEF ? check_undefined(l, o, s->strings + sym->st_name)
						 : check_defined(l, o, s, sym, hooks, has);
	}
	return err;
}

/* Puts the slot's number in the place of 0, in names of symbols and of types. */
static void rename_slot(char *strings, size_t size, unsigned int slot)
{
	const size_t n = sizeof(HOOK) - 1;

	for (size_t i = 0; i + n <= size; i++)
		if (!memcmp(strings + i, HOOK, n))
			strings[i + DIGIT] = (char)('0' + slot);
}

static void rename_slots(const struct link_sections *s, unsigned int slot)
{
	uint32_t head[6]; /* struct btf_header, whose bounds were looked at */

	memcpy(head, s->btf, sizeof(head));
	rename_slot(s->strings, s->string_size, slot);
	rename_slot((char *)s->btf + head[1] + head[4], head[5], slot);
}

/* Takes a copy. */
static int take(struct linker *l, const void *bytes, size_t n, const char *name, bool user,
		struct link_sections *s)
{
	struct link_object *o = &l->at[l->count];
	char why[LINK_WHY_MOST] = "";

	memset(o, 0, sizeof(*o));
	snprintf(o->name, sizeof(o->name), "%s", name);
	if (!n || (user && n > LINK_OBJECT_MOST)) {
		refuse(l, o, n ? "is too large for an extension" : "is empty", "");
		return -EINVAL;
	}
	o->bytes = malloc(n);
	if (!o->bytes)
		return -ENOMEM;
	memcpy(o->bytes, bytes, n);
	o->size = n;
	if (link_read(o, user, s, why))
		return refuse(l, o, why, "");
	o->symbols = calloc(s->symbol_count + 1, sizeof(*o->symbols));
	return o->symbols ? 0 : -ENOMEM;
}

static void drop(struct link_object *o)
{
	free(o->bytes);
	free(o->symbols);
	memset(o, 0, sizeof(*o));
}

int tcpx_linker_new(const void *core, size_t n, void **out)
{
	struct link_sections s;
	struct link_object *o;
	struct linker *l;
	int err;

	if (!core || !out)
		return -EINVAL;
	*out = NULL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	o = &l->at[0];
	err = take(l, core, n, "tcpx", false, &s);
	for (size_t i = 1; !err && i < s.symbol_count; i++) {
		const Elf64_Sym *sym = &s.symbols[i];

		if (ELF64_ST_BIND(sym->st_info) == STB_LOCAL || sym->st_shndx == SHN_UNDEF ||
		    sym->st_name >= s.string_size)
			continue;
		o->symbols[o->count].weak = ELF64_ST_BIND(sym->st_info) == STB_WEAK;
		o->symbols[o->count++].name = s.strings + sym->st_name;
	}
	if (err) {
		drop(o);
		free(l);
		return err;
	}
	l->count = 1;
	*out = l;
	return 0;
}

int tcpx_linker_add(void *linker, const void *bytes, size_t n, unsigned int slot, const char *name,
		    const char *hooks, uint32_t *has)
{
	struct linker *l = linker;
	struct link_sections s;
	struct link_object *o;
	int err;

	if (!l || !bytes || !name || !hooks || !has || slot >= SLOTS || l->count > SLOTS)
		return -EINVAL;
	l->why[0] = 0;
	*has = 0;
	o = &l->at[l->count];
	err = take(l, bytes, n, name, true, &s);
	if (!err && s.license &&
	    (s.license_size != sizeof(LICENSE) || memcmp(s.license, LICENSE, sizeof(LICENSE))))
		err = refuse(l, o, "has a section 'license' of its own: leave it out", "");
	err = err ?: check_symbols(l, o, &s, hooks, has);
	if (!err && !*has)
		err = refuse(l, o, "has no hook: see TCPX_HOOK of tcpx_ext.h", "");
	if (err) {
		drop(o);
		return err;
	}
	rename_slots(&s, slot);
	l->count++;
	return 0;
}

/* A memfd with these bytes; its path for libbpf, which wants names. */
static int file(const void *bytes, size_t n, char *path, size_t size)
{
	int fd = (int)syscall(SYS_memfd_create, "tcpx-object", 1U /* MFD_CLOEXEC */);
	size_t done = 0;
	ssize_t wrote;

	if (fd < 0)
		return -errno;
	while (done < n) {
		wrote = write(fd, (const char *)bytes + done, n - done);
		if (wrote <= 0) {
			close(fd);
			return wrote < 0 ? -errno : -EIO;
		}
		done += (size_t)wrote;
	}
	snprintf(path, size, "/proc/self/fd/%d", fd);
	return fd;
}

static int add_all(struct linker *l, struct bpf_linker *to)
{
	char path[32], said[200] = "";
	int err = 0, fd;

	for (unsigned int i = 0; i < l->count && !err; i++) {
		fd = file(l->at[i].bytes, l->at[i].size, path, sizeof(path));
		if (fd < 0)
			return fd;
		err = bpf_linker__add_file(to, path, NULL);
		close(fd);
		if (err)
			log_last_line(said, sizeof(said));
		if (err && i)
			snprintf(l->why, sizeof(l->why), "%s cannot be linked: %s", l->at[i].name,
				 said);
	}
	return err;
}

int tcpx_linker_link(void *linker, void *out, size_t cap)
{
	struct linker *l = linker;
	struct bpf_linker *to;
	char path[32];
	struct stat st;
	int err, fd;

	if (!l || !out)
		return -EINVAL;
	l->why[0] = 0;
	fd = file("", 0, path, sizeof(path));
	if (fd < 0)
		return fd;
	errno = 0;
	to = bpf_linker__new(path, NULL);
	err = to ? add_all(l, to) : -(errno ?: EINVAL);
	if (!err) {
		err = bpf_linker__finalize(to);
		if (err)
			log_last_line(l->why, sizeof(l->why));
	}
	bpf_linker__free(to);
	if (!err && (fstat(fd, &st) || (size_t)st.st_size > cap))
		err = -ENOSPC;
	if (!err && pread(fd, out, (size_t)st.st_size, 0) != st.st_size)
		err = -EIO;
	close(fd);
	return err ?: (int)st.st_size;
}

int tcpx_linker_why(void *linker, char *out, int cap)
{
	struct linker *l = linker;
	int n;

	if (!l || !out || cap <= 0)
		return -EINVAL;
	n = (int)strlen(l->why);
	n = n < cap ? n : cap;
	memcpy(out, l->why, (size_t)n);
	return n;
}

void tcpx_linker_close(void *linker)
{
	struct linker *l = linker;

	if (!l)
		return;
	for (unsigned int i = 0; i < 1 + SLOTS; i++)
		drop(&l->at[i]);
	free(l);
}
