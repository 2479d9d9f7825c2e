// SPDX-License-Identifier: MIT
/*
 * libbpf loads a program without a log, once more with one when the kernel refuses it, and again
 * with twice the room as long as the log does not fit, which before 6.4 is an error. What is much
 * for the verifier takes it seconds each time. So the words are asked for at the first time,
 * without the trace, which costs nothing; what was too much is not tried again, and room is not
 * added. The linker puts this in the place of bpf_prog_load() (scripts/build-bridge.ts).
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WORDS 4 /* BPF_LOG_STATS: complaints and figures, since 5.2 */

int __real_bpf_prog_load(enum bpf_prog_type type, const char *name, const char *license,
			 const struct bpf_insn *insns, size_t count,
			 const struct bpf_prog_load_opts *opts);
int __wrap_bpf_prog_load(enum bpf_prog_type type, const char *name, const char *license,
			 const struct bpf_insn *insns, size_t count,
			 const struct bpf_prog_load_opts *opts);

/* The program that was refused last, why, and what was said of it. */
static const struct bpf_insn *refused;
static int refusal;
static char said[16384];

static int first(enum bpf_prog_type type, const char *name, const char *license,
		 const struct bpf_insn *insns, size_t count, const struct bpf_prog_load_opts *opts)
{
	struct bpf_prog_load_opts with = *opts;
	int fd;

	with.log_level = WORDS;
	with.log_buf = said;
	with.log_size = sizeof(said);
	said[0] = 0;
	fd = __real_bpf_prog_load(type, name, license, insns, count, &with);
	/* before 6.4 words that do not fit are an error by themselves */
	if (fd < 0 && errno == ENOSPC)
		return __real_bpf_prog_load(type, name, license, insns, count, opts);
	if (fd < 0) {
		refused = insns;
		refusal = errno;
	}
	return fd;
}

static int refuse(const struct bpf_prog_load_opts *opts)
{
	if (opts->log_buf && opts->log_size)
		snprintf(opts->log_buf, opts->log_size, "%s", said);
	errno = refusal;
	return -refusal;
}

int __wrap_bpf_prog_load(enum bpf_prog_type type, const char *name, const char *license,
			 const struct bpf_insn *insns, size_t count,
			 const struct bpf_prog_load_opts *opts)
{
	const struct bpf_insn *before = refused;
	int fd;

	refused = NULL;
	if (opts && opts->sz == sizeof(*opts) && !opts->log_level && !opts->log_buf)
		return first(type, name, license, insns, count, opts);
	if (!before || before != insns)
		return __real_bpf_prog_load(type, name, license, insns, count, opts);
	if (refusal == E2BIG)
		return refuse(opts);
	fd = __real_bpf_prog_load(type, name, license, insns, count, opts);
	return fd < 0 && errno == ENOSPC ? refuse(opts) : fd;
}
