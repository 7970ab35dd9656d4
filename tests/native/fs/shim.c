/* Stand-ins for the rest of the core: the log, the configuration, the processor, clocks, randomness, SHA-256. */
#include "shim_libos.h"

int open(const char *path, int flags, ...);
int close(int fd);
long read(int fd, void *to, size_t size);
int vsnprintf(char *to, size_t size, const char *format, va_list arguments);
int clock_gettime(int clock, struct timespec *time);
unsigned char *SHA256(const unsigned char *data, size_t size, unsigned char *digest);

uint32_t log_lines;
char last_line[512];
struct configuration configuration = {.threads = 4};

void configuration_directory(char *path, size_t size)
{
    format_text(path, size, "/");
}

/* A processor that can do nothing. */
struct cpuid cpuid_of(uint32_t leaf, uint32_t subleaf)
{
    (void)leaf, (void)subleaf;
    return (struct cpuid){0};
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

void random_bytes(void *to, size_t size)
{
    int fd = open("/dev/urandom", 0);
    read(fd, to, size);
    close(fd);
}

/* Reports and keys of an enclave that is none: each byte tells what was asked. */
int enclave_report(const uint8_t target[TARGETINFO_SIZE], const uint8_t data[REPORTDATA_SIZE], struct report *report)
{
    memset(report, 0, sizeof(*report));
    memcpy(report->report_data, data, REPORTDATA_SIZE);
    report->mac[0] = target[0];
    return target[TARGETINFO_SIZE - 1] == 0 ? 0 : -EINVAL;
}

void enclave_target_info(struct target_info *target)
{
    memset(target, 0, sizeof(*target));
    target->mrenclave[0] = 0x7E;
}

int enclave_seal_key(enum key_policy policy, uint8_t key[KEY_SIZE])
{
    memset(key, (int)policy, KEY_SIZE);
    return 0;
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

uint64_t timer_slack(const struct task *task)
{
    return task->scheduling.timer_slack;
}

uint64_t host_thread_clock(uint32_t host_index)
{
    (void)host_index;
    return 0;
}

bool ns_of_timespec(uint64_t *ns, const struct timespec *time)
{
    *ns = (uint64_t)time->seconds * NS_PER_SECOND + (uint64_t)time->nanoseconds;
    return time->seconds >= 0 && time->nanoseconds >= 0 && time->nanoseconds < (int64_t)NS_PER_SECOND;
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
