// SPDX-License-Identifier: MIT
/*
 * The agent as a whole, in one thread: records of both ring buffers, namespaces that come and go,
 * packets that were held, texts of /proc, and in each namespace a kernel as in netlink.c.
 *
 * Namespaces are numbers: see kind_of().
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "../../native-loader/agent/agent-internal.h"
#include "agent-host.h"
#include "bpf.h"
#include "grammar.h"
#include "host.h"
#include "input.h"

#define HELD_FD 3
#define NOTICES_FD 4
#define SERVED_FD 5
#define BEFORES 8
#define RECORD 256

static struct {
	unsigned char bytes[RECORD];
	size_t n;
} notice;

int bpf_consume(struct ring_buffer *ring)
{
	return bpf_record(ring, notice.bytes, notice.n);
}

/* A size of 0 is the true one. */
static size_t size(size_t true_one)
{
	uint8_t said = input_u8();

	return said ? said : true_one;
}

static void hold_notice(void)
{
	uint32_t inode;

	memset(&notice, 0, sizeof(notice));
	notice.n = size(sizeof(inode));
	inode = input_u8();
	memcpy(notice.bytes, &inode, sizeof(inode));
}

static void tell_wanted(void)
{
	union {
		struct tcpx_wanted wanted;
		unsigned char bytes[RECORD];
	} record = {.wanted.event = TCPX_THIN_EVENT_WANTED};
	size_t n = size(sizeof(record.wanted));

	record.wanted.netns = input_u8();
	bpf_record(bpf_ring(HELD_FD), &record, n);
}

static void ack4(unsigned char *p)
{
	static const unsigned char head[] = {0x45, 0, 0,  40, 0, 0, 0x40, 0, 64, 6,
					     0,	   0, 10, 0,  0, 1, 10,	  0, 0,	 2};

	memcpy(p, head, sizeof(head));
	p[sizeof(head) + 12] = 0x50;
	p[sizeof(head) + 13] = 0x10;
}

static void ack6(unsigned char *p)
{
	p[0] = 0x60;
	p[5] = 20;
	p[6] = IPPROTO_TCP;
	p[7] = 64;
	p[8] = p[24] = 0xfd;
	p[23] = 1;
	p[39] = 2;
	p[40 + 12] = 0x50;
	p[40 + 13] = 0x10;
}

static void tell_held(void)
{
	union {
		struct tcpx_held held;
		unsigned char bytes[RECORD];
	} record = {.held.event = TCPX_THIN_EVENT_HELD};
	size_t n = size(sizeof(record.held));
	uint8_t place;

	record.held.netns = input_u8();
	record.held.version = input_u8();
	record.held.len = input_u8();
	record.held.bound_if = input_u8();
	switch (input_u8() % PACKETS) {
	case ACK4:
		ack4(record.held.packet);
		break;
	case ACK6:
		ack6(record.held.packet);
		break;
	}
	for (int i = input_u8() % RECORD; i > 0; i--) {
		place = input_u8();
		record.bytes[place] = input_u8();
	}
	host_holds(n >= sizeof(record.held) ? &record.held : NULL);
	bpf_record(bpf_ring(HELD_FD), &record, n);
	host_holds(NULL);
}

static void *command(struct agent *a, enum command what)
{
	a->command = what;
	*fd_note(a->wake_fd) = 1;
	return &a->wake_fd;
}

/* What the agent's thread is woken for, NULL: its time has come. */
static void *wake(struct agent *a, uint8_t event)
{
	static char path[8];

	switch (event) {
	case NOTICE:
		hold_notice();
		return &a->notified;
	case PIPE:
		host_pipe_gives(input_u8());
		return &a->flusher;
	case FOLLOW:
		return host_routes_of(a, input_u8());
	case BITS:
		a->mark_bits = input_u8();
		return command(a, AT_ONCE);
	case PATH:
		path[0] = (char)input_u8();
		a->path = path;
		return command(a, SERVE);
	case WHY:
		a->cap = input_u8();
		free(a->text);
		a->text = malloc((size_t)a->cap);
		return command(a, REASON);
	case WAYS:
		a->cap = 1 + input_u8();
		free(a->text);
		a->text = malloc((size_t)a->cap);
		return command(a, EFFECT);
	case TICK:
		clock_advance(input_u8());
		return NULL;
	default:
		free(a->text);
		a->text = NULL;
		return command(a, STOP);
	}
}

void *host_event(struct agent *a)
{
	for (;;) {
		uint8_t event = input_u8() % EVENTS;

		switch (event) {
		case HELD:
			tell_held();
			break;
		case WANTED:
			tell_wanted();
			break;
		case SOCKETS:
			host_sockets_are();
			break;
		case REFUSE:
			host_refuses(input_u8());
			break;
		default:
			return wake(a, event);
		}
	}
}

static void entries_of_before(void)
{
	memset(bpf_map, 0, sizeof(bpf_map));
	for (int n = input_u8() % BEFORES; n > 0; n--) {
		bpf_map[n].there = 1;
		bpf_map[n].key = input_u8();
		bpf_map[n].value[0] = input_u8();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	void *agent = NULL;
	int err;

	input_start(bytes, n);
	host_silence_strangers(false);
	host_begin();
	host_agent_begin();
	entries_of_before();
	err = tcpx_agent_start(HELD_FD, NOTICES_FD, SERVED_FD, &agent);
	require(!err && agent, "an agent that does not start");
	tcpx_agent_stop(agent);
	for (int i = 0; i < BPF_KEYS; i++)
		require(!bpf_map[i].there || !bpf_map[i].value[0],
			"a namespace that is served without an agent");
	host_end();
	return 0;
}
