// Generated from embedded-bpf/tcpx_shared.h by `bun run build`. Do not edit.

export const LAYOUT_VERSION = 9;

export const AckCounter = {
  UNROUTED: 14,
} as const;

export const AckEvent = {
  INEFFECTIVE: 32,
} as const;

export const AckField = {
  EVERY: 0,
  DIVISOR: 8,
  FLOOR: 16,
  MARK_BIT: 24,
  TARR: 31,
} as const;

export const AckLiveResult = {
  UNKNOWN_RTT: 32,
  INCAPABLE: 33,
} as const;

export const AckOutcome = {
  ROUTES: 16,
} as const;

export const AckReason = {
  ROUTES: 32,
} as const;

export const Algorithm = {
  VEGAS: 0,
  RENO: 1,
  BBR: 2,
  CUBIC: 3,
  DCTCP: 4,
  WESTWOOD: 5,
  HTCP: 6,
  HYBLA: 7,
  VENO: 8,
  SCALABLE: 9,
  NV: 10,
  ILLINOIS: 11,
  YEAH: 12,
  LP: 13,
  BIC: 14,
  CDG: 15,
  HIGHSPEED: 16,
  COUNT: 17,
} as const;

export const Counter = {
  SENT: 0,
  RECEIVED: 1,
  APPLIED: 2,
  CLAMPED: 3,
  GRANTED: 4,
  REFUSED: 5,
  UNANSWERED: 6,
  KEPT: 7,
  MALFORMED: 8,
  NO_ROOM: 9,
  FALLBACK: 10,
  PATH: 11,
  WITHHELD: 12,
  ERRORS: 13,
  OWN: 14,
  COUNT: 18,
} as const;

export const Direction = {
  BOTH: 0,
  TO: 1,
  FROM: 2,
} as const;

export const Ext = {
  UTO: 0,
  CC_REQUEST: 1,
  IW: 2,
  ACK: 3,
} as const;

export const Family = {
  ANY: 0,
  IPV4: 4,
  IPV6: 6,
} as const;

export const HeaderFlag = {
  SYN: 1,
  ASKS: 2,
  CORRECTS: 4,
  OPENS: 8,
  CROWDED: 16,
  FAST_OPEN: 32,
} as const;

export const Hook = {
  LISTEN: 0,
  START: 1,
  SAY: 2,
  SAY_SYN_ACK: 3,
  SEE: 4,
  PROMISE: 5,
  DECIDE: 6,
  ANSWERED: 7,
  ESTABLISHED: 8,
  AGAIN: 9,
  RTT: 10,
  RTO: 11,
  STATE: 12,
  REPLY: 13,
  JUDGE: 14,
  LIVE_SET: 15,
  LIVE_UNDO: 16,
  COUNT: 17,
} as const;

export const Keepalive = {
  LOWERED: 1,
  SHORT: 2,
  NEWS: 4,
} as const;

export const Kind = {
  ASK: 0,
  LOCAL: 1,
  ACCEPT: 2,
  COUNT: 3,
} as const;

export const ListFlag = {
  KNOWN: 1,
  MAPPED: 2,
  KEEPALIVE: 4,
} as const;

export const LiveResult = {
  UNTOUCHED: 0,
  CHANGED: 1,
  SAME: 2,
  KEPT: 3,
  PEERS: 4,
  SILENCED: 5,
  SIGNED: 6,
  FAILED: 7,
  OWN: 32,
} as const;

export const LiveSaid = {
  NOTHING_TO_SAY: 0,
  SAID: 1,
  UNSAID: 2,
} as const;

export const LiveVerb = {
  SET: 0,
  ASK: 1,
  UNDO: 2,
} as const;

export const Outcome = {
  NONE: 0,
  APPLIED: 1,
  APPLICATION: 2,
  GRANTED: 3,
  LOSS: 4,
  LATE: 5,
  KERNEL: 6,
  OWN: 16,
} as const;

