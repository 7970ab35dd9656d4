#include "fs/console.h"

#include "fs/pty.h"
#include "fs/terminal.h"

struct console {
    uint32_t references;
    int32_t session, group; /* group: atomic */
    struct inode *terminal; /* under the lock */
    struct console *next;
};

static struct spinlock lock;
static struct console *consoles;

struct console *console_create(void)
{
    struct console *console = allocate(sizeof(struct console));
    if (console) {
        console->references = 1;
        console->session = current_process()->session;
        console->group = current_process()->group;
        spin_lock(&lock);
        console->next = consoles;
        consoles = console;
        spin_unlock(&lock);
    }
    return console;
}

struct console *console_get(struct console *console)
{
    __atomic_fetch_add(&console->references, 1, __ATOMIC_RELAXED);
    return console;
}

void console_put(struct console *console)
{
    if (!console || __atomic_sub_fetch(&console->references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    spin_lock(&lock);
    struct console **link = &consoles;
    while (*link != console) {
        link = &(*link)->next;
    }
    *link = console->next;
    spin_unlock(&lock);
    release(console, sizeof(struct console));
}

void console_set_terminal(struct console *console, struct inode *stream)
{
    spin_lock(&lock);
    console->terminal = console->terminal ? console->terminal : stream;
    spin_unlock(&lock);
}

void console_forget(struct console *console, const struct inode *stream)
{
    spin_lock(&lock);
    console->terminal = console->terminal == stream ? NULL : console->terminal;
    spin_unlock(&lock);
}

/* The lock is held. A console without a terminal is none. */
static struct console *find(int32_t session)
{
    struct console *console = consoles;
    while (console && (console->session != session || !console->terminal)) {
        console = console->next;
    }
    return console;
}

/* Unless its last count has gone. */
static bool take_count(struct inode *inode)
{
    uint32_t count = __atomic_load_n(&inode->references, __ATOMIC_RELAXED);
    while (count > 0 && !__atomic_compare_exchange_n(&inode->references, &count, count + 1, false, __ATOMIC_ACQ_REL,
                            __ATOMIC_RELAXED)) {
    }
    return count > 0;
}

struct inode *console_terminal(void)
{
    spin_lock(&lock);
    struct console *console = find(current_process()->session);
    struct inode *terminal = console && take_count(console->terminal) ? console->terminal : NULL;
    spin_unlock(&lock);
    return terminal;
}

int32_t console_group_of_session(int32_t session)
{
    spin_lock(&lock);
    struct console *console = find(session);
    int32_t group = console ? __atomic_load_n(&console->group, __ATOMIC_RELAXED) : 0;
    spin_unlock(&lock);
    return group;
}

uint32_t console_device_of_session(int32_t session)
{
    spin_lock(&lock);
    const struct console *console = find(session);
    uint32_t device = console && console->terminal ? (uint32_t)console->terminal->rdev : 0;
    spin_unlock(&lock);
    return device;
}

int64_t console_group(const struct console *console)
{
    bool controls = console->session == current_process()->session;
    return controls ? __atomic_load_n(&console->group, __ATOMIC_RELAXED) : -ENOTTY;
}

int64_t console_check_background(const struct console *console, int signal)
{
    int64_t group = console_group(console);
    return group < 0 ? 0 : terminal_check_background((int32_t)group, signal);
}

int64_t console_set_group(struct console *console, int32_t group)
{
    if (console->session != current_process()->session) {
        return -ENOTTY;
    }
    int64_t result = terminal_may_have_group(group);
    if (result == 0) {
        __atomic_store_n(&console->group, group, __ATOMIC_RELAXED);
    }
    return result;
}
