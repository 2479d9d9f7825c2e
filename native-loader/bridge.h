/* SPDX-License-Identifier: MIT */
/*
 * The C side of tcpx: what bun:ffi cannot do by itself. One flat C ABI, bound by
 * cli/bridge; nothing else is exported. What the ACK agent adds stands in agent/bridge-agent.h.
 *
 * Every function that returns int returns >= 0, or a negative errno. File descriptors
 * that are returned are close-on-exec and belong to the caller, except where it says
 * otherwise. A NULL where an object, a buffer or a string is needed is -EINVAL.
 */
#ifndef TCPX_BRIDGE_H
#define TCPX_BRIDGE_H

#include <stddef.h>
#include <stdint.h>

#define TCPX_ABI 1
#define TCPX_API __attribute__((visibility("default")))

struct tcpx_prog_info {
	uint32_t id;
	uint32_t type;
	uint64_t run_cnt; /* both stay 0 unless kernel.bpf_stats_enabled is on */
	uint64_t run_time_ns;
	char name[16];
	uint8_t tag[8];
};

struct tcpx_map_info {
	uint32_t id;
	uint32_t type;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t max_entries;
	uint32_t flags;
	char name[16];
};

struct tcpx_link_info {
	uint32_t link_id;
	uint32_t prog_id;   /* of a congestion control: its map's id */
	uint64_t cgroup_id; /* this and attach_type: 0 unless it is a cgroup link */
	uint32_t type;
	uint32_t attach_type;
};

_Static_assert(sizeof(struct tcpx_prog_info) == 48, "layout known to TypeScript");
_Static_assert(sizeof(struct tcpx_map_info) == 40, "layout known to TypeScript");
_Static_assert(sizeof(struct tcpx_link_info) == 24, "layout known to TypeScript");

/* --- the bridge itself ------------------------------------------------------------ */
TCPX_API int tcpx_abi(void);
TCPX_API const char *tcpx_libbpf_version(void); /* "v1.1" */

/* --- libbpf's messages (log.c) ---------------------------------------------------- */
/* Keep messages up to this libbpf_print_level (0 warnings, 1 info, 2 debug); -1 none.
 * Warnings at the start. Nothing is ever written to stderr.
 */
TCPX_API void tcpx_log_level(int level);
/* Moves up to cap bytes of the captured text out, without a NUL; what does not fit stays.
 * When more than 1 MiB is waiting the oldest text is dropped: a verifier log ends with its
 * reason.
 */
TCPX_API int tcpx_log_take(void *out, int cap);

/* --- BPF objects (object.c): open, configure, load, use the fds, close ------------- */
TCPX_API int tcpx_object_open(const void *bytes, size_t n, const char *name, void **out);
/* The initial value of .rodata: -EINVAL when the size differs, -ENOENT when there is none. */
TCPX_API int tcpx_object_rodata(void *o, const void *bytes, size_t n);
/* The same of its first n bytes: of an object that others were linked to. */
TCPX_API int tcpx_object_rodata_begin(void *o, const void *bytes, size_t n);
TCPX_API int tcpx_object_reuse_map(void *o, const char *map, int fd); /* fd is duplicated */
TCPX_API int tcpx_object_max_entries(void *o, const char *map, unsigned int n);
TCPX_API int tcpx_object_value_size(void *o, const char *map, unsigned int n);
TCPX_API int tcpx_object_autoload(void *o, const char *prog, int on); /* NULL or "": all */
TCPX_API int tcpx_object_load(void *o);
/* The fd stays the object's: do not close it. ".rodata" finds that map whatever its prefix.
 * -ENOENT: no such name; -EBADF: not loaded.
 */
TCPX_API int tcpx_object_map_fd(void *o, const char *map);
TCPX_API int tcpx_object_prog_fd(void *o, const char *prog);
TCPX_API void tcpx_object_close(void *o); /* NULL is fine */

/* --- whole programs of others (program.c) ------------------------------------------- */
/* Is this an object that libbpf may be given? -EINVAL: no, and `why` says why, as one line with a
 * NUL.
 */
TCPX_API int tcpx_program_check(const void *bytes, size_t n, char *why, int cap);
/* How many of its maps libbpf would pin by their names, beside those of everybody. */
TCPX_API int tcpx_program_pinned(void *o);
/* Before the load: what the struct_ops map says is put into force by a link (since 6.4). */
TCPX_API int tcpx_ops_linked(void *o, const char *map);
/* After it: puts it into force, or makes it ready for a link where there is to be one. It stays
 * when the object is closed: tcpx_map_delete() takes back what no link holds.
 */
TCPX_API int tcpx_ops_set(void *o, const char *map);
/* How far it has come, of a struct_ops map by its fd: enum bpf_struct_ops_state. */
TCPX_API int tcpx_ops_state(int fd);
/* A map that holds a text, and nothing that could change it. */
TCPX_API int tcpx_text_new(const char *name, const void *text, size_t n);

