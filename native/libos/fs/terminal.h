/* The controlling terminals of sessions: pseudoterminals (pty_session.c), or the host's (console.c). */
#ifndef ENCLAVIZE_FS_TERMINAL_H
#define ENCLAVIZE_FS_TERMINAL_H

#include <stdint.h>

struct terminal {
    uint32_t device; /* 0: there is none */
    int32_t group;   /* in the foreground; -1: there is none */
};
struct terminal terminal_of_session(int32_t session);
/* Its leader ends: the group in the foreground is told, and the session has no terminal any more. */
void terminal_session_ends(int32_t session);
/*
 * Before the caller uses its session's terminal, whose foreground group this is (0: none): SIGTTIN to read, SIGTTOU to change it, and to write
 * with TOSTOP. 0: it may. -EINTR: its group has been sent the signal. -EIO: that would be of no use (Linux, __tty_check_change()).
 */
int64_t terminal_check_background(int32_t foreground, int signal);

#endif
