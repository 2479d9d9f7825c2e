// SPDX-License-Identifier: MIT
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "bridge.h"

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

static int find_map(void *o, const char *name, struct bpf_map **out)
{
	if (!o || !name)
		return -EINVAL;
	*out = !strcmp(name, RODATA) ? find_rodata(o) : bpf_object__find_map_by_name(o, name);
	return *out ? 0 : -ENOENT;
}

int tcpx_object_open(const void *bytes, size_t n, const char *name, void **out)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = name);
	struct bpf_object *o;

	if (!bytes || !n || !name || !out)
		return -EINVAL;
	*out = NULL;
	errno = 0;
	o = bpf_object__open_mem(bytes, n, &opts);
	if (!o)
		return errno ? -errno : -EINVAL;
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

int tcpx_object_autoload(void *o, const char *prog, int on)
{
	struct bpf_program *p;
	int err = 0;

	if (!o)
		return -EINVAL;
	if (prog && *prog) {
		p = bpf_object__find_program_by_name(o, prog);
		return p ? bpf_program__set_autoload(p, on) : -ENOENT;
	}
	bpf_object__for_each_program(p, (struct bpf_object *)o) err =
		err ?: bpf_program__set_autoload(p, on);
	return err;
}

int tcpx_object_load(void *o)
{
	return o ? bpf_object__load(o) : -EINVAL;
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

int tcpx_object_prog_fd(void *o, const char *prog)
{
	struct bpf_program *p;
	int fd;

	if (!o || !prog)
		return -EINVAL;
	p = bpf_object__find_program_by_name(o, prog);
	if (!p)
		return -ENOENT;
	fd = bpf_program__fd(p);
	return fd < 0 ? -EBADF : fd;
}

void tcpx_object_close(void *o)
{
	bpf_object__close(o);
}
