#include "fs/pty.h"
#include "fs/console.h"
#include "fs/terminal.h"
#include "signal/signal.h"

#define HANG_UP (1ULL << (SIGHUP - 1) | 1ULL << (SIGCONT - 1))

static struct mutex lock;
static struct pty *controlling; /* all that control a session */

static struct pty **find(int32_t session)
{
    struct pty **link = &controlling;
    while (*link != NULL && (*link)->session != session) {
        link = &(*link)->next_controlling;
    }
    return link;
}

struct pty *controlling_pty(void)
{
    mutex_lock(&lock);
    struct pty *pty = *find(current_process()->session);
    if (pty != NULL) {
        inode_get(&pty->inode);
    }
    mutex_unlock(&lock);
    return pty;
}

struct terminal terminal_of_session(int32_t session)
{
    mutex_lock(&lock);
    const struct pty *pty = *find(session);
    struct terminal terminal = {.device = pty != NULL ? (uint32_t)pty->inode.rdev : 0, .group = pty != NULL ? pty->group : -1};
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
    if (pty->session != 0 && process_of_id(pty->session) == NULL) {
        release_session(pty); /* its leader has ended */
    }
    if (!leads || pty->session != process->session) {
        bool has_one = *find(process->session) != NULL || console_group_of_session(process->session) != 0;
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

/* Those of a group. Processes are recycled, never given back: what is noted may be used later. */
struct group {
    int32_t id;
    struct process **members;
    size_t room, count;
};

static bool note_member(struct process *process, void *context)
{
    struct group *group = context;
    if (process->group == group->id) {
        if (group->count < group->room) {
            group->members[group->count] = process;
        }
        group->count++;
    }
    return true;
}

static void send(struct process *process, uint64_t signals)
{
    for (int signal = 1; signals != 0; signal++, signals >>= 1) {
        if (signals & 1) {
            const struct signal_info info = {.signal = signal, .code = SI_KERNEL};
            (void)signal_send_process(process, &info);
        }
    }
}

void pty_send_signals(struct pty *pty, uint64_t signals)
{
    struct group group = {.id = pty_foreground_group(pty)};
    if (signals == 0 || group.id == 0) {
        return;
    }
    process_each(note_member, &group);
    size_t room = group.count;
    struct process **members = room > 0 ? allocate(room * sizeof(*members)) : NULL;
    if (members == NULL) {
        return;
    }
    group = (struct group){.id = group.id, .members = members, .room = room};
    process_each(note_member, &group);
    for (size_t at = 0; at < group.count && at < room; at++) {
        send(members[at], signals);
    }
    release(members, room * sizeof(*members));
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
    if (leader != NULL) {
        send(leader, HANG_UP);
    }
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
