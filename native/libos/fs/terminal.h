/* The controlling terminals of sessions: pseudoterminals (pty_session.c), or the host's (console.c). */
#ifndef ENCLAVIZE_FS_TERMINAL_H
#define ENCLAVIZE_FS_TERMINAL_H

#include <stdint.h>

struct terminal {
    uint32_t device; /* 0: there is none */
    int32_t group;   /* in the foreground; -1: there is none */
};
struct terminal terminal_of_session(int32_t session);

#endif
