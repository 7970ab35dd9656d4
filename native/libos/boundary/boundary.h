/*
 * The boundary room: one function per OCALL, ENCLU leaves, the host's clock and its signals, the first entry of a thread.
 *
 * What comes back is checked by ocalls.def: a length is at most what was asked for, a result that is neither a legal value nor an errno
 * becomes -EPERM with a line on the log. Data is copied out of the exchange area once. `const void *` and `void *` are trusted LibOS addresses,
 * or application memory that the caller has committed (a fault there is an exception in memcpy: the exception upcall may fix it up).
 *
 * Blocking functions return -EINTR only when there is something to attend to: attention_is_pending().
 */
#ifndef ENCLAVIZE_BOUNDARY_H
#define ENCLAVIZE_BOUNDARY_H

#include "cpu/cpu.h"

/* What the boundary needs of the rooms above. Each room sets its part when it starts, before there is a second thread. */
struct boundary_upcalls {
    /* process: a further thread, on its own LibOS stack. Does not return. The host may send one more than
     * host_thread_create() asked for: if there is no thread waiting to be started, call host_thread_exit(). */
    void (*thread_start)(void);
    /* process: a further thread as well, for a command from outside (host_command_take()). NULL: none is taken yet. */
    void (*command_start)(void);
    /* signal: on the way back to the application, when thread->attention was set (it is cleared before) or host signals
     * have come (mask, bit n - 1: only those that are allowed). Deliver signals by changing the context. */
    void (*attention)(struct context *context, uint64_t host_signals);
    /* wait: nobody waits for a processor, so that a thread may burn its own (switchless.c). NULL: it does not. */
    bool (*has_free_processor)(void);
    /* memory: the last thing on that way: the application's memory is there from here on. */
    void (*take_turn)(void);
};
extern struct boundary_upcalls boundary_upcalls;

/* What the first thread does, on its LibOS stack (start.c, above all rooms). Called by name, as a C library calls main().
 * Ends in context_resume() or host_exit(). `boot` and `strings` are in enclave memory, copied once; strings is
 * NUL-terminated at boot->strings_size. All of it is chosen by the host. */
_Noreturn void libos_start(const struct boot *boot, const char *strings);

/* Host signals (bit n - 1) that may come in. SEGV, BUS, FPE, ILL, TRAP never do. Nothing is let in before this is called. */
void boundary_allow_signals(uint64_t mask);
/* thread->attention is set, or an allowed host signal waits. */
bool attention_is_pending(void);
/* Clears thread->attention, and says whether it was set; takes the allowed host signals that wait. */
uint64_t attention_take(bool *asked);

/* Measured: read from this enclave's own REPORT. */
bool enclave_is_debug(void);

/* EREPORT and EGETKEY. In simulation what they give proves nothing and protects nothing, and says so by its text. */
/* 0; -EINVAL: fields of TARGETINFO that the CPU wants to be zero are not. */
int enclave_report(const uint8_t target[TARGETINFO_SIZE], const uint8_t data[REPORTDATA_SIZE], struct report *report);
/* A TARGETINFO of zeros, and data of zeros: nobody can verify it, and the enclave itself need not. */
void enclave_report_to_self(struct report *report);
void enclave_target_info(struct target_info *target);
/* The sealing key, as Gramine asks for it (KEYID 0, this CPUSVN and ISVSVN): the same at each start. -EACCES: the CPU refuses. */
int enclave_seal_key(enum key_policy policy, uint8_t key[KEY_SIZE]);

/* Commands from outside. What the host wants, on the thread that entered for it, before its first OCALL. -EINVAL: malformed; number is not 0 then, if
 * the host can be told. */
int host_command_take(struct command *command);
/* The strings of it, strings_size bytes. */
void host_command_take_strings(const struct command *command, char *to);
int64_t host_command_signals(struct command_signals *signals, size_t count); /* how many there are */
void host_command_end(uint32_t number, uint32_t status, uint32_t signal, const char *line, size_t length);

