/* System calls about the process and the system. Most answers are fixed by the measured configuration. */
#include "process/process.h"

#define UTS_LENGTH 65

#define PERSONALITY_KIND 0xFFU

/* override_release() of Linux: a release of 2.6 for who knows no other, 6.1 being 2.6.61. */
static void tell_old_release(char release[UTS_LENGTH])
{
    const char *rest = KERNEL_RELEASE;
    while (*rest == '.' || (*rest >= '0' && *rest <= '9')) {
        rest++;
    }
    format_text(release, UTS_LENGTH, "2.6.%u%s", 60 + KERNEL_PATCHLEVEL, rest);
}

int64_t sys_uname(const struct arguments *arguments)
{
    char fields[6][UTS_LENGTH] = {"Linux", "localhost", KERNEL_RELEASE, KERNEL_VERSION, "x86_64", "(none)"};
    uint32_t personality = current_task()->personality;
    if (personality & UNAME26) {
        tell_old_release(fields[2]);
    }
    if ((personality & PERSONALITY_KIND) == PER_LINUX32) {
        memcpy(fields[4], "i686", sizeof "i686");
    }
    if (configuration.hostname.size) {
        format_text(fields[1], UTS_LENGTH, "%.*s", (int)configuration.hostname.size,
                    configuration.hostname.start);
    }
    return copy_to_user(arguments->at[0], fields, sizeof fields);
}

int64_t sys_sysinfo(const struct arguments *arguments)
{
    struct {
        int64_t uptime;
        uint64_t loads[3], total, free, shared, buffers, swap_total, swap_free;
        uint16_t processes, padding;
        uint32_t padding2;
        uint64_t high_total, high_free;
        uint32_t unit;
        uint32_t padding3;
    } info = {.processes = (uint16_t)task_count(), .unit = 1};
    _Static_assert(sizeof info == 112, "struct sysinfo");
    struct memory_counts counts;
    memory_count(current_space(), &counts);
    info.uptime = (int64_t)(clock_now_ns(CLOCK_BOOTTIME) / NS_PER_SECOND);
    info.total = counts.limit * PAGE_SIZE;
    info.free = (counts.limit - counts.committed) * PAGE_SIZE;
    return copy_to_user(arguments->at[0], &info, sizeof info);
}

#define PERSONALITY_QUERY 0xFFFFFFFFU

/* Nobody has CAP_SYS_TTY_CONFIG. */
int64_t sys_vhangup(const struct arguments *arguments)
{
    (void)arguments;
    return -EPERM;
}

/* What it changes in Linux for 64 bits is done here, too (uname(2), select(2)); addresses are never random, and nothing is mapped at 0. That
 * all that can be read can be executed would be another promise about memory than the image's: it is refused. */
int64_t sys_personality(const struct arguments *arguments)
{
    struct task *task = current_task();
    uint32_t wanted = (uint32_t)arguments->at[0], old = task->personality;
    if (wanted == PERSONALITY_QUERY) {
        return old;
    }
    if (wanted & READ_IMPLIES_EXEC) {
        return -EINVAL;
    }
    task->personality = wanted;
    return old;
}

enum { GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4 };

int64_t sys_getrandom(const struct arguments *arguments)
{
    uint64_t length = arguments->at[1];
    uint64_t flags = (uint32_t)arguments->at[2];
    bool contradicts = (flags & GRND_RANDOM) && (flags & GRND_INSECURE);
    if (contradicts || (flags & ~(uint64_t)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE))) {
        return -EINVAL;
    }
    uint8_t piece[256];
    uint64_t done = 0;
    while (done < length) {
        uint64_t size = length - done < sizeof piece ? length - done : sizeof piece;
        random_bytes(piece, size);
        if (copy_to_user(arguments->at[0] + done, piece, size)) {
            return -EFAULT;
        }
        done += size;
    }
    return (int64_t)done;
}
