/* The half of the user copies that the exception path and futexes need. */
#ifndef ENCLAVIZE_USER_COPY_H
#define ENCLAVIZE_USER_COPY_H

#include "cpu/context.h"
#include "base/base.h"

/* The context faulted in a copy: go on behind it, as a short copy. False: it did not. */
bool user_copy_fix_up(struct context *context);

/* Atomic. 0: *expected stood there and was replaced. -EAGAIN: another value, now in *expected. -EFAULT. */
int user_compare_exchange(user_address address, uint32_t *expected, uint32_t desired);

#endif
