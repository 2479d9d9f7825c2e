// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "find-netns.h"

struct search {
	uint32_t inode;
	int fd; /* -1: not found yet */
};

int open_netns(const char *path, uint32_t *inode)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int type;

	if (fd < 0)
		return -errno;
	type = ioctl(fd, NS_GET_NSTYPE);
	if (type == CLONE_NEWNET && !fstat(fd, &st)) {
		*inode = (uint32_t)st.st_ino;
		return fd;
	}
	close(fd);
	return -EINVAL;
}

bool netns_owned_by(int fd, dev_t dev, ino_t inode)
{
	int owner = ioctl(fd, NS_GET_USERNS); /* EPERM: of one that is not below ours */
	struct stat st;
	bool same;

	if (owner < 0)
		return false;
	same = !fstat(owner, &st) && st.st_dev == dev && st.st_ino == inode;
	close(owner);
	return same;
}

bool netns_is_own(void)
{
	uint32_t inode;
	struct stat st;
	bool own;
	int fd;

	if (stat(OWN_USERNS, &st))
		return false;
	fd = open_netns("/proc/thread-self/ns/net", &inode);
	if (fd < 0)
		return false;
	own = netns_owned_by(fd, st.st_dev, st.st_ino);
	close(fd);
	return own;
}

static void look(struct search *s, const char *path)
{
	struct stat st;
	uint32_t inode;
	int fd;

	/* stat() first: it opens nothing, and nearly all are others. */
	if (stat(path, &st) || st.st_ino != s->inode)
		return;
	fd = open_netns(path, &inode);
	if (fd >= 0 && inode == s->inode)
		s->fd = fd;
	else if (fd >= 0)
		close(fd);
}

static void look_in(struct search *s, const char *dir, const char *below, int processes)
{
	struct dirent *entry;
	char path[300];
	DIR *d = opendir(dir);

	if (!d)
		return;
	while (s->fd < 0 && (entry = readdir(d))) {
		if (processes ? entry->d_name[0] < '1' || entry->d_name[0] > '9'
			      : entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s%s", dir, entry->d_name, below);
		look(s, path);
	}
	closedir(d);
}

int find_netns(uint32_t inode)
{
	struct search s = {.inode = inode, .fd = -1};

	look_in(&s, "/proc", "/ns/net", 1);
	look_in(&s, "/run/netns", "", 0);
	return s.fd >= 0 ? s.fd : -ENOENT;
}
