/* SPDX-License-Identifier: MIT */
/* What the bridge uses of libbpf, with records and one map that a harness fills. */
#ifndef TCPX_FUZZ_BPF_H
#define TCPX_FUZZ_BPF_H

#include <stddef.h>
#include <stdint.h>

struct ring_buffer;

/* Hands a record over, whose n bytes are all that there is. What the reader returned. */
int bpf_record(struct ring_buffer *ring, const void *bytes, size_t n);
struct ring_buffer *bpf_ring(int map_fd); /* NULL: not open */
/* Of a harness: what ring_buffer__consume() does. */
int bpf_consume(struct ring_buffer *ring);

/* Keys are u32. */
#define BPF_KEYS 64
struct bpf_entry {
	uint32_t key;
	int there;
	unsigned char value[8];
};
extern struct bpf_entry bpf_map[BPF_KEYS];

#endif
