/* Stand-ins for the core and for the boundary: memory from malloc, files from pread, threads from POSIX. */
#include "shim.h"

#include "process/process.h"
#include "signal/signal.h"

/* From the C library. */
int *__errno_location(void);
int open(const char *path, int flags, ...);
int close(int fd);
long pread(int fd, void *to, size_t size, long offset);
long pwrite(int fd, const void *from, size_t size, long offset);
long read(int fd, void *to, size_t size);
long write(int fd, const void *from, size_t size);
int poll(void *entries, unsigned long count, int timeout);
long syscall(long number, ...);
int sched_yield(void);
int vsnprintf(char *to, size_t size, const char *format, va_list arguments);
int clock_gettime(int clock, struct timespec *time);
int nanosleep(const struct timespec *time, struct timespec *left);
unsigned char *SHA256(const unsigned char *data, size_t size, unsigned char *digest);
int ftruncate(int fd, long size);
int pthread_create(unsigned long *thread, const void *attributes, void *(*run)(void *), void *context);
int pthread_join(unsigned long thread, void **result);
int posix_memalign(void **to, size_t alignment, size_t size);

struct fault fault;
const char *image_path, *verity_path, *data_root, *volume_root;
uint32_t log_lines;
char last_line[512];

uint64_t host_data_reads;
bool signal_waits;
int signal_sent;

uint64_t timer_slack(const struct task *task)
{
    return task->scheduling.timer_slack;
}

bool space_is_shared(const struct space *space)
{
    (void)space;
    return false;
}

/* No test here has a stack that could grow. */
int64_t memory_protect(user_address address, uint64_t length, uint32_t protection)
{
    (void)address;
    (void)length;
    (void)protection;
    return 0;
}

uint64_t task_processors(const struct task *task)
{
    (void)task;
    return 1;
}

struct process first_process = {.state = PROCESS_RUNNING, .id = PROCESS_ID, .name = "test"};
struct configuration configuration = {.threads = 4};

void configuration_directory(char *path, size_t size)
{
    format_text(path, size, "/");
}
struct file_upcalls file_upcalls;
struct process_upcalls process_upcalls;

static int64_t from_errno(long result)
{
    return result < 0 ? -*__errno_location() : result;
}

/* Memory. Freed blocks must have the size they were allocated with. */
static size_t *header_of(void *object)
{
    return (size_t *)object - 2;
}

void *allocate(size_t size)
{
    char *block = calloc(1, size + 16);
    *(size_t *)(void *)block = size;
    return block + 16;
}

void release(void *object, size_t size)
{
    if (object != NULL) {
        if (*header_of(object) != size) {
            printf("release(): %zu bytes of %zu\n", size, *header_of(object));
            fflush(NULL);
            __builtin_trap();
        }
        free(header_of(object));
    }
}

void *reallocate(void *object, size_t old_size, size_t new_size)
{
    void *fresh = allocate(new_size);
    memcpy(fresh, object, old_size < new_size ? old_size : new_size);
    release(object, old_size);
    return fresh;
}

void *pages_allocate(size_t count)
{
    void *pages = NULL;
    if (posix_memalign(&pages, PAGE_SIZE, count * PAGE_SIZE) != 0) {
        return NULL;
    }
    return memset(pages, 0, count * PAGE_SIZE);
}

void pages_release(void *first, size_t count)
{
    (void)count;
    free(first);
}

bool log_enabled(enum log_level level)
{
    return level == LOG_ERROR;
}

void log_line(enum log_level level, const char *format, ...)
{
    va_list arguments;
    if (level == LOG_ERROR) {
        va_start(arguments, format);
        vsnprintf(last_line, sizeof(last_line), format, arguments);
        va_end(arguments);
        log_lines++;
    }
}

_Noreturn void fatal(const char *format, ...)
{
    printf("fatal: %s\n", format);
    exit(1);
}