/* --- extensions that tcpx does not ship (link.c) ------------------------------------ */
/* Links objects to ours, each in a slot, in memory alone. An object that may not be linked is
 * -EINVAL, and tcpx_linker_why() says why, as one line. What stands in .rodata of ours comes first
 * in the result's.
 */
TCPX_API int tcpx_linker_new(const void *core, size_t n, void **out);
/* `name` is for people; `hooks`: names of what may be called, with spaces between; *has gets a bit
 * for each of them that is there.
 */
TCPX_API int tcpx_linker_add(void *linker, const void *bytes, size_t n, unsigned int slot,
			     const char *name, const char *hooks, uint32_t *has);
/* Returns the bytes that the object has; -ENOSPC: more than cap. */
TCPX_API int tcpx_linker_link(void *linker, void *out, size_t cap);
TCPX_API int tcpx_linker_why(void *linker, char *out, int cap); /* without a NUL: its length */
TCPX_API void tcpx_linker_close(void *linker);			/* NULL is fine */

/* --- programs, links, maps and pins by fd (bpfsys.c) ------------------------------- */
TCPX_API int tcpx_prog_info(int fd, struct tcpx_prog_info *out);
TCPX_API int tcpx_prog_open(unsigned int id);
TCPX_API int tcpx_map_open(unsigned int id);
TCPX_API int tcpx_map_info(int fd, struct tcpx_map_info *out);
TCPX_API int tcpx_link_create(int prog_fd, int cgroup_fd, int attach_type);
TCPX_API int tcpx_link_update(int link_fd, int prog_fd);
/* At once, where dropping the last reference would leave it to the kernel's leisure; for a
 * cgroup link of a removed cgroup it does nothing.
 */
TCPX_API int tcpx_link_detach(int link_fd);
TCPX_API int tcpx_link_info(int fd, struct tcpx_link_info *out);
/* *count: in the room in ids, out how many programs there are (-ENOSPC: more than room).
 * attach_flags and, to count only, ids may be NULL.
 */
TCPX_API int tcpx_prog_query(int cgroup_fd, int attach_type, unsigned int query_flags,
			     unsigned int *attach_flags, unsigned int *ids, unsigned int *count);
TCPX_API int tcpx_pin(int fd, const char *path);
TCPX_API int tcpx_get(const char *path);

TCPX_API int tcpx_map_update(int fd, const void *k, const void *v, uint64_t flags);
TCPX_API int tcpx_map_lookup(int fd, const void *k, void *v);
TCPX_API int tcpx_map_delete(int fd, const void *k);
TCPX_API int tcpx_map_next_key(int fd, const void *k, void *next); /* k NULL: the first */
/* Keys and values lie back to back; a value of a per-CPU map is one slot, rounded up to 8
 * bytes, for every possible CPU. Both fall back to single calls where the kernel or the map
 * type has no batch. An update that fails midway leaves the entries before it written.
 */
TCPX_API int tcpx_map_update_batch(int fd, const void *keys, const void *vals, unsigned int n,
				   uint64_t flags);
/* Returns how many entries it wrote, cap at most: equal to cap, there may be more. Not a
 * snapshot: the map may change meanwhile.
 */
TCPX_API int tcpx_map_lookup_batch(int fd, void *keys, void *vals, unsigned int cap);
TCPX_API int tcpx_map_freeze(int fd);
TCPX_API int tcpx_possible_cpus(void);

/* --- socket iterators (iterate.c) --------------------------------------------------- */
/* Runs an iterator program over the network namespace that a file such as /proc/PID/ns/net
 * stands for (NULL: the calling thread's), to its end. Returns the bytes that it wrote to its
 * seq_file. -ENOSPC: they were more than cap; it may have run to its end or not. The thread is
 * in its own namespace again afterwards, but for -ENOTRECOVERABLE.
 */
TCPX_API int tcpx_iterate(int prog_fd, const char *netns_path, void *out, int cap);

/* --- ring buffers (ring.c) ----------------------------------------------------------- */
/* Reads a BPF ring buffer, which can have one reader only; the fd may be closed afterwards. */
TCPX_API int tcpx_ring_open(int map_fd, void **out);
/* Moves records out, back to back, until there are none or less than `most` of cap bytes is left:
 * bytes moved. Records that are longer than `most` are dropped. Never waits.
 */
TCPX_API int tcpx_ring_take(void *ring, void *out, unsigned int most, unsigned int cap);
TCPX_API void tcpx_ring_close(void *ring); /* NULL is fine */

/* --- kernel calls that Bun lacks (sys.c) ------------------------------------------- */
TCPX_API int tcpx_close(int fd);
/* Locks a directory; closing the fd unlocks. Follows no symbolic link in the last component.
 * The lock is on what the path names at the moment of the return. exclusive_nonblock 1:
 * -EWOULDBLOCK instead of waiting.
 */
