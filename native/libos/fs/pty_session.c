#include "fs/pty.h"
#include "fs/console.h"
#include "fs/terminal.h"
#include "signal/signal.h"

#define HANG_UP (SIGNAL_BIT(SIGHUP) | SIGNAL_BIT(SIGCONT))

static struct mutex lock;
static struct pty *controlling; /* all that control a session */

static struct pty **find(int32_t session)
{
    struct pty **link = &controlling;
    while (*link && (*link)->session != session) {
        link = &(*link)->next_controlling;
    }
    return link;
}

struct pty *controlling_pty(void)
{
    mutex_lock(&lock);
    struct pty *pty = *find(current_process()->session);
    if (pty) {
        inode_get(&pty->inode);
    }
    mutex_unlock(&lock);
    return pty;
}

struct terminal terminal_of_session(int32_t session)
{
    mutex_lock(&lock);
    const struct pty *pty = *find(session);
    struct terminal terminal = {.device = pty ? (uint32_t)pty->inode.rdev : 0, .group = pty ? pty->group : -1};
    mutex_unlock(&lock);
    if (terminal.device == 0 && (terminal.device = console_device_of_session(session)) != 0) {
        terminal.group = console_group_of_session(session);
    }
    return terminal;
}

bool is_controlling_pty(const struct pty *pty)
{
    return __atomic_load_n(&pty->session, __ATOMIC_ACQUIRE) == current_process()->session;
}

/* The lock is held. */
static void release_session(struct pty *pty)
{
    *find(pty->session) = pty->next_controlling;
    __atomic_store_n(&pty->session, 0, __ATOMIC_RELEASE);
    pty->group = 0;
}

int64_t controlling_pty_set(struct pty *pty)
{
    const struct process *process = current_process();
    bool leads = process->session == process->id;
    int64_t result = 0;
    mutex_lock(&lock);
    if (pty->session != 0 && !process_of_id(pty->session)) {
        release_session(pty); /* its leader has ended */
    }
    if (!leads || pty->session != process->session) {
        bool has_one = *find(process->session) || console_group_of_session(process->session) != 0;
        result = !leads || has_one || pty->session != 0 ? -EPERM : 0;
        if (result == 0) {
            pty->next_controlling = controlling;
            controlling = pty;
            pty->group = process->group;
            __atomic_store_n(&pty->session, process->session, __ATOMIC_RELEASE);
        }
    }
    mutex_unlock(&lock);
    return result;
}

static void send(int32_t group, uint64_t signals)
{
    for (uint64_t left = group != 0 ? signals : 0; left != 0; left &= left - 1) {
        signal_tell_group(group, __builtin_ctzll(left) + 1);
    }
}

void pty_send_signals(struct pty *pty, uint64_t signals)
{
    send(pty_foreground_group(pty), signals);
}

int64_t controlling_pty_give_up(struct pty *pty)
{
    const struct process *process = current_process();
    if (!is_controlling_pty(pty) || process->session != process->id) {
        return -ENOTTY;
    }
    pty_send_signals(pty, HANG_UP);
    mutex_lock(&lock);
    if (pty->session == process->session) {
        release_session(pty);
    }
    mutex_unlock(&lock);
    return 0;
}

void pty_hang_up(struct pty *pty)
{
    mutex_lock(&lock);
    struct process *leader = pty->session != 0 ? process_of_id(pty->session) : NULL;
    if (pty->session != 0) {
        release_session(pty);
    }
    mutex_unlock(&lock);
    for (int at = 0; leader && at < 2; at++) {
        (void)signal_tell(leader, NULL, &(struct signal_info){.signal = at == 0 ? SIGHUP : SIGCONT, .code = SI_KERNEL});
    }
}

void terminal_session_ends(int32_t session)
{
    mutex_lock(&lock);
    struct pty *pty = *find(session);
    int32_t group = pty ? pty->group : console_group_of_session(session);
    if (pty) {
        release_session(pty);
    }
    mutex_unlock(&lock);
    send(group, SIGNAL_BIT(SIGHUP));
}

int64_t terminal_check_background(int32_t foreground, int signal)
{
    const struct process *process = current_process();
    uint64_t ignored, caught;
    if (foreground == 0 || foreground == process->group) {
        return 0;
    }
    signal_handling(process, &ignored, &caught);
    if ((ignored | current_task()->blocked) & SIGNAL_BIT(signal)) {
        return signal == SIGTTIN ? -EIO : 0;
    }
    if (group_is_orphaned(process->group)) {
        return -EIO;
    }
    signal_tell_group(process->group, signal);
    return -EINTR; /* the call starts again when the process goes on */
}

int64_t pty_check_background(const struct pty *pty, int signal)
{
    return is_controlling_pty(pty) ? terminal_check_background(pty_foreground_group(pty), signal) : 0;
}

int32_t pty_foreground_group(const struct pty *pty)
{
    return __atomic_load_n(&pty->group, __ATOMIC_ACQUIRE);
}

struct search {
    int32_t group, session;
    bool is_found;
};

static bool look_for_group(struct process *process, void *context)
{
    struct search *search = context;
    bool is_member = process->group == search->group;
    search->session = is_member ? process->session : search->session;
    search->is_found = is_member;
    return !is_member;
}

int64_t terminal_may_have_group(int32_t group)
{
    struct search search = {.group = group};
    process_each(look_for_group, &search);
    return !search.is_found ? -ESRCH : search.session != current_process()->session ? -EPERM : 0;
}

int64_t pty_set_foreground_group(struct pty *pty, int32_t group)
{
    int64_t result = terminal_may_have_group(group);
    if (result == 0) {
        __atomic_store_n(&pty->group, group, __ATOMIC_RELEASE);
    }
    return result;
}