/* Tasks: wait.c of the core runs on these. */
struct shim_thread {
    struct task task;
    struct thread thread;
    uint32_t wakes;
    unsigned long handle;
    void (*run)(void *context);
    void *context;
};

struct space {
    char unused;
} first_space, libos_space;
static struct shim_thread first_thread = {.task = {.id = PROCESS_ID, .space = &first_space, .process = &first_process, .credentials = {.effective = CAPABILITIES_OF_ROOT}}};
static __thread struct shim_thread *self;
static struct shim_thread *threads[64] = {&first_thread};
static uint32_t thread_total = 1;

#define SYS_ARCH_PRCTL 158
#define ARCH_SET_GS 0x1001

/* GS leads to the thread, as in the enclave: current_task() needs it. */
static void become(struct shim_thread *thread)
{
    self = thread;
    thread->thread.self = &thread->thread;
    thread->thread.task = &thread->task;
    thread->task.sleeper.thread = &thread->thread;
    syscall(SYS_ARCH_PRCTL, ARCH_SET_GS, &thread->thread);
}

static bool signal_is_waiting(void)
{
    return signal_waits;
}

__attribute__((constructor)) static void start_first(void)
{
    become(&first_thread);
    wait_upcalls.signal_is_pending = signal_is_waiting;
    limits_start();
    base_upcalls.yield = host_yield;
}

struct process *process_of_id(int32_t id)
{
    return id == PROCESS_ID ? &first_process : NULL;
}

void process_each(bool (*each)(struct process *process, void *context), void *context)
{
    each(&first_process, context);
}

void process_each_task(const struct process *process, bool (*each)(struct task *task, void *context), void *context)
{
    (void)process;
    task_each(each, context);
}

void lists_lock(void)
{
}

void lists_unlock(void)
{
}

int32_t task_id(const struct task *task)
{
    return CONTAINER_OF(task, struct shim_thread, task)->thread.host_index + 1;
}

void task_each(bool (*each)(struct task *task, void *context), void *context)
{
    for (uint32_t at = 0; at < thread_total && each(&threads[at]->task, context); at++) {
    }
}

void task_each_listed(bool (*each)(struct task *task, void *context), void *context)
{
    task_each(each, context);
}

bool task_must_end(void)
{
    return false;
}

int32_t process_last_id(void)
{
    return PROCESS_ID;
}

uint32_t processor_of(uint64_t mask, uint64_t thread)
{
    (void)mask, (void)thread;
    return 0;
}

uint64_t host_thread_clock(uint32_t host_index)
{
    (void)host_index;
    return 0;
}

int64_t space_visit(struct space *space)
{
    (void)space;
    return 0;
}

void space_end_visit(struct space *own)
{
    (void)own;
}

void space_go_away(void)
{
}

void memory_count_space(const struct space *space, struct space_counts *counts)
{
    (void)space;
    *counts = (struct space_counts){.mapped = 2000, .resident = 1000};
}

uint64_t signals_queued(void)
{
    return 0;
}

void signal_handling(const struct process *process, uint64_t *ignored, uint64_t *caught)
{
    (void)process;
    *ignored = *caught = 0;
}

size_t task_count(void)
{
    return thread_total;
}

void pages_count(uint64_t *committed, uint64_t *limit)
{
    *committed = 0;
    *limit = 1 << 18;
}

uint64_t pages_peak(void)
{
    return 1;
}

void memory_count_area(const struct area *area, struct area_counts *counts)
{
    (void)area;
    *counts = (struct area_counts){0};
}

void memory_look_at_pages(user_address start, uint8_t *states, size_t count)
{
    (void)start;
    memset(states, 0, count);
}

bool heap_is_in(const struct area *area)
{
    (void)area;
    return false;
}

int64_t signal_tell(struct process *process, struct task *task, const struct signal_info *info)
{
    (void)process, (void)task, (void)info;
    return 0;
}

void signal_each_of_group(int32_t group, void (*each)(struct process *process, void *context), void *context)
{
    (void)group, (void)each, (void)context;
}

