/*
 * Tracking (SDM volume 3D, "ETRACK"; Linux, sgx_enclave_etrack()): a changed page cannot be accepted as long as a thread is inside that came before ETRACK,
 * since its processor may know the page as it was. The kernel drives such threads out by interrupts to their processors. It does so for each page; here,
 * once for each request is enough.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fake.h"

#define KICK_SIGNAL (SIGRTMAX - 2) /* one that the PAL lets through */
#define KICK_VALUE 0x4B49434B

static uint64_t epoch;                 /* of the SECS: how often ETRACK was done */
static uint32_t changed[SPACE / PAGE]; /* the epoch of the last change, and 1; 0: none */

void track_entry(struct thread_control *control)
{
    take();
    control->host_thread = (int)syscall(SYS_gettid);
    __atomic_store_n(&control->epoch, epoch, __ATOMIC_RELEASE);
    give();
}

void track_exit(struct thread_control *control)
{
    __atomic_store_n(&control->epoch, EPOCH_OUTSIDE, __ATOMIC_RELEASE);
    __atomic_store_n(&control->busy, 0, __ATOMIC_RELEASE);
}

void track_change(uint64_t page)
{
    changed[page / PAGE] = (uint32_t)epoch + 1;
}

static bool is_inside_since(const struct thread_control *control, uint64_t last)
{
    return __atomic_load_n(&control->epoch, __ATOMIC_ACQUIRE) <= last;
}

bool is_tracked(uint64_t page)
{
    uint32_t change = changed[page / PAGE];
    bool is_over = epoch >= change;
    for (unsigned index = 0; change && index < control_count; index++) {
        is_over = is_over && !is_inside_since(&controls[index], change - 1);
    }
    return is_over;
}

static void kick(const struct thread_control *control)
{
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    info.si_signo = KICK_SIGNAL;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_value.sival_int = KICK_VALUE;
    syscall(SYS_rt_tgsigqueueinfo, getpid(), control->host_thread, KICK_SIGNAL, &info);
}

bool is_kick(const siginfo_t *info)
{
    return info->si_signo == KICK_SIGNAL && info->si_code == SI_QUEUE && info->si_value.sival_int == KICK_VALUE;
}

void track(void)
{
    if (lies("untracked")) {
        return;
    }
    take();
    uint64_t last = epoch++;
    give();
    for (unsigned index = 0; index < control_count; index++) {
        if (is_inside_since(&controls[index], last)) {
            kick(&controls[index]);
        }
    }
    for (unsigned index = 0; index < control_count; index++) {
        while (is_inside_since(&controls[index], last)) {
            syscall(SYS_sched_yield);
        }
    }
}
