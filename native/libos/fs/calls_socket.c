/* There are no sockets yet: programs hear of it where they are used to hearing that a family is missing. */
#include "../syscalls.h"

int64_t sys_socket(const struct arguments *arguments)
{
    (void)arguments;
    return -EAFNOSUPPORT;
}

int64_t sys_socketpair(const struct arguments *arguments)
{
    (void)arguments;
    return -EAFNOSUPPORT;
}
