// SPDX-License-Identifier: MIT
/* Records of any size, taken out of a ring buffer into room of any size. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../native-loader/bridge.h"
#include "bpf.h"
#include "host.h"
#include "input.h"

#define MAP 3
#define MOST_ROOM 1024
#define MOST_RECORD 96
#define MOST_TAKES 64

/* What the reader ought to have by now. */
static unsigned char expected[MOST_ROOM];
static size_t expected_n, most, room;
static uint8_t left; /* records in the ring */

int bpf_consume(struct ring_buffer *ring)
{
	unsigned char bytes[MOST_RECORD];
	int read = 0, err = 0;
	size_t n;

	for (; left && !err; left--) {
		n = input_u8() % MOST_RECORD;
		memset(bytes, input_u8(), n);
		require(room - expected_n >= most, "a record for which there may be no room");
		if (n <= most) {
			memcpy(expected + expected_n, bytes, n);
			expected_n += n;
		}
		err = bpf_record(ring, bytes, n);
		require(err <= 0, "a reader that says more than it may");
		read++;
	}
	return err ? err : read;
}

static void take(void *ring)
{
	unsigned char *out;
	int n;

	most = input_u8();
	room = input_u16() % (MOST_ROOM + 1);
	expected_n = 0;
	out = malloc(room);
	n = tcpx_ring_take(ring, out, (unsigned int)most, (unsigned int)room);
	if (!most || !out)
		require(n == -EINVAL, "no size, and no error");
	else
		require(n == (int)expected_n && !memcmp(out, expected, expected_n),
			"other bytes than those of the records");
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	void *ring = NULL;

	input_start(bytes, n);
	host_begin();
	require(!tcpx_ring_open(MAP, &ring), "a ring that does not open");
	for (int i = 0; input_left() && i < MOST_TAKES; i++) {
		left = left ? left : input_u8();
		take(ring);
	}
	left = 0;
	tcpx_ring_close(ring);
	host_end();
	return 0;
}
