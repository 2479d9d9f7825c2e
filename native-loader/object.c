// SPDX-License-Identifier: MIT
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bridge.h"
#include "kernel-btf.h"
#include "object.h"

#define RODATA ".rodata"

int tcpx_abi(void)
{
	return TCPX_ABI;
}

const char *tcpx_libbpf_version(void)
{
	return libbpf_version_string();
}

/* libbpf names it "<first 8 of the object's name>.rodata". */
static struct bpf_map *find_rodata(struct bpf_object *o)
{
	const size_t suffix = sizeof(RODATA) - 1;
	struct bpf_map *m;

	bpf_object__for_each_map(m, o)
	{
		const char *name = bpf_map__name(m);
		size_t n = strlen(name);

		if (bpf_map__is_internal(m) && n >= suffix && !strcmp(name + n - suffix, RODATA))
			return m;
	}
	return NULL;
}

static int find_map(const struct object *o, const char *name, struct bpf_map **out)
{
	if (!o || !name)
		return -EINVAL;
	*out = !strcmp(name, RODATA) ? find_rodata(o->bpf)
				     : bpf_object__find_map_by_name(o->bpf, name);
	return *out ? 0 : -ENOENT;
}

static void drop_btf(struct object *o)
{
	if (o->btf_fd >= 0)
		close(o->btf_fd);
	o->btf_fd = -1;
}

/* The path can be told at an open only, and what is needed is known after one. */
static void shorten_btf(struct object *o, const void *bytes, size_t n, const char *name)
{
	char path[sizeof("/proc/self/fd/") + 10];
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = name, .btf_custom_path = path);
	struct bpf_object *again;

	o->btf_fd = kernel_btf_for(o->bpf, bytes, n, KERNEL_BTF);
	if (o->btf_fd < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", o->btf_fd);
	again = access(path, R_OK) ? NULL : bpf_object__open_mem(bytes, n, &opts);
	if (again) {
		bpf_object__close(o->bpf);
		o->bpf = again;
	} else {
		drop_btf(o);
	}
}

int tcpx_object_open(const void *bytes, size_t n, const char *name, void **out)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = name);
	struct object *o;
	int err;

	if (!bytes || !n || !name || !out)
		return -EINVAL;
	*out = NULL;
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	errno = 0;
	o->bpf = bpf_object__open_mem(bytes, n, &opts);
	if (!o->bpf) {
		err = errno ? -errno : -EINVAL;
		free(o);
		return err;
	}
	shorten_btf(o, bytes, n, name);
	*out = o;
	return 0;
}

int tcpx_object_rodata(void *o, const void *bytes, size_t n)
{
	struct bpf_map *m;
	int err = find_map(o, RODATA, &m);

	if (err)
		return err;
	return bytes ? bpf_map__set_initial_value(m, bytes, n) : -EINVAL;
}

int tcpx_object_rodata_begin(void *o, const void *bytes, size_t n)
{
	struct bpf_map *m;
	int err = find_map(o, RODATA, &m);
	const void *present;
	size_t size = 0;
	char *value;

	if (err)
		return err;
	present = bpf_map__initial_value(m, &size);
	if (!bytes || !present || n > size)
		return -EINVAL;
	value = malloc(size);
	if (!value)
		return -ENOMEM;
	memcpy(value, present, size);
	memcpy(value, bytes, n);
	err = bpf_map__set_initial_value(m, value, size);
	free(value);
	return err;
}

int tcpx_object_reuse_map(void *o, const char *map, int fd)
{
	struct bpf_map *m;
	int err = find_map(o, map, &m);

	return err ?: bpf_map__reuse_fd(m, fd);
}

int tcpx_object_max_entries(void *o, const char *map, unsigned int n)
{
	struct bpf_map *m;
	int err = find_map(o, map, &m);

	return err ?: bpf_map__set_max_entries(m, n);
}

int tcpx_object_value_size(void *o, const char *map, unsigned int n)
{
	struct bpf_map *m;
	int err = find_map(o, map, &m);

	return err ?: bpf_map__set_value_size(m, n);
}

int tcpx_object_autoload(void *object, const char *prog, int on)
{
	struct object *o = object;
	struct bpf_program *p;
	int err = 0;

	if (!o)
		return -EINVAL;
	if (prog && *prog) {
		p = bpf_object__find_program_by_name(o->bpf, prog);
		return p ? bpf_program__set_autoload(p, on) : -ENOENT;
	}
	bpf_object__for_each_program(p, o->bpf) err = err ?: bpf_program__set_autoload(p, on);
	return err;
}

int tcpx_object_load(void *object)
{
	struct object *o = object;
	int err;

	if (!o)
		return -EINVAL;
	err = bpf_object__load(o->bpf);
	drop_btf(o);
	return err;
}

int tcpx_object_map_fd(void *o, const char *map)
{
	struct bpf_map *m;
	int err = find_map(o, map, &m), fd;

	if (err)
		return err;
	fd = bpf_map__fd(m);
	return fd < 0 ? -EBADF : fd;
}

int tcpx_object_prog_fd(void *object, const char *prog)
{
	struct object *o = object;
	struct bpf_program *p;
	int fd;

	if (!o || !prog)
		return -EINVAL;
	p = bpf_object__find_program_by_name(o->bpf, prog);
	if (!p)
		return -ENOENT;
	fd = bpf_program__fd(p);
	return fd < 0 ? -EBADF : fd;
}

void tcpx_object_close(void *object)
{
	struct object *o = object;

	if (!o)
		return;
	drop_btf(o);
	bpf_object__close(o->bpf);
	free(o);
}
