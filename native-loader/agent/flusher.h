/* SPDX-License-Identifier: MIT */
/*
 * The thread that sends held ACKs. It does nothing else: comparing the routes of a namespace takes
 * a tenth of a second when there are many, and an ACK's time may be a millisecond.
 */
#ifndef TCPX_FLUSHER_H
#define TCPX_FLUSHER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "served.h"

struct ring_buffer;

struct flusher {
	struct served *served;
	struct ring_buffer *ring; /* NULL: nothing is held, no thread */
	pthread_t thread;
	int epoll_fd;
	int stop_fd;
	int wanted_fd; /* inode numbers of namespaces that are wanted, u32 each, to read */
	int want_fd;   /* and to write */
	bool running;
	_Atomic int holds_fd; /* the thinner's map of connections that hold; -1: not known */
	_Atomic uint64_t flushed, failed, outdated;
};

/* held_fd: the thinner's ring buffer, or -1. 0 or -errno; flusher_close() in both cases. */
int flusher_open(struct flusher *f, int held_fd, struct served *served);
int flusher_start(struct flusher *f);
/* From now on it sends nothing that is older than what has gone. 0 or -errno. */
int flusher_holds(struct flusher *f, int holds_fd);
/* Ends and joins the thread, if it runs. */
void flusher_close(struct flusher *f);

/* With all signals blocked: they are for the threads that know what to do with them. */
int start_thread(pthread_t *thread, void *(*run)(void *), void *arg);
/* Adds what the thread has used to *ns. */
int add_cpu(pthread_t thread, uint64_t *ns);
int watch(int epoll_fd, int fd, void *what);

#endif
