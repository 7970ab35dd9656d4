#include "fs/proc.h"

#include "fs/inotify.h"
#include "fs/lease.h"
#include "fs/mqueue.h"
#include "fs/pipe.h"
#include "fs/proc_content.h"
#include "fs/pty.h"
#include "process/process.h"

const struct file_system proc_file_system = {.type = "proc",
    .magic = 0x9FA0,
    .device = 0x33,
    .read_only = true,
    .forbids_exec = true,
    .has_no_blocks = true};
static const struct file_system sys_file_system = {.type = "sysfs",
    .magic = 0x62656572,
    .device = 0x34,
    .read_only = true,
    .forbids_exec = true,
    .has_no_blocks = true};

#define LINE_OF(number) #number "\n"
#define NUMBER_LINE(constant) LINE_OF(constant)

/* There is one of each, and no way into another: the numbers are those of Linux's first ones. */
#define NAMESPACE(name, text) {"ns/" name, LINK, .fixed = (text), .has_owner = true}
#define ALL_IDS "         0          0 4294967295\n"

#define DIRECTORY (S_IFDIR | 0555)
#define DIRECTORY_AT(name) {.path = (name), .mode = DIRECTORY}
#define FILE_0444 (S_IFREG | 0444)
#define FILE_0400 (S_IFREG | 0400)
#define FILE_0644 (S_IFREG | 0644)
#define LINK (S_IFLNK | 0777)

