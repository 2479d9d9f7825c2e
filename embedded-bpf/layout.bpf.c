// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Never loaded: its BTF is what cli/loader/layout.generated.ts is made of. */
#include "tcpx_shared.h"

enum tcpx_ext ext;
enum tcpx_kind kind;
enum tcpx_rule_flag rule_flag;
enum tcpx_direction direction;
enum tcpx_family family;
enum tcpx_counter counter;
enum tcpx_exid exid;
enum tcpx_algorithm algorithm;
enum tcpx_request_state request_state;
enum tcpx_ack_field ack_field;
enum tcpx_thin_counter thin_counter;
struct tcpx_policy_key policy_key;
struct tcpx_policy policy;
struct tcpx_rule_record rule_record;
struct tcpx_config config;
struct tcpx_counters counters;
struct tcpx_conn conn;
struct tcpx_handover handover;
struct tcpx_request_conn request_conn;
struct tcpx_ack_conn ack_conn;
struct tcpx_thin_counters thin_counters;
enum tcpx_served_flag served_flag;
enum tcpx_thin_event thin_event;
struct tcpx_held held;
struct tcpx_wanted wanted;
struct tcpx_thin_config thin_config;
enum tcpx_silence silence;
enum tcpx_tarr_flag tarr_flag;
enum tcpx_list_flag list_flag;
struct tcpx_list_config list_config;
struct tcpx_listed listed;
struct tcpx_live_socket live_socket;
struct tcpx_live_order live_order;
struct tcpx_live_target live_target;
struct tcpx_live_tally live_tally;
enum tcpx_live_verb live_verb;
enum tcpx_live_result live_result;
enum tcpx_live_said live_said;
enum tcpx_watch_event watch_event;
enum tcpx_watch_reason watch_reason;
enum tcpx_watch_slot watch_slot;
struct tcpx_watched_news watched_news;
struct tcpx_watched watched;
struct tcpx_watch watch;