/*
 * Memory. To add pages: host_memory_add(), then enclave_accept(). To give rights: enclave_extend(), then host_memory_protect().
 * To take rights: host_memory_restrict(), then enclave_accept_restricted(). To remove: host_memory_trim(), enclave_accept_trimmed(), host_memory_remove().
 * Ranges are page-aligned. New pages are zero, readable and writable.
 */
#define PAGE_READ 1U
#define PAGE_WRITE 2U
#define PAGE_EXECUTE 4U

int host_memory_add(uint64_t address, uint64_t length);
int host_memory_protect(uint64_t address, uint64_t length, uint32_t protection); /* page tables */
int host_memory_restrict(uint64_t address, uint64_t length, uint32_t protection); /* EMODPR, and page tables */
int host_memory_trim(uint64_t address, uint64_t length);
int host_memory_remove(uint64_t address, uint64_t length);

/* EACCEPT of each page: 0; -EPERM when the host has not done what was asked (the caller must not use the memory); -ENOMEM when it has no page. */
int enclave_accept(uint64_t address, uint64_t length);
int enclave_accept_restricted(uint64_t address, uint64_t length, uint32_t protection);
/* EACCEPTCOPY of one page that was added: nobody can touch it before, and then it has the source page's bytes and these rights in the EPCM. In the
 * page tables it is readable and writable. */
int enclave_accept_copy(uint64_t address, const void *source, uint32_t protection);
int enclave_accept_trimmed(uint64_t address, uint64_t length);
/* host_memory_add() and enclave_accept(); the three steps of removing. 0, or what the host or enclave_accept() said. */
int enclave_add(uint64_t address, uint64_t length);
int enclave_remove(uint64_t address, uint64_t length);
/* For --profile, if this is not NULL; in pages: what EACCEPT, EACCEPTCOPY and EMODPE were made for; what came, and what went. And how often the host was
 * asked for what only the driver can do (EMODPR, EMODT, EREMOVE): an ioctl each. */
struct page_counts {
    uint64_t accepted, copied, extended, added, removed, requests;
};
extern struct page_counts *page_counts;
/* EMODPE of each page. A page that is not there faults. */
void enclave_extend(uint64_t address, uint64_t length, uint32_t protection);

/* Threads and time. */
/* The end of the process. The host may ignore it, so the enclave ends first: no entry, no thread's way back to the application. */
_Noreturn void host_exit(uint32_t status, uint32_t signal);
_Noreturn void host_exit_with_line(uint32_t status, uint32_t signal, const char *text, size_t length);
int host_thread_create(void); /* 0, -EAGAIN */
_Noreturn void host_thread_exit(void);
int host_wait(uint64_t timeout_ns); /* 0 (also without reason), -ETIMEDOUT, -EINTR */
void host_wake(uint32_t host_index);
void host_interrupt(uint32_t host_index);
void host_yield(void);
/* The processor time of another thread, as the host says it; 0: it has ended. ns. */
uint64_t host_thread_clock(uint32_t host_index);

enum clock_id {
    CLOCK_REALTIME = 0, CLOCK_MONOTONIC = 1, CLOCK_PROCESS_CPUTIME_ID = 2, CLOCK_THREAD_CPUTIME_ID = 3,
    CLOCK_MONOTONIC_RAW = 4, CLOCK_REALTIME_COARSE = 5, CLOCK_MONOTONIC_COARSE = 6, CLOCK_BOOTTIME = 7,
};
/* The host's clock; MONOTONIC and BOOTTIME never go back, whatever the host says. ns. */
uint64_t clock_now_ns(enum clock_id clock);
/* The time stamp counter, and how many of its ticks are so many ns by the host's word; 0: nobody knows. */
uint64_t clock_counter(void);
uint64_t clock_ticks(uint32_t ns);
/* The page of code and data by which the application reads the clock itself (vdso.S): to be copied to a page of its own. */
extern const uint8_t vdso_image[PAGE_SIZE] HIDDEN;
/* RDTSC has faulted: nobody goes by it any more. */
void clock_counter_faults(void);
/* Did a LibOS context fault in reading the counter? Then it goes on behind it. */
bool clock_fix_up(uint64_t *rip);
uint64_t host_clock(uint32_t clock); /* as the host says it; ns */

