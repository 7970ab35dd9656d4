/*
 * The signal room: who has a signal waiting, what it does, delivery on the way back to the application, and what becomes
 * of exceptions.
 */
#ifndef ENCLAVIZE_SIGNAL_H
#define ENCLAVIZE_SIGNAL_H

#include "process/process.h"

/* An unblocked signal waits for the calling task; signals that wait outside are taken in first. */
bool signal_is_pending(void);
/* Make the context run the handlers of waiting signals, or end the process by default action. */
void signal_deliver(struct context *context);

/* si_code of those who send (sigaction(2)). */
enum { SI_USER = 0, SI_QUEUE = -1, SI_TIMER = -2, SI_MESGQ = -3, SI_TKILL = -6, SI_KERNEL = 0x80 };

/* 0; SIGNAL_IGNORED: nobody will be told; -EAGAIN: a real-time signal of a known sender finds no place in the queue. */
#define SIGNAL_IGNORED 1
int64_t signal_send(struct task *task, const struct signal_info *info);
/* To whichever thread does not block it: the first thread rather than the caller, the caller rather than others. */
int64_t signal_send_process(struct process *process, const struct signal_info *info);
/* The same to one of the threads that run: what measures the use of the processor wants to know who uses it. */
int64_t signal_send_running(struct process *process, const struct signal_info *info);
/* To the calling task, as the kernel does for SIGPIPE. */
void signal_send_current(int signal);

/* kill(2) and sigqueue(3) to the process, by the number that the caller gave. 0, -EINVAL, -EPERM, -EAGAIN. */
int64_t signal_kill_process(struct process *process, uint64_t signal);
int64_t signal_queue_process(struct process *process, uint64_t signal, const struct signal_info *info);
/* The kernel's own, to the process or to one thread of it (NULL: whichever). As signal_send(). */
int64_t signal_tell(struct process *process, struct task *task, const struct signal_info *info);
/* The same to all of a group. */
void signal_tell_group(int32_t group, int signal);
/* Calls `each`, without a lock, for the processes of a group. */
void signal_each_of_group(int32_t group, void (*each)(struct process *process, void *context), void *context);
#define SIGNAL_INFO_SIZE 128 /* siginfo_t */
/* 0 or -EFAULT. */
int64_t signal_info_from_user(struct signal_info *info, user_address from);

/* Which signals the process ignores, and for which it has handlers (bit n - 1): SigIgn and SigCgt of proc(5). */
void signal_handling(const struct process *process, uint64_t *ignored, uint64_t *caught);
/* How many are queued, of all processes. */
uint64_t signals_queued(void);
/* All that wait for the task or for the process, blocked or not. */
uint64_t signals_pending(const struct task *task);
/* Takes one of the wanted signals, for the calling task; false: none waits. */
bool signal_take(struct task *task, uint64_t wanted, struct signal_info *info);

/* For ppoll, pselect6, epoll_pwait: the mask holds until this system call returns; a handler that runs at its
 * end returns to the old one. mask 0: nothing happens. -EINVAL (size is not 8), -EFAULT. */
int signal_set_temporary_mask(user_address mask, uint64_t size);

/* pselect6 and io_pgetevents have no argument left for its size: theirs is the place of this. 0: there is no mask. -EFAULT. */
struct mask_place {
    user_address mask;
    uint64_t size;
};
int signal_find_mask(struct mask_place *found, user_address place);

/* What the signal room needs of the rooms above. */
struct signal_upcalls {
    /* fs: a signal waits for somebody. */
    void (*arrived)(void);
    /* fs: the group in the foreground of the session's terminal, if that is one of the host's; 0: there is none. */
    int32_t (*foreground_group)(int32_t session);
    /* time: the signal of a timer is being taken: the timer goes on, and *info tells how often it ran out meanwhile. */
    void (*timer_taken)(struct signal_info *info);
    /* time: signals (bit n - 1) that waited are forgotten, since they are ignored now. */
    void (*timers_forgotten)(uint64_t signals);
};
extern struct signal_upcalls signal_upcalls;

void signal_start(void);
/* Lets these signals (bit n - 1) of the host in. */
void signal_allow_host(uint64_t mask);

#endif
