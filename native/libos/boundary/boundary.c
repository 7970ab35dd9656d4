/*
 * OCALLs, and what the host may say in answer. See boundary.h.
 */
#include "boundary/boundary.h"

#include "base/base.h"
#include "ocalls.h"
#include "boundary/private.h"

#define ERRNO_MAX 133 /* EHWPOISON, the last one of Linux */

_Static_assert(offsetof(struct exchange, signals) == EXCHANGE_SIGNALS, "entry.S");
_Static_assert(offsetof(struct thread, attention) == THREAD_ATTENTION, "entry.S");
_Static_assert(offsetof(struct thread, libos_stack) == THREAD_LIBOS_STACK, "entry.S");
_Static_assert(offsetof(struct thread, exchange) == THREAD_EXCHANGE, "entry.S");
_Static_assert(offsetof(struct thread, ocall_rsp) == THREAD_OCALL_RSP, "entry.S");
_Static_assert(offsetof(struct thread, resume_context) == THREAD_RESUME_CONTEXT, "entry.S");
_Static_assert(offsetof(struct thread, scratch_rip) == THREAD_SCRATCH_RIP, "entry.S");
_Static_assert(offsetof(struct thread, task) == THREAD_TASK, "thread.h");
_Static_assert(offsetof(struct context, rcx) == CONTEXT_RCX, "entry.S");
_Static_assert(offsetof(struct context, rflags) == CONTEXT_RFLAGS, "entry.S");
_Static_assert(sizeof(struct context) == CONTEXT_SIZE, "entry.S");

static void *host_data(void)
{
    return current_thread()->exchange->data;
}

/* Bytes for the host, from byte `at` of its data on. */
static void put(size_t at, const void *from, size_t size)
{
    memcpy((uint8_t *)host_data() + at, from, size);
}

/* A result that is neither a legal value nor an errno becomes -EPERM. */
static int64_t check_result(const struct ocall_description *row, const uint64_t arguments[OCALL_ARGUMENTS], int64_t result)
{
    if (result < 0) {
        return result < -ERRNO_MAX ? -EPERM : result;
    }
    int64_t least = ocall_result_min(row), most = ocall_result_max(row, arguments);
    if (result < least || result > most) {
        log_line(LOG_ERROR, "the host answered %s with %ld, which is not within %ld and %ld", row->name, result, least, most);
        return -EPERM;
    }
    return result;
}

/* One OCALL as ocalls.def describes it; `out`, if there is any, gets what it gives, which may be no more than it was asked for. The result and each
 * byte of data are read once. */
static int64_t call(void *out, enum ocall number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    const struct ocall_description *row = &OCALLS[number];
    const uint64_t arguments[OCALL_ARGUMENTS] = {a, b, c, d};
    volatile struct exchange *exchange = current_thread()->exchange;
    int64_t result;
    if (!ocall_fits(row, arguments)) {
        return -EINVAL;
    }
    do {
        exchange->ocall = number;
        for (size_t index = 0; index < OCALL_ARGUMENTS; index++) {
            exchange->arguments[index] = arguments[index];
        }
        ocall();
        result = check_result(row, arguments, exchange->result);
    } while (result == -EINTR && row->again && !attention_is_pending());
    if (out && result >= 0) {
        memcpy(out, host_data(), ocall_area_size(&row->out, arguments, result));
    }
    return result;
}

/* Host signals. */

#define SIGNAL_BIT(number) (1ULL << ((number)-1))
#define SYNCHRONOUS_SIGNALS                                                                                                \
    (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP))

static uint64_t allowed_signals;

void boundary_allow_signals(uint64_t mask)
{
    allowed_signals = mask & ~SYNCHRONOUS_SIGNALS;
}

bool attention_is_pending(void)
{
    const struct thread *thread = current_thread();
    return __atomic_load_n(&thread->attention, __ATOMIC_ACQUIRE) != 0 ||
           (__atomic_load_n(&thread->exchange->signals, __ATOMIC_ACQUIRE) & allowed_signals) != 0;
}

void resume_attention(struct context *context)
{
    struct thread *thread = current_thread();
    uint32_t attention = __atomic_exchange_n(&thread->attention, 0, __ATOMIC_ACQ_REL);
    uint64_t signals = __atomic_exchange_n(&thread->exchange->signals, 0, __ATOMIC_ACQ_REL) & allowed_signals;
    if (attention != 0 || signals != 0) {
        libos_attention(context, signals);
    }
}

/* Vector state. */