/* The host has so many threads from now on that serve calls while ours stay inside: 0, or what it says. And they are used, before there is a second
 * thread. */
int host_workers(uint32_t count);
void switchless_start(void);

/* For --profile: counted and timed if this is not NULL; one for each OCALL. */
struct ocall_count {
    uint64_t calls, ticks; /* that left the enclave */
    uint64_t switchless, switchless_ticks;
    uint64_t withdrawn; /* no worker came: among the calls that left, with the time that it took to see that */
};
extern struct ocall_count *ocall_counts;
const char *ocall_name(enum ocall number);

void host_log(enum log_level level, const char *text, size_t length); /* cut to EXCHANGE_DATA_SIZE */

/* Files. An fd is 0, 1, 2 or what host_volume_open() returned. Reads and writes go on in pieces of EXCHANGE_DATA_SIZE until the length is done, a
 * short piece or an error; what was done before an error is returned. host_read() is one piece only. */
int64_t host_read(int fd, void *to, size_t length);
int64_t host_write(int fd, const void *from, size_t length);
int64_t host_pread(int fd, void *to, size_t length, uint64_t offset);
int64_t host_pwrite(int fd, const void *from, size_t length, uint64_t offset);
/* One piece, at the end of the file as the host finds it. *end: that of the piece, at least what was written and at most INT64_MAX; if nothing was, undefined. */
int64_t host_append(int fd, const void *from, size_t length, uint64_t *end);
void host_close(int fd);
/* revents are cut to the events asked for plus POLLERR, POLLHUP, POLLNVAL. -> number of entries with revents; 0 also when woken by host_wake() or without reason; -EINTR */
int host_poll(struct host_poll *entries, size_t count, uint64_t timeout_ns);
int host_stat(int fd, struct host_stat *stat);
int64_t host_ioctl(int fd, uint32_t request, void *data, size_t in, size_t out);
int host_sync(int fd);
int host_sync_all(int fd); /* its file system */
int host_truncate(int fd, uint64_t length);
int host_allocate(int fd, uint32_t mode, uint64_t offset, uint64_t length); /* fallocate(2) */

/* Sockets, which never block. Lengths in what comes back are checked; families, addresses and flags are the caller's to check. */
int host_socket(uint32_t family, uint32_t type, uint32_t protocol); /* fd >= 3 */
int host_bind(int fd, const struct host_name *name);
int host_connect(int fd, const struct host_name *name);
int host_listen(int fd, int backlog);
int host_accept(int fd, struct host_name *peer); /* fd >= 3 */
int host_socket_name(int fd, bool is_peer, struct host_name *name);
/* At most HOST_MESSAGE_DATA bytes. message->input is answered. */
#define HOST_MESSAGE_DATA (EXCHANGE_DATA_SIZE - sizeof(struct host_message))
int64_t host_send(int fd, struct host_message *message, const void *data, size_t length, uint32_t flags);
/* control_length: the room for control messages; the whole message is filled in. */
int64_t host_receive(int fd, struct host_message *message, void *data, size_t length, uint32_t flags);
int host_shutdown(int fd, uint32_t how);
int64_t host_option_get(int fd, uint32_t level, uint32_t name, void *value, size_t room); /* the value's size */
int host_option_set(int fd, uint32_t level, uint32_t name, const void *value, size_t length);
int64_t host_interfaces(struct host_interface *interfaces, size_t count); /* how many there are */

/* The host's epoll. Events are told by the fd. -> number of events; 0 also when woken by host_wake() or without reason; -EINTR. What was read ahead of one
 * of the streams is left in `ahead`, its length within HOST_AHEAD_SIZE, 0 if there is none; NULL: nothing is to be read. */
int host_events_create(void); /* fd >= 3 */
int host_events_change(int events, uint32_t operation, int fd, uint32_t wanted);
int host_events_wait(int events, struct host_event *found, size_t room, uint64_t timeout_ns, struct host_ahead *ahead);

