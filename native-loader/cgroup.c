// SPDX-License-Identifier: MIT
/* Cgroups by their id, which is what links have of them: asked of the kernel, whatever is mounted
 * where. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bridge.h"

/* enum fid_type of the kernel, since 5.5; not in its exported headers. */
#define FILEID_KERNFS 0xfe

/* struct file_handle, whose own declaration ends with an array of any length. */
struct cgroup_handle {
	uint32_t bytes;
	int32_t type;
	uint64_t id;
};

_Static_assert(sizeof(struct cgroup_handle) == 16, "as open_by_handle_at() reads it");

static int path_of(int fd, char *out, int cap)
{
	char link[32];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, out, (size_t)cap);
	if (len < 0)
		return -errno;
	if (len >= cap)
		return -ENAMETOOLONG;
	out[len] = '\0';
	return (int)len;
}

int tcpx_cgroup_path(const char *root, uint64_t id, char *below, int cap)
{
	struct cgroup_handle handle = {.bytes = sizeof(id), .type = FILEID_KERNFS, .id = id};
	char top[4096], path[8192];
	int len, root_fd, fd;

	if (!root || !below || cap < 2)
		return -EINVAL;
	root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return -errno;
	fd = (int)syscall(SYS_open_by_handle_at, root_fd, &handle, O_PATH | O_CLOEXEC);
	if (fd < 0) {
		len = -errno;
		close(root_fd);
		return len;
	}
	len = path_of(root_fd, top, sizeof(top));
	close(root_fd);
	if (len >= 0) {
		int whole = path_of(fd, path, sizeof(path));

		/* what is outside of the mount stands there as "/" */
		if (whole < 0)
			len = whole;
		else if (strncmp(path, top, (size_t)len) || (path[len] && path[len] != '/'))
			len = -EXDEV;
		else
			len = snprintf(below, (size_t)cap, "%s", path[len] ? path + len : "/");
	}
	close(fd);
	return len < cap ? len : -ENAMETOOLONG;
}
