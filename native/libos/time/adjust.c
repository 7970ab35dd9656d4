/* adjtimex(2) and clock_adjtime(2): how the clock is kept, which is the host's affair. */
#include "process/process.h"
#include "time/clock.h"

/* Linux, include/uapi/linux/timex.h, and what ntp_clear() and ntp_init() there leave of a clock that nobody keeps. */
enum adjustment { ADJ_OFFSET_SINGLESHOT = 0x0001, ADJ_SETOFFSET = 0x0100, ADJ_OFFSET_READONLY = 0x2000, ADJ_ADJTIME = 0x8000 };
#define STA_UNSYNC 0x0040
#define TIME_ERROR 5
#define UNKNOWN_ERROR 16000000  /* us: NTP_PHASE_LIMIT */
#define TOLERANCE 32768000      /* 500 ppm, times 2^16 */
#define TICK 10000              /* us, of a hundredth of a second */

struct timex {
    uint32_t modes, padding_of_modes;
    int64_t offset, frequency, most_error, estimated_error;
    int32_t status, padding_of_status;
    int64_t constant, precision, tolerance;
    struct timeval time;
    int64_t tick;
    int64_t pps_frequency, pps_jitter;
    int32_t pps_shift, padding_of_shift;
    int64_t pps_stability, pps_jitters, pps_intervals, pps_errors, pps_exceeded;
    int32_t leap_seconds; /* TAI - UTC */
    int32_t reserved[11];
};
_Static_assert(sizeof(struct timex) == 208, "struct timex");

/* timekeeping_validate_timex() of Linux: everybody may look, and nobody here has CAP_SYS_TIME. */
static int64_t check_modes(uint32_t modes)
{
    bool only_looks = modes == 0;
    if ((modes & ADJ_ADJTIME) != 0) {
        if ((modes & ADJ_OFFSET_SINGLESHOT) == 0) {
            return -EINVAL; /* it goes with no other */
        }
        only_looks = (modes & (ADJ_OFFSET_READONLY | ADJ_SETOFFSET)) == ADJ_OFFSET_READONLY;
    }
    return only_looks ? 0 : -EPERM;
}

/* Whether the host keeps its clock well nothing tells: to programs, it is a clock that nobody keeps. */
static int64_t adjust(user_address argument)
{
    struct timex timex;
    if (copy_from_user(&timex, argument, sizeof(timex)) < 0) {
        return -EFAULT;
    }
    int64_t result = check_modes(timex.modes);
    if (result < 0) {
        return result;
    }
    timex = (struct timex){
        .modes = timex.modes, .status = STA_UNSYNC, .most_error = UNKNOWN_ERROR, .estimated_error = UNKNOWN_ERROR, .constant = 2, .precision = 1,
        .tolerance = TOLERANCE, .tick = TICK, .time = timeval_of(clock_now_ns(CLOCK_REALTIME)),
    };
    return copy_to_user(argument, &timex, sizeof(timex)) < 0 ? -EFAULT : TIME_ERROR;
}

int64_t sys_adjtimex(const struct arguments *arguments)
{
    return adjust(arguments->at[0]);
}

int64_t sys_clock_adjtime(const struct arguments *arguments)
{
    struct clock clock;
    if (!clock_of_number((int32_t)arguments->at[0], &clock)) {
        return -EINVAL;
    }
    return clock.id == CLOCK_REALTIME ? adjust(arguments->at[1]) : -EOPNOTSUPP;
}
