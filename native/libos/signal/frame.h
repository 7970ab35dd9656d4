/* The stack frame of a signal handler as Linux lays it out (arch/x86/include/uapi/asm/sigcontext.h,
 * ucontext.h). */
#ifndef ENCLAVIZE_SIGNAL_FRAME_H
#define ENCLAVIZE_SIGNAL_FRAME_H

#include "signal/action.h"

enum { SS_ONSTACK = 1, SS_DISABLE = 2 };
#define SS_AUTODISARM 0x80000000U
#define SIGNAL_STACK_MINIMUM 2048U /* what sigaltstack(2) accepts */

/* Pushes the frame and points the context at the handler. 0 or -EFAULT: the stack cannot take it. */
int signal_frame_push(struct task *task, struct context *context, const struct signal_action *action,
                      const struct signal_info *info, uint64_t old_mask);
/* Undoes it: registers, mask, signal stack. -EFAULT: no good frame. */
int signal_frame_pop(struct task *task, struct context *context);

/* The stack pointer lies on the task's alternative stack. */
bool signal_stack_is_used(const struct task *task, user_address stack_pointer);
/* What sigaltstack(2) tells of it. */
int32_t signal_stack_flags(const struct task *task, user_address stack_pointer);

#endif
