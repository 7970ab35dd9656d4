/* Tasks in their lists: between the files of the process room only. */
#ifndef ENCLAVIZE_PROCESS_TASK_H
#define ENCLAVIZE_PROCESS_TASK_H

#include "process/process.h"

/* A zeroed one, in no list, of the calling process; NULL: out of memory. */
struct task *task_make(void);
/* 0: all are in use. */
int32_t task_new_id(void);
/* The lock of the lists is held. */
bool task_is_listed(int32_t id);

/* task_each() for who has the lock of the lists. */
void task_each_listed(bool (*each)(struct task *task, void *context), void *context);

void task_add_living(struct task *task);
/* True: it was the last one of its process. */
bool task_remove_living(struct task *task);
/* It has left all lists, and may be made again. */
void task_bury(struct task *task);

/* Those that wait for a host thread. One that is no service is living from then on. */
void task_append_starting(struct task *task);
/* The first; NULL: there is none. */
struct task *task_take_starting(void);
/* No thread comes for it. False: one has taken it. */
bool task_withdraw_starting(struct task *task);

/* Marks the locks that the calling thread still holds, and wakes who waits for them (robust.c). */
void release_robust_list(const struct task *task);
/* That, and the word that set_tid_address(2) named is cleared: nobody in this memory waits for the thread any more. */
void leave_memory(struct task *task);
/* The same for all threads of the calling process, when the process ends: others may look at such a lock through a file that is mapped shared. */
void release_all_robust_lists(void);

/* What clone() asks for; an address is 0 where nothing is to be written. */
struct thread_wish {
    struct process *process;    /* NULL: the caller's; otherwise the thread is its first, and has its id */
    struct space *space;        /* of that process; one count, which stays the caller's if there is no thread. NULL: the caller's */
    user_address stack_pointer; /* 0: the caller's */
    bool sets_fs_base;
    uint64_t fs_base;
    user_address parent_id, child_id; /* where the id goes before the thread runs, each in the memory of its own */
    user_address clear_id;            /* what is cleared and woken when it ends */
    bool keeps_signal_stack;
    bool is_sister; /* the process has the caller's parent: CLONE_PARENT */
    bool has_own_descriptors, has_own_whereabouts; /* a thread that does not share its process's */
};
/* Starts a thread that goes on where the calling one is -> its id, -EAGAIN, -EFAULT (thread.c). */
int64_t thread_make(const struct thread_wish *wish);

/* The calling thread runs as this task from now on. */
void task_run_as(struct task *task);

/* Registers that are not in a context are as at the start of a program. */
void thread_reset(void);

/* Sets this file's part of space_upcalls. */
void tasks_start(void);
/* Makes the calling thread run as the first task (thread.c). */
void task_start_first(void);

#endif