#define XSAVE_X87 1U
#define XSAVE_MXCSR 24
#define XSAVE_REGISTERS 32
#define XSAVE_X87_SIZE 128
#define XSAVE_HEADER 512
#define XSAVE_HEADER_SIZE 64
#define MXCSR_VALID 0xFFFFU
#define COMPONENTS_KNOWN 0xE7ULL /* x87, SSE, AVX, the three of AVX-512 */

uint64_t vector_mask_of(uint64_t xfrm)
{
    return xfrm & COMPONENTS_KNOWN;
}

uint64_t vector_mask(void)
{
    return vector_components;
}

void vector_restore(void *image)
{
    uint8_t *bytes = image;
    uint64_t present;
    uint32_t mxcsr;
    memcpy(&present, bytes + XSAVE_HEADER, sizeof(present));
    memcpy(&mxcsr, bytes + XSAVE_MXCSR, sizeof(mxcsr));
    present &= vector_components;
    mxcsr &= MXCSR_VALID;
    memset(bytes + XSAVE_HEADER, 0, XSAVE_HEADER_SIZE);
    memcpy(bytes + XSAVE_HEADER, &present, sizeof(present));
    memcpy(bytes + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
    vector_load(image);
}

/* XINUSE of x87 stays set when its state is the initial one again: Linux sets it in every signal frame. An image that says so makes the next OCALL a
 * cheap one. */
void vector_trim(uint8_t *image)
{
    if (memcmp(image, initial_vector_state, XSAVE_MXCSR) == 0 &&
        memcmp(image + XSAVE_REGISTERS, initial_vector_state + XSAVE_REGISTERS, XSAVE_X87_SIZE) == 0) {
        image[XSAVE_HEADER] &= (uint8_t)~XSAVE_X87;
    }
}

bool rdrand64(uint64_t *value)
{
    for (int attempt = 0; attempt < 10; attempt++) {
        bool valid;
        __asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(valid));
        if (valid) {
            return true;
        }
    }
    return false;
}

/* Dynamic memory. */

int host_memory_add(uint64_t address, uint64_t length)
{
    return (int)call(NULL, OCALL_MEMORY_ADD, address, length, 0, 0);
}

int host_memory_protect(uint64_t address, uint64_t length, uint32_t protection)
{
    return (int)call(NULL, OCALL_MEMORY_PROTECT, address, length, protection, 0);
}

int host_memory_trim(uint64_t address, uint64_t length)
{
    return (int)call(NULL, OCALL_MEMORY_TRIM, address, length, 0, 0);
}

int host_memory_remove(uint64_t address, uint64_t length)
{
    return (int)call(NULL, OCALL_MEMORY_REMOVE, address, length, 0, 0);
}

static int accept_pages(uint64_t address, uint64_t length, uint64_t flags)
{
    const struct secinfo secinfo = {.flags = flags};
    for (uint64_t page = address; page < address + length; page += PAGE_SIZE) {
        if (enclu(ENCLU_EACCEPT, (uint64_t)&secinfo, page, 0) != 0) {
            log_line(LOG_ERROR, "the host did not change the page at 0x%llx as asked", (unsigned long long)page);
            return -EPERM;
        }
    }
    return 0;
}

int enclave_accept(uint64_t address, uint64_t length)
{
    return accept_pages(address, length, PAGE_READ | PAGE_WRITE | SECINFO_TYPE_REG | SECINFO_PENDING);
}

int enclave_accept_restricted(uint64_t address, uint64_t length, uint32_t protection)
{
    return accept_pages(address, length, protection | SECINFO_TYPE_REG | SECINFO_PR);
}

int enclave_accept_trimmed(uint64_t address, uint64_t length)
{
    return accept_pages(address, length, SECINFO_TYPE_TRIM | SECINFO_MODIFIED);
}

void enclave_extend(uint64_t address, uint64_t length, uint32_t protection)
{
    const struct secinfo secinfo = {.flags = protection};
    for (uint64_t page = address; page < address + length; page += PAGE_SIZE) {
        enclu(ENCLU_EMODPE, (uint64_t)&secinfo, page, 0);
    }
}

/* Threads and time. */

_Noreturn static void leave(enum ocall number, uint64_t a, uint64_t b, uint64_t c)
{
    volatile struct exchange *exchange = current_thread()->exchange;
    exchange->ocall = number;
    exchange->arguments[0] = a;
    exchange->arguments[1] = b;
    exchange->arguments[2] = c;
    leave_for_good();
}

