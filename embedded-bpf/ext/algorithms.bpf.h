/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Congestion controls by their place in rules, which is a number of ours or a slot of the site's:
 * the number that travels, and the kernel's name.
 */
#ifndef TCPX_ALGORITHMS_BPF_H
#define TCPX_ALGORITHMS_BPF_H

#include "../maps.bpf.h"

#define TCPX_CA_NAME_MAX 16

/* In the order of enum tcpx_algorithm; not in .rodata, which is struct tcpx_config and nothing
 * else. */
static const char cc_names[TCPX_ALGORITHM_COUNT][TCPX_CA_NAME_MAX] SEC(".rodata.names") = {
	"vegas",    "reno", "bbr",	"cubic", "dctcp", "westwood", "htcp", "hybla",	   "veno",
	"scalable", "nv",   "illinois", "yeah",	 "lp",	  "bic",      "cdg",  "highspeed",
};

/*
 * An algorithm's place in rules by the number that travels; TCPX_ALGORITHMS: we know none of this
 * number. Global, see count_apart().
 */
__noinline int cc_algorithm(__u32 number)
{
	if (number < TCPX_ALGORITHM_COUNT)
		return number;
#pragma clang loop unroll(full)
	for (int slot = 0; slot < TCPX_SITE_ALGORITHMS; slot++) {
		if (number == config.site.algorithms[slot].number)
			return TCPX_ALGORITHM_COUNT + slot;
	}
	return TCPX_ALGORITHMS;
}

/* One of the site's own, for an algorithm that enum tcpx_algorithm does not have. */
static __always_inline const volatile struct tcpx_site_algorithm *cc_of_site(__u32 algorithm)
{
	__u32 slot = algorithm - TCPX_ALGORITHM_COUNT;

	_Static_assert(TCPX_SITE_ALGORITHMS == 8, "the mask");
	slot &= 7;
	barrier_var(slot); /* its bounds are those of the access */
	return &config.site.algorithms[slot];
}

/* The number that travels. */
static __always_inline __u16 cc_number(__u32 algorithm)
{
	return algorithm < TCPX_ALGORITHM_COUNT ? algorithm : cc_of_site(algorithm)->number;
}

/* The kernel's name, in 16 bytes that are aligned to 8; there is one below TCPX_ALGORITHMS. */
static __always_inline void cc_named(__u32 algorithm, char *name)
{
	const volatile __u64 *words;
	__u64 *out = (__u64 *)name;
	__u32 at = algorithm;

	barrier_var(at); /* what is compared is what is used: 6.1 knows nothing of a spilled copy */
	if (at < TCPX_ALGORITHM_COUNT) {
		__builtin_memcpy(name, cc_names[at], TCPX_CA_NAME_MAX);
		return;
	}
	words = (const volatile __u64 *)cc_of_site(algorithm)->name;
	out[0] = words[0];
	out[1] = words[1];
}

#endif
