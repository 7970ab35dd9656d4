/* The names below /proc/PID and /proc/PID/task/TID (proc(5)). */
#include "fs/proc_content.h"

#define DIRECTORY (S_IFDIR | 0555)
#define FOLDER(name) {.path = (name), .mode = DIRECTORY}
#define FILE_0444 (S_IFREG | 0444)
#define FILE_0400 (S_IFREG | 0400)
#define FILE_0644 (S_IFREG | 0644)
#define LINK (S_IFLNK | 0777)

/* There is one of each, and no way into another: the numbers are those of Linux's first ones. */
#define NAMESPACE(name, text) {"ns/" name, LINK, .fixed = (text), .is_private = true}
#define ALL_IDS "         0          0 4294967295\n"

/* In both. */
#define ROWS_OF_EACH \
    {"cgroup", FILE_0444, .fixed = "0::/\n"}, \
    {"auxv", FILE_0400, .content = proc_auxiliary_vector, .is_private = true}, \
    {"cmdline", FILE_0444, .content = proc_cmdline}, \
    {"comm", FILE_0644, .content = proc_comm, .write = proc_set_comm}, \
    {"cpuset", FILE_0444, .fixed = "/\n"}, \
    {"cwd", LINK, .target = proc_working_directory_target, .jump = proc_working_directory_jump, .is_private = true}, \
    {"environ", FILE_0400, .content = proc_environ, .is_private = true}, \
    {"exe", LINK, .target = proc_executable_target, .jump = proc_executable_jump, .is_private = true}, \
    {"fd", S_IFDIR | 0500, .lookup = proc_descriptor_lookup, .list = proc_descriptor_list}, \
    {"fdinfo", DIRECTORY, .lookup = proc_descriptor_info_lookup, .list = proc_descriptor_info_list, .is_private = true}, \
    {"gid_map", FILE_0644, .fixed = ALL_IDS}, \
    {"io", FILE_0400, .content = proc_io, .is_private = true}, \
    {"limits", FILE_0444, .content = proc_limits}, \
    {"loginuid", FILE_0644, .fixed = "4294967295"}, \
    {"maps", FILE_0444, .content = proc_maps, .is_private = true}, \
    {"mountinfo", FILE_0444, .system = proc_mountinfo}, \
    {"mounts", FILE_0444, .system = proc_mounts}, \
    FOLDER("net"), \
    {"net/dev", FILE_0444, .system = proc_net_devices}, \
    {"net/if_inet6", FILE_0444, .system = proc_net_ipv6_addresses}, \
    {"net/tcp", FILE_0444, .system = proc_net_tcp}, \
    {"net/tcp6", FILE_0444, .system = proc_net_tcp6}, \
    {"net/udp", FILE_0444, .system = proc_net_udp}, \
    {"net/udp6", FILE_0444, .system = proc_net_udp6}, \
    {"net/unix", FILE_0444, .system = proc_net_unix}, \
    {"net/route", FILE_0444, .system = proc_net_routes}, \
    {"net/arp", FILE_0444, .system = proc_net_neighbours}, \
    {"net/snmp", FILE_0444, .system = proc_net_counters}, \
    {"net/sockstat", FILE_0444, .system = proc_net_sockets}, \
    {"net/sockstat6", FILE_0444, .system = proc_net_sockets6}, \
    {"ns", S_IFDIR | 0511, .is_private = true}, \
    NAMESPACE("cgroup", "cgroup:[4026531835]"), \
    NAMESPACE("ipc", "ipc:[4026531839]"), \
    NAMESPACE("mnt", "mnt:[4026531841]"), \
    NAMESPACE("net", "net:[4026531840]"), \
    NAMESPACE("pid", "pid:[4026531836]"), \
    NAMESPACE("pid_for_children", "pid:[4026531836]"), \
    NAMESPACE("time", "time:[4026531834]"), \
    NAMESPACE("time_for_children", "time:[4026531834]"), \
    NAMESPACE("user", "user:[4026531837]"), \
    NAMESPACE("uts", "uts:[4026531838]"), \
    {"oom_adj", FILE_0644, .content = proc_oom_adj, .write = proc_set_oom_adj}, \
    {"oom_score", FILE_0444, .content = proc_oom_score}, \
    {"oom_score_adj", FILE_0644, .content = proc_oom_score_adj, .write = proc_set_oom_score_adj}, \
    {"pagemap", FILE_0400, .read_at = proc_pagemap, .is_private = true}, \
    {"personality", FILE_0400, .content = proc_personality, .is_private = true}, \
    {"root", LINK, .target = proc_root_target, .jump = proc_root_jump, .is_private = true}, \
    {"schedstat", FILE_0444, .content = proc_schedule_statistics}, \
    {"sessionid", FILE_0444, .fixed = "4294967295"}, \
    {"setgroups", FILE_0644, .fixed = "allow\n"}, \
    {"smaps", FILE_0444, .content = proc_smaps, .is_private = true}, \
    {"smaps_rollup", FILE_0444, .content = proc_smaps_rollup, .is_private = true}, \
    {"stat", FILE_0444, .content = proc_process_stat}, \
    {"statm", FILE_0444, .content = proc_statm}, \
    {"status", FILE_0444, .content = proc_status}, \
    {"syscall", FILE_0400, .content = proc_system_call}, \
    {"uid_map", FILE_0644, .fixed = ALL_IDS}, \
    {"wchan", FILE_0444, .fixed = "0"}

static const struct proc_row process_rows[] = {
    FOLDER(""),
    ROWS_OF_EACH,
    {"coredump_filter", FILE_0444, .fixed = "00000033\n"},
    {"task", DIRECTORY, .lookup = proc_thread_lookup, .list = proc_thread_list},
    {"timerslack_ns", S_IFREG | 0666, .content = proc_timer_slack, .write = proc_set_timer_slack},
};

static const struct proc_row thread_rows[] = {
    FOLDER(""),
    ROWS_OF_EACH,
    {"children", FILE_0444, .content = proc_children},
};

const struct proc_table proc_process_table = {process_rows, ARRAY_LENGTH(process_rows)};
const struct proc_table proc_thread_table = {thread_rows, ARRAY_LENGTH(thread_rows)};
