// SPDX-License-Identifier: MIT
/* Whole programs of others: what libbpf 1.1 needs to be told of them, and does not do by itself. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"
#include "link.h"
#include "object.h"

#define PROGRAM_MOST (4 << 20) /* bytes of an object */
#define F_LINK (1U << 13)      /* BPF_F_LINK, since 6.4 */
#define OPS_MOST 65536

int tcpx_program_check(const void *bytes, size_t n, char *why, int cap)
{
	struct link_object o = {.size = n};
	struct link_sections sections;
	char reason[LINK_WHY_MOST] = "is empty";
	int err = -EINVAL;

	if (!bytes || !why || cap <= 0)
		return -EINVAL;
	if (n > PROGRAM_MOST)
		snprintf(reason, sizeof(reason), "is larger than %d bytes", PROGRAM_MOST);
	else if (n && !(o.bytes = malloc(n)))
		return -ENOMEM;
	if (o.bytes) {
		memcpy(o.bytes, bytes, n);
		err = link_read(&o, false, &sections, reason);
		free(o.bytes);
	}
	if (err)
		snprintf(why, (size_t)cap, "%s", reason);
	return err;
}

int tcpx_program_pinned(void *object)
{
	struct object *o = object;
	struct bpf_map *m;
	int n = 0;

	if (!o)
		return -EINVAL;
	bpf_object__for_each_map(m, o->bpf) n += bpf_map__pin_path(m) != NULL;
	return n;
}

static struct bpf_map *ops_map(const struct object *o, const char *name)
{
	struct bpf_map *m = o && name ? bpf_object__find_map_by_name(o->bpf, name) : NULL;

	return m && bpf_map__type(m) == BPF_MAP_TYPE_STRUCT_OPS ? m : NULL;
}

int tcpx_ops_linked(void *o, const char *map)
{
	struct bpf_map *m = ops_map(o, map);

	return m ? bpf_map__set_map_flags(m, bpf_map__map_flags(m) | F_LINK) : -ENOENT;
}

int tcpx_ops_set(void *o, const char *map)
{
	struct bpf_map *m = ops_map(o, map);
	struct bpf_link *link;

	if (!m)
		return -ENOENT;
	link = bpf_map__attach_struct_ops(m);
	if (!link)
		return errno ? -errno : -EINVAL;
	bpf_link__disconnect(link); /* libbpf would take it back */
	return bpf_link__destroy(link);
}

int tcpx_ops_state(int fd)
{
	struct tcpx_map_info info;
	uint32_t key = 0, head[2]; /* references, state */
	int err = tcpx_map_info(fd, &info);
	void *value;

	if (err)
		return err;
	if (info.type != BPF_MAP_TYPE_STRUCT_OPS || info.value_size < sizeof(head) ||
	    info.value_size > OPS_MOST)
		return -EINVAL;
	value = malloc(info.value_size);
	if (!value)
		return -ENOMEM;
	err = bpf_map_lookup_elem(fd, &key, value);
	memcpy(head, value, sizeof(head));
	free(value);
	return err ?: (int)head[1];
}

int tcpx_text_new(const char *name, const void *text, size_t n)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	uint32_t key = 0;
	int fd, err;

	if (!name || !text || !n || n > UINT16_MAX)
		return -EINVAL;
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, name, sizeof(key), (uint32_t)n, 1, &opts);
	if (fd < 0)
		return fd;
	err = bpf_map_update_elem(fd, &key, text, 0) ?: bpf_map_freeze(fd);
	if (!err)
		return fd;
	tcpx_close(fd);
	return err;
}
