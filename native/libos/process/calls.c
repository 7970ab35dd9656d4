/* System calls about the process and the system. Most answers are fixed by the measured configuration. */
#include "process/process.h"

#define UTS_LENGTH 65

int64_t sys_uname(const struct arguments *arguments)
{
    char fields[6][UTS_LENGTH] = {"Linux", "localhost", KERNEL_RELEASE, KERNEL_VERSION, "x86_64", "(none)"};
    if (configuration.hostname.size) {
        format_text(fields[1], UTS_LENGTH, "%.*s", (int)configuration.hostname.size,
                    configuration.hostname.start);
    }
    return copy_to_user(arguments->at[0], fields, sizeof fields);
}

int64_t sys_sethostname(const struct arguments *arguments)
{
    (void)arguments;
    return -EPERM;
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

/* Linux remembers any, and obeys; addresses are never random here, and of nothing else it is said that it was done. */
int64_t sys_personality(const struct arguments *arguments)
{
    bool *is_set = &current_process()->attributes.wants_fixed_addresses;
    uint32_t wanted = (uint32_t)arguments->at[0], old = *is_set ? ADDR_NO_RANDOMIZE : 0;
    if (wanted == PERSONALITY_QUERY) {
        return old;
    }
    if (wanted & ~ADDR_NO_RANDOMIZE) {
        return -EINVAL;
    }
    *is_set = wanted != 0;
    return old;
}

enum { GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4 };

int64_t sys_getrandom(const struct arguments *arguments)
{
    uint64_t length = arguments->at[1];
    if (arguments->at[2] & ~(uint64_t)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) {
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
