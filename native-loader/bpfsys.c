// SPDX-License-Identifier: MIT
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

#define LINK_TYPE_STRUCT_OPS 9
#define ENOTSUPP_KERNEL 524 /* the kernel's own ENOTSUPP leaks out of bpf(2) */

/* The kernel says EBADFD here, where every other bpf(2) command says EBADF. */
static int object_info(int fd, void *info, __u32 len)
{
	int err = bpf_obj_get_info_by_fd(fd, info, &len);

	return err == -EBADFD ? -EBADF : err;
}

int tcpx_prog_info(int fd, struct tcpx_prog_info *out)
{
	struct bpf_prog_info info = {};
	int err;

	if (!out)
		return -EINVAL;
	err = object_info(fd, &info, sizeof(info));
	if (err)
		return err;
	*out = (struct tcpx_prog_info){
		.id = info.id,
		.type = info.type,
		.run_cnt = info.run_cnt,
		.run_time_ns = info.run_time_ns,
	};
	memcpy(out->name, info.name, sizeof(out->name));
	memcpy(out->tag, info.tag, sizeof(out->tag));
	return 0;
}

int tcpx_prog_open(unsigned int id)
{
	return bpf_prog_get_fd_by_id(id);
}

int tcpx_map_open(unsigned int id)
{
	return bpf_map_get_fd_by_id(id);
}

int tcpx_map_info(int fd, struct tcpx_map_info *out)
{
	struct bpf_map_info info = {};
	int err;

	if (!out)
		return -EINVAL;
	err = object_info(fd, &info, sizeof(info));
	if (err)
		return err;
	*out = (struct tcpx_map_info){
		.id = info.id,
		.type = info.type,
		.key_size = info.key_size,
		.value_size = info.value_size,
		.max_entries = info.max_entries,
		.flags = info.map_flags,
	};
	memcpy(out->name, info.name, sizeof(out->name));
	return 0;
}

int tcpx_link_create(int prog_fd, int cgroup_fd, int attach_type)
{
	return bpf_link_create(prog_fd, cgroup_fd, attach_type, NULL);
}

int tcpx_link_update(int link_fd, int prog_fd)
{
	return bpf_link_update(link_fd, prog_fd, NULL);
}

int tcpx_link_detach(int link_fd)
{
	return bpf_link_detach(link_fd);
}

int tcpx_link_info(int fd, struct tcpx_link_info *out)
{
	struct bpf_link_info info = {};
	int err;

	if (!out)
		return -EINVAL;
	err = object_info(fd, &info, sizeof(info));
	if (err)
		return err;
	*out = (struct tcpx_link_info){
		.link_id = info.id,
		.prog_id = info.prog_id,
		.type = info.type,
	};
	if (info.type == BPF_LINK_TYPE_CGROUP) {
		out->cgroup_id = info.cgroup.cgroup_id;
		out->attach_type = info.cgroup.attach_type;
	}
	/* uapi headers of 6.1 do not have it yet; the map's id is the first that a link says of
	 * itself */
	if (info.type == LINK_TYPE_STRUCT_OPS)
		memcpy(&out->prog_id, &info.raw_tracepoint, sizeof(out->prog_id));
	return 0;
}

int tcpx_prog_query(int cgroup_fd, int attach_type, unsigned int query_flags,
		    unsigned int *attach_flags, unsigned int *ids, unsigned int *count)
{
	if (!count)
		return -EINVAL;
	return bpf_prog_query(cgroup_fd, attach_type, query_flags, attach_flags, ids, count);
}

int tcpx_pin(int fd, const char *path)
{
	return path ? bpf_obj_pin(fd, path) : -EINVAL;
}

int tcpx_get(const char *path)
{
	return path ? bpf_obj_get(path) : -EINVAL;
}

int tcpx_map_update(int fd, const void *k, const void *v, uint64_t flags)
{
	return k && v ? bpf_map_update_elem(fd, k, v, flags) : -EINVAL;
}

