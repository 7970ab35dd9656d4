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

static uint64_t epoch;                   /* of the SECS: how often ETRACK was done */
static uint32_t changed[SPACE / PAGE];   /* the epoch of the last change, and 1; 0: none */

void track_entry(struct thread_control *control)
{
    control->host_thread = (int)syscall(SYS_gettid);
    __atomic_store_n(&control->epoch, __atomic_load_n(&epoch, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
}

void track_change(uint64_t page)
{
    changed[page / PAGE] = (uint32_t)__atomic_load_n(&epoch, __ATOMIC_ACQUIRE) + 1;
}

static bool is_inside_since(const struct thread_control *control, uint64_t last)
{
    return __atomic_load_n(&control->busy, __ATOMIC_ACQUIRE) && __atomic_load_n(&control->epoch, __ATOMIC_ACQUIRE) <= last;
}

bool is_tracked(uint64_t page)
{
    uint32_t change = changed[page / PAGE];
    bool is_over = !change || __atomic_load_n(&epoch, __ATOMIC_ACQUIRE) >= change;
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
    uint64_t last = __atomic_fetch_add(&epoch, 1, __ATOMIC_ACQ_REL);
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