TCPX_API int tcpx_flock(const char *dir, int exclusive_nonblock);
/* In the mount namespace that a file such as /proc/1/ns/mnt stands for; NULL: in our own.
 * The directory must exist.
 */
TCPX_API int tcpx_mount_bpffs(const char *path, const char *mnt_ns);
TCPX_API int tcpx_umount(const char *path, const char *mnt_ns);
TCPX_API int tcpx_fs_type(const char *path, uint64_t *magic);

/* --- cgroups (cgroup.c) ------------------------------------------------------------- */
/* Where the cgroup with this id is below a cgroup2 mount point: "/", "/a/b". Returns its length.
 * -ESTALE: the kernel has no such cgroup; -EXDEV: it has, but not below that directory; -EPERM: we
 * may not ask (CAP_DAC_READ_SEARCH). Something else may be mounted over it.
 */
TCPX_API int tcpx_cgroup_path(const char *root, uint64_t id, char *below, int cap);
/* The next three act on the calling thread only. */
TCPX_API int tcpx_netns_cookie(uint64_t *out); /* -ENOPROTOOPT before 5.14 */
TCPX_API int tcpx_netns_new(void);	       /* with lo up; on an error it may be down */
TCPX_API int tcpx_netns_enter(const char *path);
/* Reads a socket option of another process (needs ptrace rights over it): its length. pid 0: of our
 * own, which needs none.
 */
TCPX_API int tcpx_sockopt_of(int pid, int fd, int level, int name, void *value, int size);
TCPX_API int tcpx_sockopt_set(int pid, int fd, int level, int name, const void *value, int size);
/* Chooses a congestion control for a socket of its own: with CAP_NET_ADMIN the kernel loads its
 * module for that, where a process without CAP_SYS_MODULE could not.
 */
TCPX_API int tcpx_algorithm_load(const char *name);
/* Raw frames of one interface, non-blocking; nothing of another interface ever arrives. */
TCPX_API int tcpx_packet_socket(const char *ifname);
/* Nanoseconds since boot, as bpf_ktime_get_ns() has them: in a time namespace, too. */
TCPX_API int tcpx_monotonic(uint64_t *out);
/* Can PIPE_BUF bytes be written without waiting? 0: not now; -EPIPE: nobody reads any more. */
TCPX_API int tcpx_writable(int fd);
/* Writes as much as it can without waiting, in such pieces: bytes written. */
TCPX_API int tcpx_write_now(int fd, const void *data, unsigned int size);
TCPX_API int tcpx_jiffy_us(void); /* the kernel's tick: 4000 at CONFIG_HZ=250 */
/* Unmaps the pages of the executable that are as in the file; they come back when they are used. */
TCPX_API int tcpx_leave_file_pages(void);
TCPX_API int tcpx_raise_memlock(void); /* kernels before 5.11 account maps against it */

/* --- capabilities, of the calling thread (privileges.c); sets are masks of 1 << CAP_... --- */
TCPX_API int tcpx_capabilities(uint64_t *effective);
/* 1: it has no others than these, and can gain none; else 0. */
TCPX_API int tcpx_confined(uint64_t keep);
/* After it, what this thread executes has only those of `keep` that the thread has now, in every
 * set and in every thread of its own, and can gain none. The bounding set stays as it is without
 * CAP_SETPCAP: nobody can gain from it then. On an error the thread may have lost some already.
 */
TCPX_API int tcpx_confine(uint64_t keep);

/* --- other processes (process.c) ----------------------------------------------------- */
/* A descriptor that stands for a process, which tcpx_process_kill() ends with SIGKILL. */
TCPX_API int tcpx_process_open(int pid);
TCPX_API int tcpx_process_kill(int pidfd);

/* --- becoming another program (run.c) ----------------------------------------------- */
/* The descriptor of the working directory that the first code had to leave; -1. */
TCPX_API int tcpx_left_directory(void);
/* Makes what the descriptor stands for the working directory, and closes it. */
TCPX_API int tcpx_enter_directory(int fd);
/* Lists of strings lie back to back, each with its NUL. */
/* Remembers what tcpx_exec() gives back: flags of the standard files, and the memlock limit. */
TCPX_API int tcpx_exec_note(void);
TCPX_API int tcpx_exec_keep(int fd); /* takes close-on-exec from it */
/* As execvpe(), after undoing what the runtime and we have done to the process; returns only
 * -errno. Descriptors that are not close-on-exec go along, and so does the signal mask.
 */
TCPX_API int tcpx_exec(const char *argv, size_t argv_size, const char *envp, size_t envp_size);
/* A small process that runs argv (8 words, 8 KiB at the most) with this very executable when this
 * process has ended or become another, and nobody is left in the cgroup that argv ends with, which
 * need not exist yet. It stays in the cgroup that the caller is in now. Returns a file descriptor:
 * closing it means the end, too; anything written to it, that there is nothing to watch.
 */
TCPX_API int tcpx_run_watch(const char *argv, size_t argv_size);

#endif
