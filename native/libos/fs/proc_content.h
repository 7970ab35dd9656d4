/* What stands in the files of /proc and /sys: proc.c has the table. */
#ifndef ENCLAVIZE_FS_PROC_CONTENT_H
#define ENCLAVIZE_FS_PROC_CONTENT_H

#include "fs/synthetic.h"

extern const struct file_system proc_file_system;

#define KIB_PER_PAGE (PAGE_SIZE / 1024)

/* In units of USER_HZ, which is 100. */
static inline uint64_t ticks(uint64_t ns)
{
    return ns / 10000000;
}

/* The machine (proc_system.c). */
void proc_meminfo(struct text *text);
void proc_uptime(struct text *text);
void proc_version(struct text *text);
void proc_hostname(struct text *text);
void proc_pty_count(struct text *text);
void proc_threads_max(struct text *text);
void proc_boot_id(struct text *text);
void proc_uuid(struct text *text);
void proc_mountinfo(struct text *text);
void proc_mounts(struct text *text);

/* Processors (proc_processors.c). */
void proc_cpuinfo(struct text *text);
void proc_stat(struct text *text);
void proc_processor_list(struct text *text);
void proc_add_processors(struct text *text, uint64_t mask);
int64_t processor_lookup(struct name name, struct inode **found);
int64_t processor_list(uint64_t cookie, entry_sink *sink, void *context);
/* What every /sys/devices/system/cpu/cpuN is: empty. */
extern struct inode *processor_directory;

/* The network (proc_net.c). */
void proc_net_devices(struct text *text);
void proc_net_ipv6_addresses(struct text *text);
void proc_net_tcp(struct text *text);
void proc_net_tcp6(struct text *text);
void proc_net_udp(struct text *text);
void proc_net_udp6(struct text *text);
void proc_net_unix(struct text *text);
void proc_net_routes(struct text *text);
void proc_net_neighbours(struct text *text);
void proc_net_counters(struct text *text);
void proc_net_sockets(struct text *text);
void proc_net_sockets6(struct text *text);

/* System V IPC (proc_ipc.c). */
void proc_semaphores(struct text *text);
void proc_shared_segments(struct text *text);
void proc_message_queues(struct text *text);

/* The process and its threads (proc_process.c). */
int64_t proc_self(char *to, size_t size);
int64_t proc_thread_self(char *to, size_t size);
int64_t proc_process_lookup(struct name name, struct inode **found);
int64_t proc_process_list(uint64_t cookie, entry_sink *sink, void *context);
void proc_cmdline(struct text *text);
void proc_comm(struct text *text);
void proc_timer_slack(struct text *text);
int64_t proc_working_directory_target(char *to, size_t size);
int64_t proc_working_directory_jump(struct inode **target, struct open_name **name);
void proc_environ(struct text *text);
int64_t proc_executable_target(char *to, size_t size);
int64_t proc_executable_jump(struct inode **target, struct open_name **name);
void proc_limits(struct text *text);
void proc_auxiliary_vector(struct text *text);
void proc_schedule_statistics(struct text *text);
void proc_io(struct text *text);
void proc_process_stat(struct text *text);
void proc_statm(struct text *text);
void proc_status(struct text *text);
int64_t proc_task_lookup(struct name name, struct inode **found);
int64_t proc_task_list(uint64_t cookie, entry_sink *sink, void *context);

/* Its memory (proc_memory.c). */
void proc_maps(struct text *text);
void proc_smaps(struct text *text);
void proc_smaps_rollup(struct text *text);
int64_t proc_pagemap(void *to, size_t length, uint64_t offset);

/* Its descriptors (proc_descriptors.c). */
int64_t proc_descriptor_lookup(struct name name, struct inode **found);
int64_t proc_descriptor_list(uint64_t cookie, entry_sink *sink, void *context);
int64_t proc_descriptor_info_lookup(struct name name, struct inode **found);
int64_t proc_descriptor_info_list(uint64_t cookie, entry_sink *sink, void *context);

/* A decimal number without leading zeros, or -1. */
int64_t proc_number_of(struct name name);
struct name proc_name_of_number(char buffer[16], int64_t number);

/* What every /proc/self/task/TID is: all threads look alike. */
extern struct inode *task_directory;
/* What /proc/PID is for the process that looks. */
extern struct inode *process_directory;

#endif