/* A processor that can do nothing. */
struct cpuid cpuid_of(uint32_t leaf, uint32_t subleaf)
{
    (void)leaf, (void)subleaf;
    return (struct cpuid){0};
}

struct cpu_use usage_of_process(void)
{
    return (struct cpu_use){0};
}

void memory_set_limits(const struct memory_limits *limits)
{
    (void)limits;
}

/* Nothing is mapped here: pages are all at home. */
void lock_memory(void)
{
    __builtin_trap();
}

void unlock_memory(void)
{
    __builtin_trap();
}

bool has_memory_lock(void)
{
    return false;
}

void commit_remove(user_address start, user_address end)
{
    (void)start, (void)end;
    __builtin_trap();
}

int64_t holder_bring_home(struct shared_object *object, uint64_t first, uint64_t end, bool writes)
{
    (void)object, (void)first, (void)end, (void)writes;
    __builtin_trap();
}

uint8_t *holder_change(struct shared_object *object, uint64_t page)
{
    (void)object, (void)page;
    __builtin_trap();
}

int64_t object_write_back(struct shared_object *object, uint64_t first, uint64_t end)
{
    (void)object, (void)first, (void)end;
    return 0;
}

size_t task_ids(const struct process *process, int32_t *ids, size_t count)
{
    (void)process;
    for (uint32_t at = 0; at < thread_total && at < count; at++) {
        ids[at] = (int32_t)at + 1;
    }
    return thread_total;
}

#define SYS_FUTEX 202
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1

static bool sleep_on(uint32_t *word, uint64_t timeout_ns)
{
    struct timespec limit = {.seconds = (int64_t)(timeout_ns / NS_PER_SECOND),
        .nanoseconds = (int64_t)(timeout_ns % NS_PER_SECOND)};
    while (__atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST) == 0) {
        long result = syscall(SYS_FUTEX, word, FUTEX_WAIT, 0, timeout_ns == NO_TIMEOUT ? NULL : &limit);
        if (result < 0 && *__errno_location() == ETIMEDOUT) {
            return false;
        }
    }
    return true;
}

int host_wait(uint64_t timeout_ns)
{
    return sleep_on(&self->wakes, timeout_ns) ? 0 : -ETIMEDOUT;
}

void host_wake(uint32_t host_index)
{
    __atomic_store_n(&threads[host_index]->wakes, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_FUTEX, &threads[host_index]->wakes, FUTEX_WAKE, 1, NULL);
}

void host_yield(void)
{
    sched_yield();
}

void signal_send_current(int signal)
{
    signal_sent = signal;
}

int64_t signal_send_process(struct process *process, const struct signal_info *info)
{
    (void)process;
    signal_sent = info->signal;
    return 0;
}

int64_t signal_kill_process(struct process *process, uint64_t signal)
{
    (void)process;
    signal_sent = (int)signal;
    return 0;
}

int64_t signal_queue_process(struct process *process, uint64_t signal, const struct signal_info *info)
{
    (void)info;
    return signal_kill_process(process, signal);
}

int64_t signal_info_from_user(struct signal_info *info, user_address from)
{
    return copy_from_user(info, from, sizeof *info);
}

struct task *task_of_id(int32_t id)
{
    for (uint32_t at = 0; at < thread_total; at++) {
        if (threads[at]->task.id == id) {
            return &threads[at]->task;
        }
    }
    return NULL;
}

struct signal_upcalls signal_upcalls;

uint64_t signals_pending(const struct task *task)
{
    (void)task;
    return 0;
}

bool signal_take(struct task *task, uint64_t wanted, struct signal_info *info)
{
    (void)task;
    (void)wanted;
    (void)info;
    return false;
}

/* There are no objects of System V IPC. */
struct ipc_table semaphore_sets, message_queues, shared_segments;

uint32_t ipc_highest(const struct ipc_table *table)
{
    (void)table;
    return 0;
}

