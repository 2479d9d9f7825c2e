// SPDX-License-Identifier: MIT
// Types of programs that the kernel calls for system calls on the sockets of a cgroup.

/** By the word behind cgroup/, their number in enum bpf_attach_type. */
export const SOCK_TYPES = {
  bind4: 8,
  bind6: 9,
  connect4: 10,
  connect6: 11,
  post_bind4: 12,
  post_bind6: 13,
  getsockopt: 21,
  setsockopt: 22,
  getpeername4: 29,
  getpeername6: 30,
  getsockname4: 31,
  getsockname6: 32,
} as const;

export type SockType = keyof typeof SOCK_TYPES;

/** What a program of the type is called in C. */
export const sockFunction = (type: SockType) => `tcpx_${type}`;

/** And in the kernel, which keeps 15 letters of it. */
export const sockName = (type: SockType) => sockFunction(type).slice(0, 15);
