// SPDX-License-Identifier: MIT
// The symbols of native-loader/bridge.h and agent/bridge-agent.h, one line each, with the C type as a comment.

import { FFIType } from "bun:ffi";

const { i32, u32, u64, ptr, cstring } = FFIType;
const none = FFIType.void;

export const symbols = {
  tcpx_abi: { args: [], returns: i32 },
  tcpx_libbpf_version: { args: [], returns: cstring },
  tcpx_log_level: { args: [i32], returns: none }, // int level
  tcpx_log_take: { args: [ptr, i32], returns: i32 }, // void *out, int cap
  tcpx_object_open: { args: [ptr, u64, ptr, ptr], returns: i32 }, // bytes, size_t, const char *name, void **out
  tcpx_object_rodata: { args: [u64, ptr, u64], returns: i32 }, // void *o, bytes, size_t
  tcpx_object_rodata_begin: { args: [u64, ptr, u64], returns: i32 }, // void *o, bytes, size_t
  tcpx_object_reuse_map: { args: [u64, ptr, i32], returns: i32 }, // void *o, const char *map, int fd
  tcpx_object_max_entries: { args: [u64, ptr, u32], returns: i32 }, // void *o, const char *map, unsigned
  tcpx_object_value_size: { args: [u64, ptr, u32], returns: i32 }, // void *o, const char *map, unsigned
  tcpx_object_autoload: { args: [u64, ptr, i32], returns: i32 }, // void *o, const char *prog, int on
  tcpx_object_load: { args: [u64], returns: i32 },
  tcpx_object_map_fd: { args: [u64, ptr], returns: i32 },
  tcpx_object_prog_fd: { args: [u64, ptr], returns: i32 },
  tcpx_object_close: { args: [u64], returns: none },
  tcpx_program_check: { args: [ptr, u64, ptr, i32], returns: i32 }, // bytes, size_t, char *why, int cap
  tcpx_program_pinned: { args: [u64], returns: i32 },
  tcpx_ops_linked: { args: [u64, ptr], returns: i32 }, // void *o, const char *map
  tcpx_ops_set: { args: [u64, ptr], returns: i32 }, // void *o, const char *map
  tcpx_ops_state: { args: [i32], returns: i32 }, // int fd
  tcpx_text_new: { args: [ptr, ptr, u64], returns: i32 }, // const char *name, bytes, size_t
  tcpx_linker_new: { args: [ptr, u64, ptr], returns: i32 }, // bytes, size_t, void **out
  tcpx_linker_add: { args: [u64, ptr, u64, u32, ptr, ptr, ptr], returns: i32 }, // void *linker, bytes, size_t, unsigned slot, const char *name, const char *hooks, u32 *has
  tcpx_linker_link: { args: [u64, ptr, u64], returns: i32 }, // void *linker, void *out, size_t cap
  tcpx_linker_why: { args: [u64, ptr, i32], returns: i32 }, // void *linker, char *out, int cap
  tcpx_linker_close: { args: [u64], returns: none },
  tcpx_prog_info: { args: [i32, ptr], returns: i32 }, // struct tcpx_prog_info *
  tcpx_prog_open: { args: [u32], returns: i32 },
  tcpx_map_open: { args: [u32], returns: i32 },
  tcpx_map_info: { args: [i32, ptr], returns: i32 }, // struct tcpx_map_info *
  tcpx_link_create: { args: [i32, i32, i32], returns: i32 }, // prog, cgroup, attach type
  tcpx_link_update: { args: [i32, i32], returns: i32 }, // link, prog
  tcpx_link_detach: { args: [i32], returns: i32 },
  tcpx_link_info: { args: [i32, ptr], returns: i32 }, // struct tcpx_link_info *
  tcpx_prog_query: { args: [i32, i32, u32, ptr, ptr, ptr], returns: i32 }, // cgroup, type, flags, u32 *attach_flags, u32 *ids, u32 *count
  tcpx_pin: { args: [i32, ptr], returns: i32 },
  tcpx_get: { args: [ptr], returns: i32 },
  tcpx_map_update: { args: [i32, ptr, ptr, u64], returns: i32 },
  tcpx_map_lookup: { args: [i32, ptr, ptr], returns: i32 },
  tcpx_map_delete: { args: [i32, ptr], returns: i32 },
  tcpx_map_update_batch: { args: [i32, ptr, ptr, u32, u64], returns: i32 },
  tcpx_map_lookup_batch: { args: [i32, ptr, ptr, u32], returns: i32 },
  tcpx_possible_cpus: { args: [], returns: i32 },
  tcpx_iterate: { args: [i32, ptr, ptr, i32], returns: i32 }, // int prog, const char *netns_path, void *out, int cap
  tcpx_ring_open: { args: [i32, ptr], returns: i32 }, // int map_fd, void **out
  tcpx_ring_take: { args: [u64, ptr, u32, u32], returns: i32 }, // void *ring, void *out, unsigned most, unsigned cap
  tcpx_ring_close: { args: [u64], returns: none },
  tcpx_close: { args: [i32], returns: i32 },
  tcpx_flock: { args: [ptr, i32], returns: i32 }, // const char *dir, int nonblocking
  tcpx_mount_bpffs: { args: [ptr, ptr], returns: i32 }, // const char *path, const char *mnt_ns
  tcpx_umount: { args: [ptr, ptr], returns: i32 },
  tcpx_fs_type: { args: [ptr, ptr], returns: i32 }, // const char *path, u64 *magic
  tcpx_cgroup_path: { args: [ptr, u64, ptr, i32], returns: i32 }, // const char *root, u64 id, char *below, int cap
  tcpx_netns_cookie: { args: [ptr], returns: i32 }, // u64 *out
  tcpx_netns_new: { args: [], returns: i32 },
  tcpx_netns_enter: { args: [ptr], returns: i32 },
  tcpx_sockopt_of: { args: [i32, i32, i32, i32, ptr, i32], returns: i32 }, // pid, fd, level, name, void *value, int size
  tcpx_sockopt_set: { args: [i32, i32, i32, i32, ptr, i32], returns: i32 }, // pid, fd, level, name, const void *value, int size
  tcpx_packet_socket: { args: [ptr], returns: i32 }, // const char *ifname
  tcpx_monotonic: { args: [ptr], returns: i32 }, // u64 *out
  tcpx_writable: { args: [i32], returns: i32 },
  tcpx_write_now: { args: [i32, ptr, u32], returns: i32 }, // int fd, const void *data, unsigned size
  tcpx_algorithm_load: { args: [ptr], returns: i32 }, // const char *name
  tcpx_jiffy_us: { args: [], returns: i32 },
  tcpx_leave_file_pages: { args: [], returns: i32 },
  tcpx_raise_memlock: { args: [], returns: i32 },
  tcpx_capabilities: { args: [ptr], returns: i32 }, // u64 *effective
  tcpx_confined: { args: [u64], returns: i32 }, // u64 keep
  tcpx_confine: { args: [u64], returns: i32 }, // u64 keep
  tcpx_process_open: { args: [i32], returns: i32 }, // int pid
  tcpx_process_kill: { args: [i32], returns: i32 }, // int pidfd
  tcpx_left_directory: { args: [], returns: i32 },
  tcpx_enter_directory: { args: [i32], returns: i32 }, // int fd
  tcpx_exec_note: { args: [], returns: i32 },
  tcpx_exec_keep: { args: [i32], returns: i32 },
  tcpx_exec: { args: [ptr, u64, ptr, u64], returns: i32 }, // const char *argv, size_t, const char *envp, size_t
  tcpx_run_watch: { args: [ptr, u64], returns: i32 }, // const char *argv, size_t
  tcpx_agent_start: { args: [i32, i32, i32, ptr], returns: i32 }, // held, notices, served, void **out
  tcpx_agent_holds: { args: [u64, i32], returns: i32 }, // void *agent, holds
  tcpx_agent_at_once: { args: [u64, u32], returns: i32 }, // void *agent, unsigned mark_bits
  tcpx_agent_serve: { args: [u64, ptr], returns: i32 }, // void *agent, const char *netns_path
  tcpx_agent_reason: { args: [u64, ptr, i32], returns: i32 }, // void *agent, char *out, int cap
  tcpx_agent_denied: { args: [u64, ptr, i32], returns: i32 }, // void *agent, char *out, int cap
  tcpx_agent_effect: { args: [u64, ptr, i32], returns: i32 }, // void *agent, char *out, int cap
  tcpx_agent_stats: { args: [u64, ptr], returns: i32 }, // void *agent, struct tcpx_agent_stats *
  tcpx_agent_stop: { args: [u64], returns: i32 },
  tcpx_raw_sockets: { args: [], returns: i32 },
  tcpx_held_path: { args: [ptr, i32], returns: i32 }, // char *why, int cap
  tcpx_ipsec_policies: { args: [], returns: i32 },
  tcpx_routes_sweep: { args: [], returns: i32 },
  tcpx_routes_effect: { args: [u32, ptr, u32, ptr, i32], returns: i32 }, // unsigned mark_bits, struct tcpx_route_scope *, unsigned n, char *out, int cap
  tcpx_routes_ask: { args: [ptr, ptr, u32], returns: i32 }, // const char *netns_path, struct tcpx_flow *, unsigned n
  tcpx_routes_check: { args: [u32, ptr, i32], returns: i32 }, // unsigned mark_bits, char *why, int cap
} as const;