struct ipc_object *ipc_at(const struct ipc_table *table, uint32_t index)
{
    (void)table;
    (void)index;
    return NULL;
}

void semaphore_describe(const struct ipc_object *object, struct semaphore_status *status)
{
    (void)object;
    (void)status;
}

void shared_segment_describe(const struct ipc_object *object, struct shared_segment_status *status)
{
    (void)object;
    (void)status;
}

void message_queue_describe(const struct ipc_object *object, struct message_queue_status *status)
{
    (void)object;
    (void)status;
}

bool ns_of_timespec(uint64_t *ns, const struct timespec *time)
{
    *ns = (uint64_t)time->seconds * NS_PER_SECOND + (uint64_t)time->nanoseconds;
    return time->seconds >= 0 && time->nanoseconds >= 0 && time->nanoseconds < (int64_t)NS_PER_SECOND;
}

int signal_set_temporary_mask(user_address mask, uint64_t size)
{
    return mask != 0 && size != 8 ? -EINVAL : 0;
}

static void *run_thread(void *context)
{
    become(context);
    self->run(self->context);
    return NULL;
}

struct shim_thread *shim_thread_start(void (*run)(void *context), void *context)
{
    struct shim_thread *thread = calloc(1, sizeof(*thread));
    thread->run = run;
    thread->context = context;
    thread->thread.host_index = thread_total;
    thread->task.process = &first_process;
    thread->task.space = &first_space;
    thread->task.credentials = self->task.credentials;
    threads[thread_total++] = thread;
    pthread_create(&thread->handle, NULL, run_thread, thread);
    return thread;
}

void shim_thread_join(struct shim_thread *thread)
{
    pthread_join(thread->handle, NULL);
}

