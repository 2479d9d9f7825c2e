// SPDX-License-Identifier: MIT
/*
 * Giving capabilities up. Each thread has its own, and the runtime has several before any of our
 * code runs: so one thread does it and then executes the program anew.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bridge.h"

#define MOST 64 /* more than any kernel has */

struct sets {
	uint64_t effective, permitted, inheritable;
};

static int get(struct sets *s)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {};

	if (syscall(SYS_capget, &header, d))
		return -errno;
	s->effective = d[0].effective | (uint64_t)d[1].effective << 32;
	s->permitted = d[0].permitted | (uint64_t)d[1].permitted << 32;
	s->inheritable = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
	return 0;
}

static int put(const struct sets *s)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct d[2] = {
		{(uint32_t)s->effective, (uint32_t)s->permitted, (uint32_t)s->inheritable},
		{(uint32_t)(s->effective >> 32), (uint32_t)(s->permitted >> 32),
		 (uint32_t)(s->inheritable >> 32)},
	};

	return syscall(SYS_capset, &header, d) ? -errno : 0;
}

/* Executing a program gives root all that the bounding set has. Others keep what is ambient. */
static bool is_root(void)
{
	int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);

	return !geteuid() && bits >= 0 && !(bits & SECBIT_NOROOT);
}

int tcpx_capabilities(uint64_t *effective)
{
	struct sets s;
	int err;

	if (!effective)
		return -EINVAL;
	err = get(&s);
	if (!err)
		*effective = s.effective;
	return err;
}

int tcpx_confined(uint64_t keep)
{
	struct sets s;
	int err = get(&s);

	if (err)
		return err;
	return !(s.permitted & ~keep) && !(s.inheritable & (is_root() ? ~0ULL : ~keep)) &&
	       prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

/* 1: all others are out of it. 0: it may not be changed, which takes CAP_SETPCAP. */
static int bound(uint64_t keep)
{
	for (unsigned long cap = 0; cap < MOST; cap++) {
		if (keep >> cap & 1 || prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
			return errno == EPERM ? 0 : -errno;
	}
	return 1;
}

static int make_ambient(uint64_t caps)
{
	for (unsigned long cap = 0; cap < MOST; cap++) {
		if (caps >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0))
			return -errno;
	}
	return 0;
}

int tcpx_confine(uint64_t keep)
{
	bool root = is_root();
	struct sets s;
	int err, bounded;

	/* With it, a program that is executed has at most what is permitted here. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
		return -errno;
	bounded = bound(keep);
	if (bounded < 0)
		return bounded;
	err = get(&s);
	if (err)
		return err;
	s.inheritable = root ? 0 : s.permitted & keep;
	/* Otherwise the execution does it, and the file may be one that only CAP_DAC_OVERRIDE
	 * opens. */
	if (!bounded) {
		s.permitted &= keep;
		s.effective &= keep;
	}
	err = put(&s);
	return err || root ? err : make_ambient(s.inheritable);
}