static const struct synthetic_row proc_rows[] = {
    {"", DIRECTORY, .lookup = proc_process_lookup, .list = proc_process_list},
    {"self", LINK, .target = proc_self},
    {"thread-self", LINK, .target = proc_thread_self},
    {"mounts", LINK, .fixed = "self/mounts"},
    {"net", LINK, .fixed = "self/net"},
    {"cpuinfo", FILE_0444, .content = proc_cpuinfo},
    {"filesystems", FILE_0444, .fixed = "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevpts\nnodev\toverlay\n"},
    {"loadavg", FILE_0444, .fixed = "0.00 0.00 0.00 1/1 1\n"},
    {"meminfo", FILE_0444, .content = proc_meminfo},
    {"stat", FILE_0444, .content = proc_stat},
    {"swaps", FILE_0444, .fixed = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"},
    {"uptime", FILE_0444, .content = proc_uptime},
    {"version", FILE_0444, .content = proc_version},
    DIRECTORY_AT("sysvipc"),
    {"sysvipc/msg", FILE_0444, .content = proc_message_queues},
    {"sysvipc/sem", FILE_0444, .content = proc_semaphores},
    {"sysvipc/shm", FILE_0444, .content = proc_shared_segments},
    DIRECTORY_AT("sys"),
    DIRECTORY_AT("sys/fs"),
    DIRECTORY_AT("sys/fs/inotify"),
    {"sys/fs/inotify/max_queued_events", FILE_0444, .fixed = NUMBER_LINE(INOTIFY_QUEUE_MAX)},
    {"sys/fs/inotify/max_user_instances", FILE_0444, .fixed = NUMBER_LINE(INOTIFY_INSTANCES_MAX)},
    {"sys/fs/inotify/max_user_watches", FILE_0444, .fixed = NUMBER_LINE(INOTIFY_WATCHES_MAX)},
    {"sys/fs/lease-break-time", FILE_0444, .fixed = NUMBER_LINE(LEASE_BREAK_SECONDS)},
    {"sys/fs/leases-enable", FILE_0444, .fixed = "1\n"},
    DIRECTORY_AT("sys/fs/mqueue"),
    {"sys/fs/mqueue/msg_default", FILE_0444, .fixed = NUMBER_LINE(MQ_MESSAGES_DEFAULT)},
    {"sys/fs/mqueue/msg_max", FILE_0444, .fixed = NUMBER_LINE(MQ_MESSAGES_MAX)},
    {"sys/fs/mqueue/msgsize_default", FILE_0444, .fixed = NUMBER_LINE(MQ_SIZE_DEFAULT)},
    {"sys/fs/mqueue/msgsize_max", FILE_0444, .fixed = NUMBER_LINE(MQ_SIZE_MAX)},
    {"sys/fs/mqueue/queues_max", FILE_0444, .fixed = NUMBER_LINE(MQ_QUEUES_MAX)},
    {"sys/fs/nr_open", FILE_0444, .fixed = "1048576\n"},
    {"sys/fs/overflowgid", FILE_0444, .fixed = "65534\n"},
    {"sys/fs/overflowuid", FILE_0444, .fixed = "65534\n"},
    {"sys/fs/pipe-max-size", FILE_0444, .fixed = NUMBER_LINE(PIPE_SIZE_MAX)},
    {"sys/fs/pipe-user-pages-soft", FILE_0444, .fixed = NUMBER_LINE(PIPE_PAGES_SOFT)},
    {"sys/fs/pipe-user-pages-hard", FILE_0444, .fixed = "0\n"},
    DIRECTORY_AT("sys/kernel"),
    {"sys/kernel/cap_last_cap", FILE_0444, .fixed = "40\n"},
    {"sys/kernel/domainname", FILE_0444, .fixed = "(none)\n"},
    {"sys/kernel/hostname", FILE_0444, .content = proc_hostname},
    {"sys/kernel/msgmax", FILE_0444, .fixed = "8192\n"},
    {"sys/kernel/msgmnb", FILE_0444, .fixed = "16384\n"},
    {"sys/kernel/msgmni", FILE_0444, .fixed = "32000\n"},
    {"sys/kernel/ngroups_max", FILE_0444, .fixed = NUMBER_LINE(GROUPS_MAX)},
    {"sys/kernel/osrelease", FILE_0444, .fixed = KERNEL_RELEASE "\n"},
    {"sys/kernel/ostype", FILE_0444, .fixed = "Linux\n"},
    {"sys/kernel/overflowgid", FILE_0444, .fixed = "65534\n"},
    {"sys/kernel/overflowuid", FILE_0444, .fixed = "65534\n"},
    {"sys/kernel/pid_max", FILE_0444, .fixed = "32768\n"},
    DIRECTORY_AT("sys/kernel/pty"),
    {"sys/kernel/pty/max", FILE_0444, .fixed = NUMBER_LINE(PTYS_MAX)},
    {"sys/kernel/pty/nr", FILE_0444, .content = proc_pty_count},
    {"sys/kernel/shmall", FILE_0444, .fixed = "18446744073692774399\n"},
    {"sys/kernel/shmmax", FILE_0444, .fixed = "18446744073692774399\n"},
    {"sys/kernel/shmmni", FILE_0444, .fixed = "4096\n"},
    {"sys/kernel/sem", FILE_0444, .fixed = "32000\t1024000000\t500\t32000\n"},
    {"sys/kernel/tainted", FILE_0444, .fixed = "0\n"},
    {"sys/kernel/threads-max", FILE_0444, .content = proc_threads_max},
    {"sys/kernel/version", FILE_0444, .fixed = KERNEL_VERSION "\n"},
    DIRECTORY_AT("sys/kernel/random"),
    {"sys/kernel/random/boot_id", FILE_0444, .content = proc_boot_id},
    {"sys/kernel/random/uuid", FILE_0444, .content = proc_uuid},
    DIRECTORY_AT("sys/net"),
    DIRECTORY_AT("sys/net/core"),
    {"sys/net/core/somaxconn", FILE_0444, .fixed = "4096\n"},
    DIRECTORY_AT("sys/vm"),
    {"sys/vm/max_map_count", FILE_0444, .fixed = "65530\n"},
    {"sys/vm/mmap_min_addr", FILE_0444, .fixed = "65536\n"},
    {"sys/vm/nr_hugepages", FILE_0444, .fixed = "0\n"},
    {"sys/vm/overcommit_memory", FILE_0444, .fixed = "0\n"},
};

/* Of the calling process: it alone is there, as under `hidepid=2` of proc(5). */
static const struct synthetic_row process_rows[] = {
    {"", DIRECTORY, .has_owner = true},
    {"cgroup", FILE_0444, .fixed = "0::/\n", .has_owner = true},
    {"auxv", FILE_0400, .content = proc_auxiliary_vector, .has_owner = true},
    {"cmdline", FILE_0444, .content = proc_cmdline, .has_owner = true},
    {"coredump_filter", FILE_0644, .fixed = "00000033\n", .has_owner = true},
    {"cpuset", FILE_0444, .fixed = "/\n", .has_owner = true},
    {"comm", FILE_0644, .content = proc_comm, .has_owner = true},
    {"cwd", LINK, .target = proc_working_directory_target, .jump = proc_working_directory_jump, .has_owner = true},
    {"environ", FILE_0400, .content = proc_environ, .has_owner = true},
    {"exe", LINK, .target = proc_executable_target, .jump = proc_executable_jump, .has_owner = true},
    {"fd", S_IFDIR | 0500, .lookup = proc_descriptor_lookup, .list = proc_descriptor_list, .has_owner = true},
    {"fdinfo", S_IFDIR | 0500, .lookup = proc_descriptor_info_lookup, .list = proc_descriptor_info_list, .has_owner = true},
    {"io", FILE_0400, .content = proc_io, .has_owner = true},
    {"limits", FILE_0444, .content = proc_limits, .has_owner = true},
    {"maps", FILE_0444, .content = proc_maps, .has_owner = true},
    {"mountinfo", FILE_0444, .content = proc_mountinfo, .has_owner = true},
    {"mounts", FILE_0444, .content = proc_mounts, .has_owner = true},
    {"net", DIRECTORY, .has_owner = true},
    {"net/dev", FILE_0444, .content = proc_net_devices},
    {"net/if_inet6", FILE_0444, .content = proc_net_ipv6_addresses},
    {"net/tcp", FILE_0444, .content = proc_net_tcp},
    {"net/tcp6", FILE_0444, .content = proc_net_tcp6},
    {"net/udp", FILE_0444, .content = proc_net_udp},
    {"net/udp6", FILE_0444, .content = proc_net_udp6},
    {"net/unix", FILE_0444, .content = proc_net_unix},
    {"net/route", FILE_0444, .content = proc_net_routes},
    {"net/arp", FILE_0444, .content = proc_net_neighbours},
    {"net/snmp", FILE_0444, .content = proc_net_counters},
    {"net/sockstat", FILE_0444, .content = proc_net_sockets},
    {"net/sockstat6", FILE_0444, .content = proc_net_sockets6},
    DIRECTORY_AT("ns"),
    NAMESPACE("cgroup", "cgroup:[4026531835]"),
    NAMESPACE("ipc", "ipc:[4026531839]"),
    NAMESPACE("mnt", "mnt:[4026531841]"),
    NAMESPACE("net", "net:[4026531840]"),
    NAMESPACE("pid", "pid:[4026531836]"),
    NAMESPACE("pid_for_children", "pid:[4026531836]"),
    NAMESPACE("time", "time:[4026531834]"),
    NAMESPACE("time_for_children", "time:[4026531834]"),
    NAMESPACE("user", "user:[4026531837]"),
    NAMESPACE("uts", "uts:[4026531838]"),
    {"gid_map", FILE_0444, .fixed = ALL_IDS, .has_owner = true},
    {"uid_map", FILE_0444, .fixed = ALL_IDS, .has_owner = true},
    {"setgroups", FILE_0444, .fixed = "allow\n", .has_owner = true},
    {"loginuid", FILE_0444, .fixed = "4294967295", .has_owner = true},
    {"sessionid", FILE_0444, .fixed = "4294967295", .has_owner = true},
    {"oom_adj", FILE_0644, .fixed = "0\n", .has_owner = true},
    {"oom_score", FILE_0444, .fixed = "0\n", .has_owner = true},
    {"oom_score_adj", FILE_0644, .fixed = "0\n", .has_owner = true},
    {"pagemap", FILE_0400, .read_at = proc_pagemap, .has_owner = true},
    {"personality", FILE_0400, .fixed = "00000000\n", .has_owner = true},
    {"root", LINK, .fixed = "/", .has_owner = true},
    {"schedstat", FILE_0444, .content = proc_schedule_statistics, .has_owner = true},
    {"smaps", FILE_0444, .content = proc_smaps, .has_owner = true},
    {"smaps_rollup", FILE_0444, .content = proc_smaps_rollup, .has_owner = true},
    {"stat", FILE_0444, .content = proc_process_stat, .has_owner = true},
    {"statm", FILE_0444, .content = proc_statm, .has_owner = true},
    {"status", FILE_0444, .content = proc_status, .has_owner = true},
    {"syscall", FILE_0400, .fixed = "running\n", .has_owner = true},
    {"wchan", FILE_0444, .fixed = "0", .has_owner = true},
    {"timerslack_ns", FILE_0444, .content = proc_timer_slack, .has_owner = true},
    {"task", DIRECTORY, .lookup = proc_task_lookup, .list = proc_task_list, .has_owner = true},
};

static const struct synthetic_row task_rows[] = {
    {"", DIRECTORY, .has_owner = true},
    {"comm", FILE_0644, .content = proc_comm, .has_owner = true},
    {"stat", FILE_0444, .content = proc_process_stat, .has_owner = true},
    {"status", FILE_0444, .content = proc_status, .has_owner = true},
    {"maps", FILE_0444, .content = proc_maps, .has_owner = true},
    {"smaps", FILE_0444, .content = proc_smaps, .has_owner = true},
};

int64_t proc_create(struct inode **root)
{
    const struct name self = {.bytes = "self", .length = 4};
    int64_t result = synthetic_create(&proc_file_system, task_rows, ARRAY_LENGTH(task_rows), &task_directory);
    result = result < 0 ? result
                        : synthetic_create(&proc_file_system, process_rows, ARRAY_LENGTH(process_rows), &process_directory);
    result = result < 0 ? result : synthetic_create(&proc_file_system, proc_rows, ARRAY_LENGTH(proc_rows), root);
    return result < 0 ? result : inode_place(process_directory, *root, self);
}

static const struct synthetic_row sys_rows[] = {
    DIRECTORY_AT(""),
    DIRECTORY_AT("devices"),
    DIRECTORY_AT("devices/system"),
    {"devices/system/cpu", DIRECTORY, .lookup = processor_lookup, .list = processor_list},
    {"devices/system/cpu/online", FILE_0444, .content = proc_processor_list},
    {"devices/system/cpu/possible", FILE_0444, .content = proc_processor_list},
    {"devices/system/cpu/present", FILE_0444, .content = proc_processor_list},
    DIRECTORY_AT("fs"),
    DIRECTORY_AT("fs/cgroup"),
    DIRECTORY_AT("kernel"),
    DIRECTORY_AT("kernel/mm"),
    DIRECTORY_AT("kernel/mm/transparent_hugepage"),
    {"kernel/mm/transparent_hugepage/defrag", FILE_0444, .fixed = "always defer defer+madvise madvise [never]\n"},
    {"kernel/mm/transparent_hugepage/enabled", FILE_0444, .fixed = "always madvise [never]\n"},
    {"kernel/mm/transparent_hugepage/shmem_enabled", FILE_0444,
        .fixed = "always within_size advise [never] deny force\n"},
};

static const struct synthetic_row processor_rows[] = {DIRECTORY_AT("")};

int64_t sys_create(struct inode **root)
{
    int64_t result = synthetic_create(&sys_file_system, processor_rows, ARRAY_LENGTH(processor_rows), &processor_directory);
    return result < 0 ? result
                      : synthetic_create(&sys_file_system, sys_rows, ARRAY_LENGTH(sys_rows), root);
}
