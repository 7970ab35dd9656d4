/* The host's terminal as a session's controlling one, if any of the session's standard streams is a terminal. */
#ifndef ENCLAVIZE_FS_CONSOLE_H
#define ENCLAVIZE_FS_CONSOLE_H

#include "fs/inode.h"

struct console;

/* Of the calling process's session, whose group is in the foreground; with one count. NULL: out of memory. */
struct console *console_create(void);
struct console *console_get(struct console *console);
void console_put(struct console *console); /* NULL is fine */

/* The stream that is the terminal, if there is none yet. It is not counted: console_forget() when it goes. */
void console_set_terminal(struct console *console, struct inode *stream);
void console_forget(struct console *console, const struct inode *stream);
/* The terminal of the calling process's session, with one more count, or NULL. */
struct inode *console_terminal(void);
/* The group in the foreground of a session's terminal; 0: it has none. */
int32_t console_group_of_session(int32_t session);
uint32_t console_device_of_session(int32_t session); /* 0: it has none */

/* tcgetpgrp(3), tcsetpgrp(3). -ENOTTY: it is not the calling process's controlling terminal; -ESRCH, -EPERM. */
int64_t console_group(const struct console *console);
int64_t console_set_group(struct console *console, int32_t group);
/* terminal_check_background(), if it is the calling process's controlling terminal. */
int64_t console_check_background(const struct console *console, int signal);

#endif
