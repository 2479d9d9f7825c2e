/* SPDX-License-Identifier: MIT */
/* What agent.c, the thread, shares with agent-calls.c, the callers. */
#ifndef TCPX_AGENT_INTERNAL_H
#define TCPX_AGENT_INTERNAL_H

#include "bridge-agent.h"
#include "flusher.h"

enum command { AT_ONCE, SERVE, REASON, STOP };

struct agent {
	struct served served;
	struct flusher flusher;
	struct ring_buffer *notified; /* NULL: none */
	pthread_t thread;
	pthread_mutex_t callers; /* one command at a time */
	int wake_fd;		 /* a command is there */
	int done_fd;		 /* and has been carried out */
	enum command command;
	unsigned int mark_bits;
	const char *path;
	char *text;
	int cap;
	int result;
	unsigned int read; /* notices, in this turn */
	bool stopping;
	bool waits; /* the command is done when nothing is awaited any more */
	_Atomic uint64_t notices, namespaces, route_changes, route_errors;
	_Atomic uint64_t foreign, turned_away;
	_Atomic uint64_t troubled, trouble_with, trouble_errno, unfound;
};

/* With the callers' lock held: hands the command over and waits. */
int agent_command(struct agent *a, enum command what);

#endif
