/* A thread of the application, as the core keeps it. thread.h is the boundary's half: this half lives in
 * LibOS memory. */
#ifndef ENCLAVIZE_TASK_H
#define ENCLAVIZE_TASK_H

#include "boundary/boundary.h"
#include "base/base.h"

enum sleep_state {
    TASK_AWAKE = 0,
    TASK_SLEEPING = 1, /* in an OCALL that OCALL_WAKE ends */
    TASK_WOKEN = 2,    /* a wake came: the next sleep returns at once */
};

#define SIGNAL_BIT(signal) (1ULL << ((signal)-1))

/* What the handler is told: the start of Linux's siginfo_t. */
struct signal_info {
    int32_t signal;
    int32_t error;
    int32_t code;
    int32_t padding;
    uint64_t first;  /* si_pid and si_uid, or si_addr */
    uint64_t second; /* si_value */
};

struct signal_stack {
    user_address start;
    int32_t flags;
    int32_t padding;
    uint64_t size;
};

/* Tasks are recycled, never given back: a late wake of a task that has ended is harmless. */
struct task {
    struct task *next; /* all living tasks, or all dead ones; under task_list_lock */
    struct thread *thread;
    int32_t id;
    bool alive;
    uint32_t sleep_state;
    char name[16];

    user_address clear_child_tid;
    user_address robust_list;
    struct context start_context; /* where a new thread begins */
    uint64_t start_fs_base;
    void (*service)(void); /* instead: a thread of the LibOS's own */

    uint64_t blocked; /* signals; the owner writes it */
    uint64_t pending; /* atomic */
    struct signal_info information[SIGNAL_COUNT + 1]; /* of pending signals; under signal_lock */
    uint64_t saved_mask; /* while a temporary mask holds */
    bool mask_is_saved;
    struct signal_stack signal_stack;
    struct context *context;   /* of the system call being served */
    uint64_t interrupted_call; /* number + 1 of the call that has just returned -EINTR, else 0 */
    bool context_replaced;     /* by rt_sigreturn: RAX holds no result */
};

/* Calls `each` for every living task under the list's lock; stops when it returns false. */
void task_each(bool (*each)(struct task *task, void *context), void *context);
size_t task_count(void);

/* The task of the first thread; makes the calling thread run as it. */
struct task *task_start_first(void);
/* A thread that runs `service`, is not counted and gets no signals; NULL: no TCS or no memory. */
struct task *task_start_service(void (*service)(void));
/* The calling thread ends, the last one with the process. */
_Noreturn void task_exit(int status);
_Noreturn void process_exit(int status, int signal);

/* Signals waiting outside are taken in, thread->attention is cleared; true: an unblocked signal waits. */
bool signal_collect(void);
/* Make the context run the handlers of waiting signals, or end the process by default action. */
void signal_deliver(struct context *context);
void signal_send(struct task *task, const struct signal_info *info);
/* To whichever thread does not block it. */
void signal_send_process(const struct signal_info *info);
/* A thread that was told of a signal to the process ends or blocks it: tell another. */
void signal_pass_on(void);
/* A synchronous exception: ends the process when the signal is blocked or ignored, as the kernel does. */
void signal_force(struct context *context, const struct signal_info *info);
void signal_start(uint64_t host_signals);

/* Futexes, for CLEAR_CHILD_TID. */
int64_t futex_wake(user_address address, uint32_t count, uint32_t bits);

#endif
