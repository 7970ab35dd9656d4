/* What stands in the files of /proc and /sys: proc.c and proc_rows.c have the tables. */
#ifndef ENCLAVIZE_FS_PROC_CONTENT_H
#define ENCLAVIZE_FS_PROC_CONTENT_H

#include "fs/proc_entry.h"

extern const struct file_system proc_file_system;
#define PROC_MAGIC 0x9FA0
#define PROC_DEVICE 0x33

#define KIB_PER_PAGE (PAGE_SIZE / 1024)

/* In units of USER_HZ, which is 100. */
static inline uint64_t ticks(uint64_t ns)
{
    return ns / 10000000;
}

/* The machine (proc_system.c). */
void proc_meminfo(struct text *text);
void proc_vmstat(struct text *text);
void proc_uptime(struct text *text);
void proc_load(struct text *text);
void proc_version(struct text *text);
void proc_hostname(struct text *text);
void proc_aio_events(struct text *text);
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
int64_t processor_lookup(struct inode *directory, struct name name, struct inode **found);
int64_t processor_list(uint64_t cookie, entry_sink *sink, void *context);
extern const struct file_system sys_file_system;

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

/* Processes and their threads (proc_process.c, proc_status.c). */
int64_t proc_self(char *to, size_t size);
int64_t proc_thread_self(char *to, size_t size);
int64_t proc_process_lookup(struct inode *directory, struct name name, struct inode **found);
int64_t proc_process_list(uint64_t cookie, entry_sink *sink, void *context);
int64_t proc_thread_lookup(struct proc_entry *entry, struct name name, struct inode **found);
int64_t proc_thread_list(const struct proc_entry *entry, uint64_t cookie, entry_sink *sink, void *context);
int64_t proc_children(struct text *text, const struct proc_entry *entry);
int64_t proc_cmdline(struct text *text, const struct proc_entry *entry);
int64_t proc_environ(struct text *text, const struct proc_entry *entry);
int64_t proc_auxiliary_vector(struct text *text, const struct proc_entry *entry);
int64_t proc_comm(struct text *text, const struct proc_entry *entry);
int64_t proc_set_comm(const struct proc_entry *entry, const char *bytes, size_t length);
int64_t proc_timer_slack(struct text *text, const struct proc_entry *entry);
int64_t proc_set_timer_slack(const struct proc_entry *entry, const char *bytes, size_t length);
int64_t proc_oom_adj(struct text *text, const struct proc_entry *entry);
int64_t proc_oom_score(struct text *text, const struct proc_entry *entry);
int64_t proc_personality(struct text *text, const struct proc_entry *entry);
int64_t proc_oom_score_adj(struct text *text, const struct proc_entry *entry);
int64_t proc_set_oom_adj(const struct proc_entry *entry, const char *bytes, size_t length);
int64_t proc_set_oom_score_adj(const struct proc_entry *entry, const char *bytes, size_t length);
int64_t proc_limits(struct text *text, const struct proc_entry *entry);
int64_t proc_io(struct text *text, const struct proc_entry *entry);
int64_t proc_schedule_statistics(struct text *text, const struct proc_entry *entry);
int64_t proc_system_call(struct text *text, const struct proc_entry *entry);
int64_t proc_process_stat(struct text *text, const struct proc_entry *entry);
int64_t proc_statm(struct text *text, const struct proc_entry *entry);
int64_t proc_status(struct text *text, const struct proc_entry *entry);
int64_t proc_working_directory_target(const struct proc_entry *entry, char *to, size_t size);
int64_t proc_working_directory_jump(const struct proc_entry *entry, struct inode **target, struct open_name **name);
int64_t proc_executable_target(const struct proc_entry *entry, char *to, size_t size);
int64_t proc_executable_jump(const struct proc_entry *entry, struct inode **target, struct open_name **name);
int64_t proc_root_target(const struct proc_entry *entry, char *to, size_t size);
int64_t proc_root_jump(const struct proc_entry *entry, struct inode **target, struct open_name **name);

/* Their memory (proc_memory.c). */
int64_t proc_maps(struct text *text, const struct proc_entry *entry);
int64_t proc_smaps(struct text *text, const struct proc_entry *entry);
int64_t proc_smaps_rollup(struct text *text, const struct proc_entry *entry);
int64_t proc_pagemap(const struct proc_entry *entry, void *to, size_t length, uint64_t offset);

/* Their descriptors (proc_descriptors.c). */
int64_t proc_descriptor_lookup(struct proc_entry *entry, struct name name, struct inode **found);
int64_t proc_descriptor_list(const struct proc_entry *entry, uint64_t cookie, entry_sink *sink, void *context);
int64_t proc_descriptor_info_lookup(struct proc_entry *entry, struct name name, struct inode **found);
int64_t proc_descriptor_info_list(const struct proc_entry *entry, uint64_t cookie, entry_sink *sink, void *context);

/* A decimal number without leading zeros, or -1. */
int64_t proc_number_of(struct name name);
struct name proc_name_of_number(char buffer[16], int64_t number);

#endif
