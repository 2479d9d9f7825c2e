// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Never loaded: its BTF is what cli/loader/layout.generated.ts is made of. */
#define TCPX_IN_LAYOUT
#include "tcpx_shared.h"

enum tcpx_ext ext;
enum tcpx_kind kind;
enum tcpx_rule_flag rule_flag;
enum tcpx_direction direction;
enum tcpx_family family;
enum tcpx_counter counter;
enum tcpx_request_state request_state;
enum tcpx_outcome outcome;
enum tcpx_thin_counter thin_counter;
struct tcpx_policy_key policy_key;
struct tcpx_rule_record rule_record;
struct tcpx_config config;
struct tcpx_site site;
struct tcpx_counters counters;
struct tcpx_conn conn;
struct tcpx_handover handover;
struct tcpx_exchange exchange;
struct tcpx_rule rule;
struct tcpx_own_rules own_rules;
struct tcpx_profile profile;
enum tcpx_role role;
enum tcpx_header_flag header_flag;
struct tcpx_thin_counters thin_counters;
enum tcpx_served_flag served_flag;
struct tcpx_served served;
enum tcpx_thin_event thin_event;
struct tcpx_held held;
struct tcpx_wanted wanted;
struct tcpx_thin_config thin_config;
enum tcpx_silence silence;
enum tcpx_list_flag list_flag;
enum tcpx_quickack quickack;
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
struct tcpx_path_key path_key;
struct tcpx_path path;
enum tcpx_path_state path_state;
enum tcpx_path_cause path_cause;
struct tcpx_watched_news watched_news;
struct tcpx_watched watched;
struct tcpx_watch watch;
