#include "fs/proc.h"

#include "fs/aio.h"
#include "fs/device.h"
#include "fs/file_lock.h"
#include "fs/inotify.h"
#include "fs/lease.h"
#include "fs/mqueue.h"
#include "fs/pipe.h"
#include "fs/proc_content.h"
#include "fs/pty.h"
#include "process/process.h"

const struct file_system proc_file_system = {.type = "proc",
    .magic = PROC_MAGIC,
    .device = PROC_DEVICE,
    .read_only = true,
    .forbids_exec = true,
    .has_no_blocks = true};
const struct file_system sys_file_system = {.type = "sysfs",
    .magic = 0x62656572,
    .device = 0x34,
    .read_only = true,
    .forbids_exec = true,
    .has_no_blocks = true};

#define LINE_OF(number) #number "\n"
#define NUMBER_LINE(constant) LINE_OF(constant)

#define DIRECTORY (S_IFDIR | 0555)
#define DIRECTORY_AT(name) {.path = (name), .mode = DIRECTORY}
#define FILE_0444 (S_IFREG | 0444)
#define LINK (S_IFLNK | 0777)

const char proc_file_systems[] = "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevpts\nnodev\toverlay\n";

static const struct synthetic_row proc_rows[] = {
    {"", DIRECTORY, .lookup = proc_process_lookup, .list = proc_process_list},
    {"self", LINK, .target = proc_self},
    {"thread-self", LINK, .target = proc_thread_self},
    {"mounts", LINK, .fixed = "self/mounts"},
    {"net", LINK, .fixed = "self/net"},
    {"cpuinfo", FILE_0444, .content = proc_cpuinfo},
    {"filesystems", FILE_0444, .fixed = proc_file_systems},
    {"loadavg", FILE_0444, .content = proc_load},
    {"locks", FILE_0444, .content = file_locks_tell},
    {"meminfo", FILE_0444, .content = proc_meminfo},
    {"stat", FILE_0444, .content = proc_stat},
    {"swaps", FILE_0444, .fixed = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"},
    {"uptime", FILE_0444, .content = proc_uptime},
    {"vmstat", FILE_0444, .content = proc_vmstat},
    {"version", FILE_0444, .content = proc_version},
    DIRECTORY_AT("sysvipc"),
    {"sysvipc/msg", FILE_0444, .content = proc_message_queues},
    {"sysvipc/sem", FILE_0444, .content = proc_semaphores},
    {"sysvipc/shm", FILE_0444, .content = proc_shared_segments},
    DIRECTORY_AT("sys"),
    DIRECTORY_AT("sys/fs"),
    {"sys/fs/aio-max-nr", FILE_0444, .fixed = NUMBER_LINE(AIO_EVENTS_MAX)},
    {"sys/fs/aio-nr", FILE_0444, .content = proc_aio_events},
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
    {"sys/kernel/core_pattern", FILE_0444, .fixed = "core\n"},
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
    {"sys/kernel/random/entropy_avail", FILE_0444, .fixed = NUMBER_LINE(ENTROPY_BITS)},
    {"sys/kernel/random/poolsize", FILE_0444, .fixed = NUMBER_LINE(ENTROPY_BITS)},
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

int64_t proc_create(struct inode **root)
{
    return synthetic_create(&proc_file_system, proc_rows, ARRAY_LENGTH(proc_rows), root);
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

int64_t sys_create(struct inode **root)
{
    return synthetic_create(&sys_file_system, sys_rows, ARRAY_LENGTH(sys_rows), root);
}