/* How often the host had read ahead of anything, counted without end, when one of the caller's waits, or attempts to receive, has found nothing. */
uint32_t host_aheads(void);

/* How often anything was done with the host after which a program could know of data for a socket: a wait for events, a file that was read.
 * While it has not changed, what the host has said about a socket is as new as anything that the program can know, but for the time that has passed.
 * Data that is sent does not count by itself: who may send to a socket of his own notes it. */
uint64_t host_activity(void);
void host_note_activity(void);
uint64_t host_slept_until(void); /* clock_counter() when a sleep has ended that was no short one; 0: there was none, or is no counter */
void host_note_sleep(uint64_t timeout_ns); /* one whose time was spent inside */

/* That the host had nothing to tell when it was asked last. A program that looks without waiting may be given that for an answer as long as nothing has
 * happened from which it could know better: once, or again for a moment, since runtimes look before they wait, each thread for itself; after a sleep
 * of anybody for a moment alone. All-zero: nothing is known. */
struct quiet {
    bool is_known;
    uint64_t activity; /* host_activity() before it was asked */
    uint64_t since;    /* clock_counter(); 0: there is none */
};
void quiet_note(struct quiet *quiet, bool is_known, uint64_t activity);
bool quiet_holds(const struct quiet *quiet);
bool quiet_use(struct quiet *quiet); /* the same, for an answer that is given by it */

/* The image's files and the container's data. Fewer bytes than asked for means the end of the file. length <= EXCHANGE_DATA_SIZE is not needed. */
int64_t host_image_read(enum image_file file, uint64_t offset, void *to, size_t length);
int host_data_open(const char *path, size_t path_length); /* a handle; -ENOENT, -EACCES, -ELOOP, ... */
int64_t host_data_read(int handle, uint64_t offset, void *to, size_t length);
void host_data_close(int handle);

/* Volumes. Paths as abi.h says: canonical, relative to the container's root. */
int host_volume_open(const char *path, size_t path_length, uint32_t flags, uint32_t mode); /* fd >= 3 */
int host_volume_stat(const char *path, size_t path_length, struct host_stat *stat);
int64_t host_volume_readlink(const char *path, size_t path_length, char *to, size_t length);
int64_t host_volume_list(int fd, void *records, size_t length);
int host_volume_mkdir(const char *path, size_t path_length, uint32_t mode);
int host_volume_mknod(const char *path, size_t path_length, uint32_t mode); /* with type: a FIFO or a socket */
int host_volume_unlink(const char *path, size_t path_length, uint32_t flags);
int host_volume_rename(const char *old_path, size_t old_length, const char *new_path, size_t new_length);
int host_volume_link(const char *old_path, size_t old_length, const char *new_path, size_t new_length);
int host_volume_symlink(const char *target, size_t target_length, const char *path, size_t path_length);
int host_volume_chmod(const char *path, size_t path_length, uint32_t mode);
int host_volume_chown(const char *path, size_t path_length, uint32_t user, uint32_t group);
int host_volume_utime(const char *path, size_t path_length, int64_t atime_ns, int64_t mtime_ns);
/* Extended attributes in user.*: names, each with a NUL, as the host gives them; a value; -ERANGE when there is no room. */
int64_t host_xattr_list(const char *path, size_t path_length, char *to, size_t room);
int64_t host_xattr_get(const char *path, size_t path_length, const char *name, void *to, size_t room);
int host_xattr_set(const char *path, size_t path_length, const char *name, const void *value, size_t size, uint32_t flags);
int host_xattr_remove(const char *path, size_t path_length, const char *name);

enum host_file { HOST_FILE_HOSTS = 0, HOST_FILE_RESOLV_CONF = 1, HOST_FILE_HOSTNAME = 2 };
#define HOST_FILE_MAX 65536U
int64_t host_file(enum host_file file, void *to, size_t length); /* whole file; -EFBIG when it does not fit */

#endif
