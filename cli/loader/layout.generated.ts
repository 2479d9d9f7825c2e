// Generated from embedded-bpf/tcpx_shared.h by `bun run build`. Do not edit.

export const LAYOUT_VERSION = 1;

export const Counter = {
  SENT: 0,
  RECEIVED: 1,
  APPLIED: 2,
  CLAMPED: 3,
  KEPT: 4,
  MALFORMED: 5,
  NO_ROOM: 6,
  FALLBACK: 7,
  ERRORS: 8,
  COUNT: 9,
} as const;

export const Direction = {
  BOTH: 0,
  TO: 1,
  FROM: 2,
} as const;

export const Ext = {
  UTO: 0,
  COUNT: 1,
} as const;

export const Family = {
  ANY: 0,
  IPV4: 4,
  IPV6: 6,
} as const;

export const Kind = {
  ASK: 0,
  LOCAL: 1,
  ACCEPT: 2,
  COUNT: 3,
} as const;

export const RuleFlag = {
  SET: 1,
  NONE: 2,
  FORCE: 4,
} as const;

export const structs = {
  tcpx_config: {
    size: 4096,
    fields: {
      layout: { offset: 0, type: "u32" },
      rule_count: { offset: 4, type: "u32" },
      scope: { offset: 8, type: "u64" },
      use_netns: { offset: 16, type: "u8" },
      use_ports: { offset: 17, type: "u8" },
      foreign: { offset: 18, type: "u8" },
      reserved: { offset: 19, type: "u8", dims: [5] },
      version: { offset: 24, type: "char", dims: [32] },
      cgroup: { offset: 56, type: "char", dims: [4040] },
    },
  },
  tcpx_conn: {
    size: 160,
    fields: {
      scope: { offset: 0, type: "u64" },
      since_ns: { offset: 8, type: "u64" },
      attempt_ns: { offset: 16, type: "u64" },
      attempt: { offset: 24, type: "u32" },
      first_byte: { offset: 28, type: "u32" },
      retrans: { offset: 32, type: "u32" },
      segments: { offset: 36, type: "u8" },
      silent: { offset: 37, type: "u8" },
      reserved: { offset: 38, type: "u8" },
      pad: { offset: 39, type: "u8", dims: [1] },
      policy: { offset: 40, type: "tcpx_policy" },
      uto: { offset: 76, type: "tcpx_uto_conn" },
      header: { offset: 88, type: "u8", dims: [68] },
      header_len: { offset: 156, type: "u8" },
      header_at: { offset: 157, type: "u8" },
      found: { offset: 158, type: "u8" },
      pad2: { offset: 159, type: "u8" },
    },
  },
  tcpx_counters: {
    size: 80,
    fields: {
      count: { offset: 0, type: "u64", dims: [1, 9] },
      error_line: { offset: 72, type: "u32" },
      error_code: { offset: 76, type: "s32" },
    },
  },
  tcpx_handover: {
    size: 40,
    fields: {
      at_ns: { offset: 0, type: "u64" },
      remote: { offset: 8, type: "u32", dims: [4] },
      ports: { offset: 24, type: "u32" },
      op: { offset: 28, type: "u32" },
      slots: { offset: 32, type: "u32" },
      pad: { offset: 36, type: "u32" },
    },
  },
  tcpx_policy: {
    size: 36,
    fields: {
      rules: { offset: 0, type: "tcpx_rule", dims: [1, 3] },
    },
  },
  tcpx_policy_key: {
    size: 28,
    fields: {
      prefixlen: { offset: 0, type: "u32" },
      direction: { offset: 4, type: "u8" },
      family: { offset: 5, type: "u8" },
      port: { offset: 6, type: "u16" },
      netns: { offset: 8, type: "u32" },
      address: { offset: 12, type: "u8", dims: [16] },
    },
  },
  tcpx_rule: {
    size: 12,
    fields: {
      flags: { offset: 0, type: "u8" },
      prefix: { offset: 1, type: "u8" },
      reserved: { offset: 2, type: "u16" },
      value: { offset: 4, type: "u32", dims: [2] },
    },
  },
  tcpx_rule_record: {
    size: 48,
    fields: {
      ext: { offset: 0, type: "u8" },
      kind: { offset: 1, type: "u8" },
      flags: { offset: 2, type: "u8" },
      direction: { offset: 3, type: "u8" },
      family: { offset: 4, type: "u8" },
      prefix: { offset: 5, type: "u8" },
      port: { offset: 6, type: "u16" },
      value: { offset: 8, type: "u32", dims: [2] },
      netns_cookie: { offset: 16, type: "u64" },
      netns_inode: { offset: 24, type: "u32" },
      reserved: { offset: 28, type: "u32" },
      address: { offset: 32, type: "u8", dims: [16] },
    },
  },
  tcpx_uto_conn: {
    size: 12,
    fields: {
      remote_ms: { offset: 0, type: "u32" },
      applied_ms: { offset: 4, type: "u32" },
      bits: { offset: 8, type: "u16" },
      len: { offset: 10, type: "u8" },
      seen: { offset: 11, type: "u8" },
    },
  },
} as const;