int tcpx_map_lookup(int fd, const void *k, void *v)
{
	return k && v ? bpf_map_lookup_elem(fd, k, v) : -EINVAL;
}

int tcpx_map_delete(int fd, const void *k)
{
	return k ? bpf_map_delete_elem(fd, k) : -EINVAL;
}

int tcpx_map_next_key(int fd, const void *k, void *next)
{
	return next ? bpf_map_get_next_key(fd, k, next) : -EINVAL;
}

static bool no_batch(int err)
{
	return err == -EOPNOTSUPP || err == -ENOTSUPP_KERNEL || err == -EINVAL;
}

/* How far apart keys and values lie in a caller's buffer. */
static int strides(int fd, size_t *key, size_t *value)
{
	struct tcpx_map_info info;
	int err = tcpx_map_info(fd, &info), cpus;

	if (err)
		return err;
	*key = info.key_size;
	*value = info.value_size;
	switch (info.type) {
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
		cpus = libbpf_num_possible_cpus();
		if (cpus < 0)
			return cpus;
		*value = (info.value_size + 7) / 8 * 8 * (size_t)cpus;
	}
	return 0;
}

int tcpx_map_update_batch(int fd, const void *keys, const void *vals, unsigned int n,
			  uint64_t flags)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = flags);
	size_t key, value;
	unsigned int i;
	__u32 count = n;
	int err;

	if (!keys || !vals)
		return -EINVAL;
	err = strides(fd, &key, &value);
	if (err || !n)
		return err;
	err = bpf_map_update_batch(fd, keys, vals, &count, &opts);
	if (!no_batch(err))
		return err;
	for (i = 0, err = 0; i < n && !err; i++)
		err = bpf_map_update_elem(fd, (const char *)keys + i * key,
					  (const char *)vals + i * value, flags);
	return err;
}

/* An entry that goes away between the two calls is left out. Removed keys can send
 * next_key back to the start, so the number of steps is bounded too.
 */
static int lookup_singly(int fd, char *keys, char *vals, unsigned int cap, size_t key, size_t value)
{
	char *at = malloc(key);
	unsigned int i = 0, steps = 0;
	int err = at ? bpf_map_get_next_key(fd, NULL, at) : -ENOMEM;

	while (!err && i < cap && steps++ < 2 * cap) {
		err = bpf_map_lookup_elem(fd, at, vals + i * value);
		if (!err)
			memcpy(keys + i++ * key, at, key);
		else if (err != -ENOENT)
			break;
		err = bpf_map_get_next_key(fd, at, at);
	}
	free(at);
	return err && err != -ENOENT ? err : (int)i;
}

int tcpx_map_lookup_batch(int fd, void *keys, void *vals, unsigned int cap)
{
	size_t key, value, token_size;
	char *token, *k = keys, *v = vals;
	__u32 total = 0, count;
	int err;

	if (!keys || !vals)
		return -EINVAL;
	err = strides(fd, &key, &value);
	if (err || !cap)
		return err;
	/* The token is a bucket number for hashes and a key for the others. */
	token_size = key > sizeof(__u32) ? key : sizeof(__u32);
	token = malloc(token_size);
	if (!token)
		return -ENOMEM;
	do {
		count = cap - total;
		err = bpf_map_lookup_batch(fd, total ? token : NULL, token, k + total * key,
					   v + total * value, &count, NULL);
		if (!err || err == -ENOENT)
			total += count;
	} while (!err && count && total < cap);
	free(token);
	if (!err || err == -ENOENT)
		return (int)total;
	/* -ENOSPC: a hash bucket holds more than the room that is left. */
	if (no_batch(err) || err == -ENOSPC)
		return lookup_singly(fd, keys, vals, cap, key, value);
	return err;
}

int tcpx_map_freeze(int fd)
{
	return bpf_map_freeze(fd);
}

int tcpx_possible_cpus(void)
{
	return libbpf_num_possible_cpus();
}