bool enclave_set_end(enum eexit why)
{
    uint32_t living = 0;
    return __atomic_compare_exchange_n(&enclave_end, &living, why, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

_Noreturn void host_exit_with_line(uint32_t status, uint32_t signal, const char *text, size_t length)
{
    if (!enclave_set_end(EEXIT_ENDED)) {
        leave_ended();
    }
    size_t size = length < EXCHANGE_DATA_SIZE ? length : EXCHANGE_DATA_SIZE;
    put(0, text, size);
    leave(OCALL_EXIT, status, signal, size);
}

_Noreturn void host_exit(uint32_t status, uint32_t signal)
{
    host_exit_with_line(status, signal, "", 0);
}

_Noreturn void host_thread_exit(void)
{
    leave(OCALL_THREAD_EXIT, 0, 0, 0);
}

int host_thread_create(void)
{
    return (int)call(NULL, OCALL_THREAD_CREATE, 0, 0, 0, 0);
}

int host_wait(uint64_t timeout_ns)
{
    int result = (int)call(NULL, OCALL_WAIT, timeout_ns, 0, 0, 0);
    return result == -ETIMEDOUT || (result == -EINTR && attention_is_pending()) ? result : 0;
}

void host_wake(uint32_t host_index)
{
    call(NULL, OCALL_WAKE, host_index, 0, 0, 0);
}

void host_interrupt(uint32_t host_index)
{
    call(NULL, OCALL_INTERRUPT, host_index, 0, 0, 0);
}

void host_yield(void)
{
    call(NULL, OCALL_YIELD, 0, 0, 0, 0);
}

uint64_t host_clock(uint32_t clock)
{
    int64_t now = call(NULL, OCALL_CLOCK, clock, 0, 0, 0);
    return now < 0 ? 0 : (uint64_t)now;
}

static size_t at_most_data(size_t length)
{
    return length < EXCHANGE_DATA_SIZE ? length : EXCHANGE_DATA_SIZE;
}

void host_log(enum log_level level, const char *text, size_t length)
{
    size_t size = at_most_data(length);
    put(0, text, size);
    call(NULL, OCALL_LOG, level, size, 0, 0);
}

/* Files. */

/* A transfer of any length, in pieces. `object` is a descriptor or whatever else the OCALL calls its first argument. */
static int64_t transfer(enum ocall number, uint64_t object, void *to, const void *from, size_t length, uint64_t offset)
{
    size_t done = 0;
    do {
        size_t size = at_most_data(length - done);
        if (from) {
            put(0, (const uint8_t *)from + done, size);
        }
        int64_t result = call(to ? (uint8_t *)to + done : NULL, number, object, size, offset + done, 0);
        if (result < 0) {
            return done > 0 ? (int64_t)done : result;
        }
        done += (size_t)result;
        if ((size_t)result < size) {
            break;
        }
    } while (done < length);
    return (int64_t)done;
}

int64_t host_read(int fd, void *to, size_t length)
{
    return call(to, OCALL_READ, (uint64_t)fd, at_most_data(length), 0, 0);
}

int64_t host_write(int fd, const void *from, size_t length)
{
    return transfer(OCALL_WRITE, (uint64_t)fd, NULL, from, length, 0);
}

int64_t host_pread(int fd, void *to, size_t length, uint64_t offset)
{
    return transfer(OCALL_PREAD, (uint64_t)fd, to, NULL, length, offset);
}

int64_t host_pwrite(int fd, const void *from, size_t length, uint64_t offset)
{
    return transfer(OCALL_PWRITE, (uint64_t)fd, NULL, from, length, offset);
}

int64_t host_image_read(enum image_file file, uint64_t offset, void *to, size_t length)
{
    return transfer(OCALL_IMAGE_READ, file, to, NULL, length, offset);
}

int64_t host_data_read(int handle, uint64_t offset, void *to, size_t length)
{
    return transfer(OCALL_DATA_READ, (uint64_t)handle, to, NULL, length, offset);
}

void host_close(int fd)
{
    call(NULL, OCALL_CLOSE, (uint64_t)fd, 0, 0, 0);
}

int host_poll(struct host_poll *entries, size_t count, uint64_t timeout_ns)
{
    if (count > EXCHANGE_DATA_SIZE / sizeof(*entries)) {
        return -EINVAL;
    }
    enum { ALWAYS_REPORTED = 0x08 | 0x10 | 0x20 }; /* POLLERR, POLLHUP, POLLNVAL */
    put(0, entries, count * sizeof(*entries));
    int result = (int)call(NULL, OCALL_POLL, count, timeout_ns, 0, 0);
    if (result < 0) {
        return result == -EINTR && !attention_is_pending() ? 0 : result;
    }
    const volatile struct host_poll *answers = host_data();
    int ready = 0;
    for (size_t index = 0; index < count; index++) {
        entries[index].revents = answers[index].revents & (entries[index].events | ALWAYS_REPORTED);
        ready += entries[index].revents != 0;
    }
    return ready;
}

int host_stat(int fd, struct host_stat *stat)
{
    return (int)call(stat, OCALL_STAT, (uint64_t)fd, 0, 0, 0);
}

int64_t host_ioctl(int fd, uint32_t request, void *data, size_t in, size_t out)
{
    if (in > EXCHANGE_DATA_SIZE) {
        return -EINVAL;
    }
    put(0, data, in);
    return call(data, OCALL_IOCTL, (uint64_t)fd, request, in, out);
}

int host_sync(int fd)
{
    return (int)call(NULL, OCALL_SYNC, (uint64_t)fd, 0, 0, 0);
}

int host_truncate(int fd, uint64_t length)
{
    return (int)call(NULL, OCALL_TRUNCATE, (uint64_t)fd, length, 0, 0);
}

static int64_t call_path(void *out, enum ocall number, const char *path, size_t path_length, uint64_t b, uint64_t c)
{
    if (path_length > EXCHANGE_DATA_SIZE) {
        return -ENAMETOOLONG;
    }
    put(0, path, path_length);
    return call(out, number, path_length, b, c, 0);
}

int host_data_open(const char *path, size_t path_length)
{
    return (int)call_path(NULL, OCALL_DATA_OPEN, path, path_length, 0, 0);
}

void host_data_close(int handle)
{
    call(NULL, OCALL_DATA_CLOSE, (uint64_t)handle, 0, 0, 0);
}

int host_volume_open(const char *path, size_t path_length, uint32_t flags, uint32_t mode)
{
    return (int)call_path(NULL, OCALL_VOLUME_OPEN, path, path_length, flags, mode);
}

int host_volume_stat(const char *path, size_t path_length, struct host_stat *stat)
{
    return (int)call_path(stat, OCALL_VOLUME_STAT, path, path_length, 0, 0);
}

int64_t host_volume_readlink(const char *path, size_t path_length, char *to, size_t length)
{
    return call_path(to, OCALL_VOLUME_READLINK, path, path_length, at_most_data(length), 0);
}

int64_t host_volume_list(int fd, void *records, size_t length)
{
    return call(records, OCALL_VOLUME_LIST, (uint64_t)fd, at_most_data(length), 0, 0);
}

int host_volume_mkdir(const char *path, size_t path_length, uint32_t mode)
{
    return (int)call_path(NULL, OCALL_VOLUME_MKDIR, path, path_length, mode, 0);
}

int host_volume_unlink(const char *path, size_t path_length, uint32_t flags)
{
    return (int)call_path(NULL, OCALL_VOLUME_UNLINK, path, path_length, flags, 0);
}

int host_volume_chmod(const char *path, size_t path_length, uint32_t mode)
{
    return (int)call_path(NULL, OCALL_VOLUME_CHMOD, path, path_length, mode, 0);
}

int host_volume_utime(const char *path, size_t path_length, int64_t atime_ns, int64_t mtime_ns)
{
    return (int)call_path(NULL, OCALL_VOLUME_UTIME, path, path_length, (uint64_t)atime_ns, (uint64_t)mtime_ns);
}

static int call_two_paths(enum ocall number, const char *first, size_t first_length, const char *second, size_t second_length)
{
    if (first_length > EXCHANGE_DATA_SIZE || second_length > EXCHANGE_DATA_SIZE - first_length) {
        return -ENAMETOOLONG;
    }
    put(0, first, first_length);
    put(first_length, second, second_length);
    return (int)call(NULL, number, first_length, second_length, 0, 0);
}

int host_volume_rename(const char *old_path, size_t old_length, const char *new_path, size_t new_length)
{
    return call_two_paths(OCALL_VOLUME_RENAME, old_path, old_length, new_path, new_length);
}

int host_volume_symlink(const char *target, size_t target_length, const char *path, size_t path_length)
{
    return call_two_paths(OCALL_VOLUME_SYMLINK, target, target_length, path, path_length);
}

int64_t host_file(enum host_file file, void *to, size_t length)
{
    return call(to, OCALL_HOST_FILE, file, at_most_data(length), 0, 0);
}
