/* Parents and children: between the files of the process room only. */
#ifndef ENCLAVIZE_PROCESS_CHILD_H
#define ENCLAVIZE_PROCESS_CHILD_H

#include "process/table.h"

/* As wait4(2) tells the end of a process. */
static inline uint32_t wait_status_of(int status, int signal)
{
    return signal ? (uint32_t)signal & 0x7F : ((uint32_t)status & 0xFF) << 8;
}

/* si_code of SIGCHLD (sigaction(2)). */
enum { CLD_EXITED = 1, CLD_KILLED = 2, CLD_STOPPED = 5, CLD_CONTINUED = 6 };
/* What SIGCHLD, and waitid(2), tell of a child that has ended. */
struct signal_info child_info(const struct process *child);

/* Of its children the nearest subreaper above becomes the parent, or the first process. What is left of the process
 * waits for its own parent, which is told. */
void become_zombie(struct process *process);

/* A parent of a member has ended that was in another group of the session. Stopped processes that nobody could continue
 * any more are told, as POSIX wants (_exit(2)). */
void group_lost_parent(int32_t group);

/* The parent that sleeps in vfork() goes on (clone.c). */
void release_vfork(struct process *process);

/* Of all threads of the process, the calling one is left; it waits for the others' end (exit.c). */
void end_other_threads(void);

#endif