void shim_sleep_ms(uint32_t milliseconds)
{
    struct timespec time = {.seconds = milliseconds / 1000, .nanoseconds = milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* User copies: any address is the application's, but the first page. */
static bool is_user(user_address address, size_t size)
{
    return size == 0 || address >= PAGE_SIZE;
}

int copy_from_user(void *to, user_address from, size_t size)
{
    if (!is_user(from, size)) {
        return -EFAULT;
    }
    memcpy(to, (const void *)(uintptr_t)from, size);
    return 0;
}

int copy_to_user(user_address to, const void *from, size_t size)
{
    if (!is_user(to, size)) {
        return -EFAULT;
    }
    memcpy((void *)(uintptr_t)to, from, size);
    return 0;
}

bool user_is_writable(user_address address)
{
    return is_user(address, 1);
}

int64_t strncpy_from_user(char *to, user_address from, size_t size)
{
    if (!is_user(from, 1)) {
        return -EFAULT;
    }
    size_t length = strnlen((const char *)(uintptr_t)from, size);
    if (length == size) {
        return -ENAMETOOLONG;
    }
    memcpy(to, (const char *)(uintptr_t)from, length + 1);
    return (int64_t)length;
}

int64_t iovec_import(struct iovec *to, user_address from, uint64_t count)
{
    int64_t sum = 0;
    if (copy_from_user(to, from, count * sizeof(*to)) < 0) {
        return -EFAULT;
    }
    for (uint64_t at = 0; at < count; at++) {
        sum += (int64_t)to[at].length;
    }
    return sum;
}

bool attention_is_pending(void)
{
    return signal_waits;
}

uint64_t clock_counter(void)
{
    return 0;
}

uint64_t clock_ticks(uint32_t ns)
{
    (void)ns;
    return 0;
}

uint64_t clock_now_ns(enum clock_id clock)
{
    struct timespec time;
    clock_gettime((int)clock, &time);
    return (uint64_t)time.seconds * NS_PER_SECOND + (uint64_t)time.nanoseconds;
}

int timeout_from_user(uint64_t *timeout_ns, user_address from)
{
    struct timespec time;
    if (copy_from_user(&time, from, sizeof(time)) < 0) {
        return -EFAULT;
    }
    *timeout_ns = (uint64_t)time.seconds * NS_PER_SECOND + (uint64_t)time.nanoseconds;
    return 0;
}

void random_bytes(void *to, size_t size)
{
    int fd = open("/dev/urandom", 0);
    read(fd, to, size);
    close(fd);
}

void memory_each(const struct space *space, bool (*each)(const struct area *area, void *context), void *context)
{
    struct area area = {
        .start = 0x400000, .end = 0x500000, .protection = PROT_READ | PROT_EXEC, .flags = MAP_PRIVATE};
    each(&area, context);
}

void memory_write_back(void)
{
}

void memory_count(const struct space *space, struct memory_counts *counts)
{
    *counts = (struct memory_counts){.limit = 65536, .committed = 1000, .mapped = 2000};
}

struct span span_first(const struct span_list *list)
{
    static const char volume[] = "/mnt/volume";
    struct span none = {0};
    struct span one = {.start = volume, .size = sizeof(volume) - 1};
    (void)list;
    return volume_root != NULL ? one : none;
}

struct span span_next(const struct span_list *list, struct span span)
{
    (void)list, (void)span;
    return (struct span){0};
}

void sha256(const void *data, size_t size, uint8_t digest[SHA256_SIZE])
{
    SHA256(data, size, digest);
}

void sha256_each(const void *data, size_t size, size_t count, uint8_t *digests)
{
    for (size_t index = 0; index < count; index++) {
        SHA256((const uint8_t *)data + index * size, size, digests + index * SHA256_SIZE);
    }
}

/* The host's files. */
static int image_fd = -1, verity_fd = -1;

void shim_start(const char *image, const char *verity, const char *data, const char *volumes)
{
    image_path = image;
    verity_path = verity;
    data_root = data;
    volume_root = volumes;
    image_fd = open(image, 0);
    verity_fd = open(verity, 0);
}

static void apply_fault(enum fault_target target, uint64_t offset, uint8_t *bytes, int64_t size)
{
    static uint32_t reads;
    if (fault.target != target || fault.offset < offset || fault.offset >= offset + (uint64_t)size) {
        return;
    }
    if (fault.every == 0 || ++reads % fault.every == 0) {
        bytes[fault.offset - offset] ^= fault.mask;
    }
}

int64_t host_image_read(enum image_file file, uint64_t offset, void *to, size_t length)
{
    int64_t result = from_errno(pread(file == IMAGE_ROOTFS ? image_fd : verity_fd, to, length, (long)offset));
    apply_fault(file == IMAGE_ROOTFS ? FAULT_IMAGE : FAULT_VERITY, offset, to, result);
    return result;
}

static char *handle_paths[65536];

static void join_path(char to[8192], const char *root, const char *path, size_t length)
{
    snprintf(to, 8192, "%s/%.*s", root, (int)length, path);
}

int host_data_open(const char *path, size_t path_length)
{
    char full[8192];
    join_path(full, data_root, path, path_length);
    int fd = (int)from_errno(open(full, 0400000)); /* O_NOFOLLOW */
    if (fd >= 0) {
        handle_paths[fd] = calloc(1, path_length + 1);
        memcpy(handle_paths[fd], path, path_length);
    }
    return fd;
}

int64_t host_data_read(int handle, uint64_t offset, void *to, size_t length)
{
    int64_t result = from_errno(pread(handle, to, length, (long)offset));
    __atomic_fetch_add(&host_data_reads, 1, __ATOMIC_RELAXED);
    if (fault.target == FAULT_DATA && strcmp(handle_paths[handle], fault.path) == 0) {
        apply_fault(FAULT_DATA, offset, to, result);
    }
    return result;
}

void host_data_close(int handle)
{
    free(handle_paths[handle]);
    handle_paths[handle] = NULL;
    close(handle);
}

int64_t host_read(int fd, void *to, size_t length)
{
    return from_errno(read(fd, to, length));
}

int64_t host_write(int fd, const void *from, size_t length)
{
    return from_errno(write(fd, from, length));
}

int64_t host_pread(int fd, void *to, size_t length, uint64_t offset)
{
    return from_errno(pread(fd, to, length, (long)offset));
}

int64_t host_pwrite(int fd, const void *from, size_t length, uint64_t offset)
{
    return from_errno(pwrite(fd, from, length, (long)offset));
}

void host_close(int fd)
{
    close(fd);
}

int host_poll(struct host_poll *entries, size_t count, uint64_t timeout_ns)
{
    /* a wake ends it soon enough */
    uint64_t limit = timeout_ns == NO_TIMEOUT || timeout_ns > 50000000 ? 50 : timeout_ns / 1000000;
    return (int)from_errno(poll(entries, count, (int)limit));
}

#define SYS_NEWFSTATAT 262
#define AT_EMPTY_PATH 0x1000
#define AT_SYMLINK_NOFOLLOW 0x100

static int stat_at(int fd, const char *path, struct host_stat *to, int flags)
{
    uint64_t words[18];
    int64_t result = from_errno(syscall(SYS_NEWFSTATAT, fd, path, words, flags));
    if (result < 0) {
        return (int)result;
    }
    *to = (struct host_stat){
        .inode = words[1],
        .links = (uint32_t)words[2],
        .mode = (uint32_t)words[3],
        .uid = (uint32_t)(words[3] >> 32),
        .gid = (uint32_t)words[4],
        .rdev = words[5],
        .size = words[6],
        .blocks = words[8],
        .mtime_ns = (int64_t)(words[11] * NS_PER_SECOND + words[12]),
    };
    return 0;
}

int host_stat(int fd, struct host_stat *stat)
{
    return stat_at(fd, "", stat, AT_EMPTY_PATH);
}

int64_t host_ioctl(int fd, uint32_t request, void *data, size_t in, size_t out)
{
    (void)fd, (void)request, (void)data, (void)in, (void)out;
    return -ENOTTY;
}

int host_sync(int fd)
{
    (void)fd;
    return 0;
}

int host_sync_all(int fd)
{
    (void)fd;
    return 0;
}

int host_truncate(int fd, uint64_t length)
{
    return (int)from_errno(ftruncate(fd, (long)length));
}

int64_t host_file(enum host_file file, void *to, size_t length)
{
    static const char *const texts[] = {
        "127.0.0.1 localhost\n10.0.0.7 db # comment\n", "nameserver 10.0.0.1\nexec /bin/sh\n", "guest\n"};
    size_t size = strlen(texts[file]);
    memcpy(to, texts[file], size < length ? size : length);
    return (int64_t)size;
}

/* Volumes: paths below volume_root, by plain system calls. */
static void volume_path(char to[8192], const char *path, size_t length)
{
    join_path(to, volume_root, path, length);
}

int host_volume_open(const char *path, size_t path_length, uint32_t flags, uint32_t mode)
{
    char full[8192];
    volume_path(full, path, path_length);
    return (int)from_errno(open(full, (int)flags, mode));
}

int host_volume_stat(const char *path, size_t path_length, struct host_stat *stat)
{
    char full[8192];
    volume_path(full, path, path_length);
    return stat_at(-100, full, stat, AT_SYMLINK_NOFOLLOW);
}

int64_t host_volume_readlink(const char *path, size_t path_length, char *to, size_t length)
{
    char full[8192];
    volume_path(full, path, path_length);
    return from_errno(syscall(89, full, to, length));
}

int64_t host_volume_list(int fd, void *records, size_t length)
{
    return from_errno(syscall(217, fd, records, length));
}

int host_volume_mkdir(const char *path, size_t path_length, uint32_t mode)
{
    char full[8192];
    volume_path(full, path, path_length);
    return (int)from_errno(syscall(83, full, mode));
}

int host_volume_unlink(const char *path, size_t path_length, uint32_t flags)
{
    char full[8192];
    volume_path(full, path, path_length);
    return (int)from_errno(syscall(263, -100, full, flags));
}

int host_volume_rename(const char *old_path, size_t old_length, const char *new_path, size_t new_length)
{
    char old_full[8192], new_full[8192];
    volume_path(old_full, old_path, old_length);
    volume_path(new_full, new_path, new_length);
    return (int)from_errno(syscall(82, old_full, new_full));
}

int host_volume_link(const char *old_path, size_t old_length, const char *new_path, size_t new_length)
{
    char old_full[8192], new_full[8192];
    volume_path(old_full, old_path, old_length);
    volume_path(new_full, new_path, new_length);
    return (int)from_errno(syscall(86, old_full, new_full));
}

int host_volume_symlink(const char *target, size_t target_length, const char *path, size_t path_length)
{
    char full[8192], text[8192];
    volume_path(full, path, path_length);
    snprintf(text, sizeof(text), "%.*s", (int)target_length, target);
    return (int)from_errno(syscall(88, text, full));
}

int host_volume_chmod(const char *path, size_t path_length, uint32_t mode)
{
    char full[8192];
    volume_path(full, path, path_length);
    return (int)from_errno(syscall(90, full, mode));
}

int host_volume_chown(const char *path, size_t path_length, uint32_t user, uint32_t group)
{
    char full[8192];
    volume_path(full, path, path_length);
    return (int)from_errno(syscall(94, full, user, group));
}

int host_volume_utime(const char *path, size_t path_length, int64_t atime_ns, int64_t mtime_ns)
{
    (void)path, (void)path_length, (void)atime_ns, (void)mtime_ns;
    return 0;
}

/* The network: there is none here. */

int host_socket(uint32_t family, uint32_t type, uint32_t protocol)
{
    (void)family, (void)type, (void)protocol;
    return -EAFNOSUPPORT;
}

int host_bind(int fd, const struct host_name *name)
{
    (void)fd, (void)name;
    return -EBADF;
}

int host_connect(int fd, const struct host_name *name)
{
    (void)fd, (void)name;
    return -EBADF;
}

int host_listen(int fd, int backlog)
{
    (void)fd, (void)backlog;
    return -EBADF;
}

int host_accept(int fd, struct host_name *peer)
{
    (void)fd, (void)peer;
    return -EBADF;
}

int host_socket_name(int fd, bool is_peer, struct host_name *name)
{
    (void)fd, (void)is_peer, (void)name;
    return -EBADF;
}

int64_t host_send(int fd, struct host_message *message, const void *data, size_t length, uint32_t flags)
{
    (void)fd, (void)message, (void)data, (void)length, (void)flags;
    return -EBADF;
}

int64_t host_receive(int fd, struct host_message *message, void *data, size_t length, uint32_t flags)
{
    (void)fd, (void)message, (void)data, (void)length, (void)flags;
    return -EBADF;
}

int host_shutdown(int fd, uint32_t how)
{
    (void)fd, (void)how;
    return -EBADF;
}

int64_t host_option_get(int fd, uint32_t level, uint32_t name, void *value, size_t room)
{
    (void)fd, (void)level, (void)name, (void)value, (void)room;
    return -EBADF;
}

int host_option_set(int fd, uint32_t level, uint32_t name, const void *value, size_t length)
{
    (void)fd, (void)level, (void)name, (void)value, (void)length;
    return -EBADF;
}

int64_t host_interfaces(struct host_interface *interfaces, size_t count)
{
    (void)interfaces, (void)count;
    return 0;
}

int host_events_create(void)
{
    return -EMFILE;
}

int host_events_change(int events, uint32_t operation, int fd, uint32_t wanted)
{
    (void)events, (void)operation, (void)fd, (void)wanted;
    return -EBADF;
}

int host_events_wait(int events, struct host_event *found, size_t room, uint64_t timeout_ns)
{
    (void)events, (void)found, (void)room, (void)timeout_ns;
    return -EBADF;
}

uint64_t host_activity(void)
{
    return 0;
}

void host_note_activity(void)
{
}
