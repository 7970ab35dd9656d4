/* Pseudoterminals (pty(7)): pty.c has their two ends, pty_ioctl.c what can be asked of them, devpts.c where they are found,
 * pty_session.c whose terminal they are. */
#ifndef ENCLAVIZE_FS_PTY_H
#define ENCLAVIZE_FS_PTY_H

#include "fs/file.h"
#include "fs/line_discipline.h"
#include "fs/poller.h"

struct window_size {
    uint16_t rows, columns, width, height;
};

/* The inode is that of the slave, /dev/pts/NUMBER, and counts for the whole: the master has one count of it. */
struct pty {
    struct inode inode;
    struct pty *next; /* all there are, under devpts.c's lock */
    int32_t number;
    int32_t session, group; /* which it controls, or 0, and that one's foreground group; under pty_session.c's lock */
    struct pty *next_controlling;
    struct event_source master, slave; /* what each end waits for */
    uint32_t sources;                  /* of the two, that are still counted; atomic */
    struct mutex lock;                 /* guards what follows */
    struct line line;
    struct window_size window;
    uint32_t slaves; /* open files */
    bool slave_was_open, master_is_closed;
    bool locked;    /* TIOCSPTLCK: the slave cannot be opened */
    bool master_is_exclusive, slave_is_exclusive; /* TIOCEXCL: it cannot be opened again */
    bool packets;   /* TIOCPKT: each read of the master begins with a byte that says what it is */
};

/* The two ends. */
void pty_open_master(struct pty *pty, struct file *file);
int64_t pty_open_slave(struct pty *pty, struct file *file);
/* NULL: it is no end of a pseudoterminal. *is_master says which one. */
struct pty *pty_of(const struct file *file, bool *is_master);

/* To the master, of what line->news has: it may be asleep. The lock is held. */
void pty_tell_news(struct pty *pty);
int64_t pty_ioctl(struct file *file, uint32_t request, user_address argument);

/* devpts. */
#define PTYS_MAX 4096 /* /proc/sys/kernel/pty/max */
uint32_t devpts_count(void);
int64_t devpts_create(struct inode **root);
int64_t devpts_open_master(struct file *file);
void devpts_remove(struct pty *pty);
/* The slave of a master, opened without its path (TIOCGPTPEER). */
int64_t devpts_open_peer(struct pty *pty, uint32_t flags, struct file **file);

/* Sessions (pty_session.c): the controlling terminal of the caller's, if it is a pseudoterminal; with one more count of its
 * inode, or NULL. */
struct pty *controlling_pty(void);
bool is_controlling_pty(const struct pty *pty);
/* For the caller's session. -EPERM: the caller does not lead it, it has one, or the pseudoterminal has another session. */
int64_t controlling_pty_set(struct pty *pty);
/* TIOCNOTTY. -ENOTTY: it is not the caller's, or the caller does not lead the session. */
int64_t controlling_pty_give_up(struct pty *pty);
/* The master has been closed. */
void pty_hang_up(struct pty *pty);
/* To its foreground group: bit n - 1 for signal n. */
void pty_send_signals(struct pty *pty, uint64_t signals);
int32_t pty_foreground_group(const struct pty *pty);
/* terminal_check_background(), if it is the terminal of the caller's session. */
int64_t pty_check_background(const struct pty *pty, int signal);
/* tcsetpgrp(3). -ENOTTY, -ESRCH, -EPERM. */
int64_t terminal_may_have_group(int32_t group); /* is it one of the caller's session? 0, -ESRCH, -EPERM */
int64_t pty_set_foreground_group(struct pty *pty, int32_t group);

#endif
