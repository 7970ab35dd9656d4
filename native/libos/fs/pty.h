/* Pseudoterminals (pty(7)): pty.c has their two ends, pty_ioctl.c what can be asked of them, devpts.c where they are found. */
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
    struct event_source master, slave; /* what each end waits for */
    uint32_t sources;                  /* of the two, that are still counted; atomic */
    struct mutex lock;                 /* guards what follows */
    struct line line;
    struct window_size window;
    uint32_t slaves; /* open files */
    bool slave_was_open, master_is_closed;
    bool locked;    /* TIOCSPTLCK: the slave cannot be opened */
    bool exclusive; /* TIOCEXCL */
};

/* The two ends. */
void pty_open_master(struct pty *pty, struct file *file);
int64_t pty_open_slave(struct pty *pty, struct file *file);
/* NULL: it is no end of a pseudoterminal. *is_master says which one. */
struct pty *pty_of(const struct file *file, bool *is_master);

int64_t pty_ioctl(struct file *file, uint32_t request, user_address argument);

/* devpts. */
#define PTYS_MAX 4096 /* /proc/sys/kernel/pty/max */
uint32_t devpts_count(void);
int64_t devpts_create(struct inode **root);
int64_t devpts_open_master(struct file *file);
void devpts_remove(struct pty *pty);
/* The slave of a master, opened without its path (TIOCGPTPEER). */
int64_t devpts_open_peer(struct pty *pty, uint32_t flags, struct file **file);

/* The session's controlling terminal, if it is a pseudoterminal; with one more count of its inode, or NULL. */
struct pty *controlling_pty(void);
/* -EPERM: the session has one, or the pseudoterminal has another session. */
int64_t controlling_pty_set(struct pty *pty);
void controlling_pty_give_up(const struct pty *pty);
bool is_controlling_pty(const struct pty *pty);
/* To its foreground group: bit n - 1 for signal n. */
void pty_send_signals(struct pty *pty, uint64_t signals);

#endif