export const PathCause = {
  REFUSED: 0,
  LOST: 1,
} as const;

export const PathState = {
  UNKNOWN: 0,
  SUSPECTED: 1,
  AVOIDED: 2,
  BELIEVED: 3,
} as const;

export const Quickack = {
  UNKNOWN: 0,
  ON: 1,
  OFF: 2,
} as const;

export const RequestState = {
  NONE: 0,
  ASKED: 1,
  GRANTED: 2,
  REFUSED: 3,
  UNANSWERED: 4,
  NO_ROOM: 5,
  PENDING: 6,
  ANSWERED: 7,
} as const;

export const Role = {
  ASK: 0,
  ANSWER: 1,
  OWN: 2,
  COUNT: 3,
} as const;

export const RuleFlag = {
  SET: 1,
  NONE: 2,
  FORCE: 4,
} as const;

export const ServedFlag = {
  FLUSH: 1,
  ROUTES: 2,
  USED: 4,
  NO_ROUTES: 8,
  DECLINED: 16,
  PASS: 32,
  MARKS: 64,
  IPSEC: 128,
  IN_WAY: 256,
} as const;

export const Silence = {
  SPEAKING: 0,
  SILENT: 1,
  WITHHELD: 2,
  SILENCED: 3,
  PLAIN: 4,
  HELD: 5,
} as const;

export const SlotCounter = {
  LONG: 14,
  LONG_BYTES: 15,
  SHORT: 16,
  SHORT_BYTES: 17,
} as const;

export const SlotEvent = {
  SAID: 32,
} as const;

export const SlotFlag = {
  ASKS: 1,
  SAYS: 2,
  UNASKED: 4,
  ANY_TIME: 8,
} as const;

export const TarrFlag = {
  PEER: 1,
  ASKED: 2,
  TAKEN: 4,
  PENDING: 8,
  RULES: 16,
} as const;

export const ThinCounter = {
  FIRST: 0,
  EVERY: 1,
  TIME: 2,
  DUPLICATE: 3,
  OPTIONS: 4,
  ECN: 5,
  GROWTH: 6,
  SMALL: 7,
  WINDOW: 8,
  UNSERVED: 9,
  PATH: 10,
  DROPPED: 11,
  FLUSHED: 12,
  COUNT: 13,
} as const;

export const ThinEvent = {
  HELD: 0,
  WANTED: 1,
} as const;

export const UtoCounter = {
  LOWERED: 14,
  SHORT: 15,
} as const;

export const UtoEvent = {
  KEEPALIVE: 32,
} as const;

export const UtoReason = {
  KEEPALIVE: 32,
  SHORT: 33,
} as const;

export const WatchEvent = {
  ASKED: 0,
  GRANTED: 1,
  REFUSED: 2,
  UNANSWERED: 3,
  NO_ROOM: 4,
  GAVE: 5,
  DENIED: 6,
  MALFORMED: 7,
  FALLBACK: 8,
  WITHHELD: 9,
  OWN: 32,
} as const;

export const WatchReason = {
  NONE: 0,
  CLAMPED: 1,
  NOT_ALLOWED: 2,
  APPLICATION: 3,
  LOSS: 4,
  LATE: 5,
  KERNEL: 6,
  PATH: 7,
  SIGNED: 8,
  OWN: 32,
} as const;

export const WatchSlot = {
  WANTED: 0,
  COUNTED: 1,
  SLOTS: 2,
} as const;

