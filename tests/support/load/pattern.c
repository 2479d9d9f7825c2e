// SPDX-License-Identifier: MIT
/* Content that shows what was lost, doubled or swapped. */
#include "load.h"
#include <string.h>

/* A prime: no segment or buffer size divides it. */
#define PERIOD 65521

static const unsigned char *table(void)
{
	static unsigned char bytes[PERIOD];
	static int filled;
	uint32_t x = 1;

	for (int i = 0; !filled && i < PERIOD; i++) {
		x = x * 1664525 + 1013904223;
		bytes[i] = x >> 24;
	}
	filled = 1;
	return bytes;
}

/* The bytes from `at` on, and how many of them are there in one piece. */
const unsigned char *pattern_at(uint64_t at, uint32_t *left)
{
	*left = PERIOD - at % PERIOD;
	return table() + at % PERIOD;
}

int pattern_differs(uint64_t at, const unsigned char *data, uint32_t n)
{
	uint32_t left, done = 0;

	while (done < n) {
		const unsigned char *wanted = pattern_at(at + done, &left);

		if (left > n - done)
			left = n - done;
		if (memcmp(wanted, data + done, left))
			return 1;
		done += left;
	}
	return 0;
}