export const structs = {
  tcpx_ack_conn: {
    size: 88,
    fields: {
      rules: { offset: 0, type: "tcpx_rules" },
      ours: { offset: 16, type: "tcpx_exchange" },
      peers: { offset: 28, type: "tcpx_exchange" },
      ask: { offset: 40, type: "u32" },
      local: { offset: 44, type: "u32" },
      accept: { offset: 48, type: "u32" },
      local_us: { offset: 52, type: "u32" },
      accept_us: { offset: 56, type: "u32" },
      before_us: { offset: 60, type: "u32" },
      rule: { offset: 64, type: "u32" },
      delay_us: { offset: 68, type: "u32" },
      applied_us: { offset: 72, type: "u32" },
      every: { offset: 76, type: "u8" },
      divisor: { offset: 77, type: "u8" },
      floor: { offset: 78, type: "u8" },
      samples: { offset: 79, type: "u8" },
      tarr: { offset: 80, type: "u8" },
      tarr_asked: { offset: 81, type: "u8" },
      tarr_segments: { offset: 82, type: "u8" },
      tarr_seen: { offset: 83, type: "u8" },
      tarr_bits: { offset: 84, type: "u8" },
      marked: { offset: 85, type: "u8" },
      bound: { offset: 86, type: "u8" },
      waits: { offset: 87, type: "u8" },
    },
  },
  tcpx_cc_request_conn: {
    size: 64,
    fields: {
      rules: { offset: 0, type: "tcpx_rules" },
      exchange: { offset: 16, type: "tcpx_exchange" },
      allowed: { offset: 28, type: "u32" },
      local: { offset: 32, type: "u8" },
      applied: { offset: 33, type: "u8" },
      reserved: { offset: 34, type: "u8", dims: [6] },
      before: { offset: 40, type: "char", dims: [16] },
      ours_sum: { offset: 56, type: "u64" },
    },
  },
  tcpx_config: {
    size: 5760,
    fields: {
      layout: { offset: 0, type: "u32" },
      rule_count: { offset: 4, type: "u32" },
      scope: { offset: 8, type: "u64" },
      use_netns: { offset: 16, type: "u8" },
      use_ports: { offset: 17, type: "u8" },
      foreign: { offset: 18, type: "u8" },
      use_from: { offset: 19, type: "u8" },
      jiffy_us: { offset: 20, type: "u32" },
      version: { offset: 24, type: "char", dims: [32] },
      cgroup: { offset: 56, type: "char", dims: [4024] },
      base: { offset: 4080, type: "u64" },
      keeper: { offset: 4088, type: "u64" },
      no_reads: { offset: 4096, type: "u64" },
      site: { offset: 4104, type: "tcpx_site" },
      uses: { offset: 4504, type: "u32" },
      reserved: { offset: 4508, type: "u32" },
      places: { offset: 4512, type: "u16", dims: [16, 32] },
      kinds_to: { offset: 5536, type: "u32", dims: [16] },
      kinds_from: { offset: 5600, type: "u32", dims: [16] },
      exids: { offset: 5664, type: "u16", dims: [16, 3] },
    },
  },
  tcpx_conn: {
    size: 440,
    fields: {
      scope: { offset: 0, type: "u64" },
      since_ns: { offset: 8, type: "u64" },
      attempt_ns: { offset: 16, type: "u64" },
      attempt: { offset: 24, type: "u32" },
      first_byte: { offset: 28, type: "u32" },
      retrans: { offset: 32, type: "u32" },
      received: { offset: 36, type: "u32" },
      segments: { offset: 40, type: "u8" },
      silent: { offset: 41, type: "u8" },
      heard: { offset: 42, type: "u8" },
      fast_open: { offset: 43, type: "u8" },
      armed: { offset: 44, type: "u8" },
      flags_ours: { offset: 45, type: "u8" },
      unasked: { offset: 46, type: "u8" },
      slots_speak: { offset: 47, type: "u8" },
      reserved: { offset: 48, type: "u16" },
      written: { offset: 50, type: "u16" },
      slots_pending: { offset: 52, type: "u8" },
      slots_look: { offset: 53, type: "u8" },
      slots_listen: { offset: 54, type: "u8" },
      slots_await: { offset: 55, type: "u8" },
      news: { offset: 56, type: "u64" },
      header: { offset: 64, type: "tcpx_header" },
      states: { offset: 144, type: "tcpx_states" },
      room: { offset: 384, type: "u8", dims: [56] },
    },
  },
  tcpx_counters: {
    size: 2312,
    fields: {
      count: { offset: 0, type: "u64", dims: [16, 18] },
      error_line: { offset: 2304, type: "u32" },
      error_code: { offset: 2308, type: "s32" },
    },
  },
  tcpx_exchange: {
    size: 12,
    fields: {
      asked: { offset: 0, type: "u16" },
      answer: { offset: 2, type: "u16" },
      ask_bits: { offset: 4, type: "u16" },
      answer_bits: { offset: 6, type: "u16" },
      state: { offset: 8, type: "u8" },
      ask_seen: { offset: 9, type: "u8" },
      answer_seen: { offset: 10, type: "u8" },
      promised: { offset: 11, type: "u8" },
    },
  },
  tcpx_handover: {
    size: 872,
    fields: {
      at: { offset: 0, type: "u64" },
      netns: { offset: 8, type: "u64" },
      remote: { offset: 16, type: "u32", dims: [4] },
      local: { offset: 32, type: "u32", dims: [4] },
      ports: { offset: 48, type: "u32" },
      sequence: { offset: 52, type: "u32" },
      op: { offset: 56, type: "u32" },
      users: { offset: 60, type: "u32" },
      slots: { offset: 64, type: "u32" },
      pad: { offset: 68, type: "u32" },
      first: { offset: 72, type: "u64" },
      scope: { offset: 80, type: "u64" },
      options: { offset: 88, type: "u64", dims: [16, 5] },
      syn: { offset: 728, type: "tcpx_header" },
      asked: { offset: 808, type: "u16", dims: [16] },
      asks: { offset: 840, type: "u8", dims: [16] },
      notes: { offset: 856, type: "u8", dims: [16] },
    },
  },
  tcpx_header: {
    size: 80,
    fields: {
      bytes: { offset: 0, type: "u8", dims: [68] },
      len: { offset: 68, type: "u8" },
      at: { offset: 69, type: "u8" },
      flags: { offset: 70, type: "u8" },
      experiments: { offset: 71, type: "u8" },
      experiment_at: { offset: 72, type: "u8", dims: [4] },
      others: { offset: 76, type: "u8" },
      other_at: { offset: 77, type: "u8", dims: [3] },
    },
  },
  tcpx_held: {
    size: 128,
    fields: {
      event: { offset: 0, type: "u32" },
      netns: { offset: 4, type: "u32" },
      cookie: { offset: 8, type: "u64" },
      passed: { offset: 16, type: "u32" },
      mark: { offset: 20, type: "u32" },
      bound_if: { offset: 24, type: "u32" },
      ifindex: { offset: 28, type: "u32" },
      version: { offset: 32, type: "u8" },
      len: { offset: 33, type: "u8" },
      reserved: { offset: 34, type: "u8", dims: [2] },
      packet: { offset: 36, type: "u8", dims: [84] },
      unused: { offset: 120, type: "u8", dims: [4] },
    },
  },
  tcpx_iw_conn: {
    size: 32,
    fields: {
      rules: { offset: 0, type: "tcpx_rules" },
      exchange: { offset: 16, type: "tcpx_exchange" },
      local: { offset: 28, type: "u16" },
      most: { offset: 30, type: "u16" },
    },
  },
  tcpx_list_config: {
    size: 24,
    fields: {
      scope: { offset: 0, type: "u64" },
      conns_id: { offset: 8, type: "u32" },
      jiffy_us: { offset: 12, type: "u32" },
      no_reads: { offset: 16, type: "u64" },
    },
  },
  tcpx_list_slots: {
    size: 40,
    fields: {
      used: { offset: 0, type: "u32" },
      reserved: { offset: 4, type: "u32" },
      ids: { offset: 8, type: "u32", dims: [8] },
    },
  },
  tcpx_listed: {
    size: 368,
    fields: {
      cgroup: { offset: 0, type: "u64" },
      scope: { offset: 8, type: "u64" },
      local: { offset: 16, type: "u8", dims: [16] },
      remote: { offset: 32, type: "u8", dims: [16] },
      local_port: { offset: 48, type: "u16" },
      remote_port: { offset: 50, type: "u16" },
      netns: { offset: 52, type: "u32" },
      bound_if: { offset: 56, type: "u32" },
      uid: { offset: 60, type: "u32" },
      family: { offset: 64, type: "u8" },
      state: { offset: 65, type: "u8" },
      direction: { offset: 66, type: "u8" },
      flags: { offset: 67, type: "u8" },
      mark: { offset: 68, type: "u32" },
      user_timeout_ms: { offset: 72, type: "u32" },
      cwnd: { offset: 76, type: "u32" },
      srtt_us: { offset: 80, type: "u32" },
      delack_max: { offset: 84, type: "u32" },
      congestion: { offset: 88, type: "char", dims: [16] },
      keepalive_idle: { offset: 104, type: "u32" },
      keepalive_interval: { offset: 108, type: "u32" },
      keepalive_probes: { offset: 112, type: "u32" },
      written: { offset: 116, type: "u16" },
      silent: { offset: 118, type: "u8" },
      established: { offset: 119, type: "u8" },
      quickack: { offset: 120, type: "u8" },
      tos: { offset: 121, type: "u8" },
      reserved: { offset: 122, type: "u8", dims: [2] },
      states: { offset: 128, type: "tcpx_states" },
    },
  },
  tcpx_listed_slot: {
    size: 172,
    fields: {
      owner: { offset: 0, type: "u32" },
      rules: { offset: 4, type: "tcpx_rules" },
      ours: { offset: 20, type: "tcpx_exchange" },
      peers: { offset: 32, type: "tcpx_exchange" },
      value: { offset: 44, type: "u32", dims: [2, 16] },
    },
  },
  tcpx_live_order: {
    size: 160,
    fields: {
      scope: { offset: 0, type: "u64" },
      verb: { offset: 8, type: "u32" },
      ext: { offset: 12, type: "u32" },
      local: { offset: 16, type: "tcpx_rule" },
      ask: { offset: 88, type: "tcpx_rule" },
    },
  },
  tcpx_live_slot: {
    size: 16,
    fields: {
      owner: { offset: 0, type: "u32" },
      number: { offset: 4, type: "u32" },
      flags: { offset: 8, type: "u32" },
      reserved: { offset: 12, type: "u32" },
    },
  },
  tcpx_live_socket: {
    size: 232,
    fields: {
      cookie: { offset: 0, type: "u64" },
      netns_cookie: { offset: 8, type: "u64" },
      scopes: { offset: 16, type: "u64", dims: [8] },
      local_rules: { offset: 80, type: "u32", dims: [16] },
      ask_rules: { offset: 144, type: "u32", dims: [16] },
      state: { offset: 208, type: "u8" },
      family: { offset: 209, type: "u8" },
      direction: { offset: 210, type: "u8" },
      reserved: { offset: 211, type: "u8" },
      local_port: { offset: 212, type: "u16" },
      remote_port: { offset: 214, type: "u16" },
      remote: { offset: 216, type: "u8", dims: [16] },
    },
  },
  tcpx_live_tally: {
    size: 204,
    fields: {
      armed: { offset: 0, type: "u32" },
      syn_ack: { offset: 4, type: "u32" },
      error: { offset: 8, type: "s32" },
      restored: { offset: 12, type: "u32", dims: [16] },
      kept: { offset: 76, type: "u32", dims: [16] },
      failed: { offset: 140, type: "u32", dims: [16] },
    },
  },
  tcpx_live_target: {
    size: 12,
    fields: {
      order: { offset: 0, type: "u32" },
      error: { offset: 4, type: "s32" },
      result: { offset: 8, type: "u8" },
      said: { offset: 9, type: "u8" },
      note: { offset: 10, type: "u8" },
      reserved: { offset: 11, type: "u8" },
    },
  },
  tcpx_own_rules: {
    size: 8,
    fields: {
      taken: { offset: 0, type: "u32" },
      active: { offset: 4, type: "u32" },
    },
  },
  tcpx_path: {
    size: 16,
    fields: {
      until_ns: { offset: 0, type: "u64" },
      state: { offset: 8, type: "u8" },
      cause: { offset: 9, type: "u8" },
      reserved: { offset: 10, type: "u8", dims: [6] },
    },
  },
  tcpx_path_key: {
    size: 32,
    fields: {
      netns: { offset: 0, type: "u64" },
      address: { offset: 8, type: "u8", dims: [16] },
      port: { offset: 24, type: "u16" },
      any: { offset: 26, type: "u16" },
      reserved: { offset: 28, type: "u16", dims: [2] },
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
  tcpx_profile: {
    size: 8,
    fields: {
      reserved: { offset: 0, type: "u64" },
    },
  },
  tcpx_rule: {
    size: 72,
    fields: {
      flags: { offset: 0, type: "u8" },
      prefix: { offset: 1, type: "u8" },
      reserved: { offset: 2, type: "u8", dims: [2] },
      id: { offset: 4, type: "u32" },
      value: { offset: 8, type: "u32", dims: [16] },
    },
  },
  tcpx_rule_record: {
    size: 104,
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
      more: { offset: 48, type: "u32", dims: [14] },
    },
  },
  tcpx_rules: {
    size: 16,
    fields: {
      flags: { offset: 0, type: "u8", dims: [3] },
      outcome: { offset: 3, type: "u8" },
      ids: { offset: 4, type: "u32", dims: [3] },
    },
  },
  tcpx_served: {
    size: 8,
    fields: {
      flags: { offset: 0, type: "u32" },
      mark_bits: { offset: 4, type: "u32" },
    },
  },
  tcpx_site: {
    size: 400,
    fields: {
      old_exids: { offset: 0, type: "u16", dims: [8] },
      algorithms: { offset: 16, type: "tcpx_site_algorithm", dims: [8] },
      exids: { offset: 208, type: "tcpx_site_exid", dims: [48] },
    },
  },
  tcpx_site_algorithm: {
    size: 24,
    fields: {
      name: { offset: 0, type: "char", dims: [16] },
      number: { offset: 16, type: "u16" },
      reserved: { offset: 18, type: "u8", dims: [6] },
    },
  },
  tcpx_site_exid: {
    size: 4,
    fields: {
      ext: { offset: 0, type: "u8" },
      role: { offset: 1, type: "u8" },
      exid: { offset: 2, type: "u16" },
    },
  },
  tcpx_slot: {
    size: 16,
    fields: {
      owner: { offset: 0, type: "u32" },
      hooks: { offset: 4, type: "u32" },
      refused: { offset: 8, type: "u16" },
      kind: { offset: 10, type: "u8" },
      least: { offset: 11, type: "u8" },
      most: { offset: 12, type: "u8" },
      syn_ack_len: { offset: 13, type: "u8" },
      syn_ack_kinds: { offset: 14, type: "u8" },
      flags: { offset: 15, type: "u8" },
    },
  },
  tcpx_slot_config: {
    size: 136,
    fields: {
      words: { offset: 0, type: "u32" },
      reserved: { offset: 4, type: "u32" },
      at: { offset: 8, type: "tcpx_slot", dims: [8] },
    },
  },
  tcpx_slot_conn: {
    size: 440,
    fields: {
      rules: { offset: 0, type: "tcpx_rules" },
      ours: { offset: 16, type: "tcpx_exchange" },
      peers: { offset: 28, type: "tcpx_exchange" },
      owner: { offset: 40, type: "u32" },
      promise: { offset: 44, type: "s32" },
      out: { offset: 48, type: "u64", dims: [5] },
      out_len: { offset: 88, type: "u8" },
      seen: { offset: 89, type: "u8" },
      seen_at: { offset: 90, type: "u8" },
      seen_len: { offset: 91, type: "u8" },
      says: { offset: 92, type: "u8" },
      listens: { offset: 93, type: "u8" },
      answered: { offset: 94, type: "u8" },
      reason: { offset: 95, type: "u8" },
      wants: { offset: 96, type: "u8" },
      reserved: { offset: 97, type: "u8", dims: [3] },
      words: { offset: 100, type: "u32", dims: [16] },
      value: { offset: 164, type: "u32", dims: [3, 16] },
      room: { offset: 356, type: "u8", dims: [84] },
    },
  },
  tcpx_states: {
    size: 240,
    fields: {
      uto: { offset: 0, type: "tcpx_uto_conn" },
      cc_request: { offset: 56, type: "tcpx_cc_request_conn" },
      iw: { offset: 120, type: "tcpx_iw_conn" },
      ack: { offset: 152, type: "tcpx_ack_conn" },
    },
  },
  tcpx_thin_config: {
    size: 16,
    fields: {
      idle_ns: { offset: 0, type: "u64" },
      stall_ns: { offset: 8, type: "u64" },
    },
  },
  tcpx_thin_counters: {
    size: 104,
    fields: {
      count: { offset: 0, type: "u64", dims: [13] },
    },
  },
  tcpx_uto_conn: {
    size: 52,
    fields: {
      rules: { offset: 0, type: "tcpx_rules" },
      ask_ms: { offset: 16, type: "u32" },
      local_ms: { offset: 20, type: "u32" },
      least_ms: { offset: 24, type: "u32" },
      most_ms: { offset: 28, type: "u32" },
      remote_ms: { offset: 32, type: "u32" },
      applied_ms: { offset: 36, type: "u32" },
      before_ms: { offset: 40, type: "u32" },
      ask_bits: { offset: 44, type: "u16" },
      bits: { offset: 46, type: "u16" },
      seen: { offset: 48, type: "u8" },
      keepalive: { offset: 49, type: "u8" },
      reserved: { offset: 50, type: "u8", dims: [2] },
    },
  },
  tcpx_wanted: {
    size: 8,
    fields: {
      event: { offset: 0, type: "u32" },
      netns: { offset: 4, type: "u32" },
    },
  },
  tcpx_watch: {
    size: 40,
    fields: {
      until_ns: { offset: 0, type: "u64" },
      scope: { offset: 8, type: "u64" },
      netns: { offset: 16, type: "u32" },
      direction: { offset: 20, type: "u16" },
      reserved: { offset: 22, type: "u16" },
      news: { offset: 24, type: "u64" },
      lost: { offset: 32, type: "u64" },
    },
  },
  tcpx_watched: {
    size: 136,
    fields: {
      at_ns: { offset: 0, type: "u64" },
      scope: { offset: 8, type: "u64" },
      netns: { offset: 16, type: "u32" },
      local_port: { offset: 20, type: "u16" },
      remote_port: { offset: 22, type: "u16" },
      local: { offset: 24, type: "u8", dims: [16] },
      remote: { offset: 40, type: "u8", dims: [16] },
      family: { offset: 56, type: "u8" },
      direction: { offset: 57, type: "u8" },
      count: { offset: 58, type: "u8" },
      reserved: { offset: 59, type: "u8" },
      news: { offset: 60, type: "tcpx_watched_news", dims: [6] },
    },
  },
  tcpx_watched_news: {
    size: 12,
    fields: {
      asked: { offset: 0, type: "u32" },
      granted: { offset: 4, type: "u32" },
      ext: { offset: 8, type: "u8" },
      event: { offset: 9, type: "u8" },
      reason: { offset: 10, type: "u8" },
      reserved: { offset: 11, type: "u8" },
    },
  },
} as const;
