/*
 * Signals of the host for commands from outside. The host rings (COMMAND_DOORBELL); whichever thread hears it fetches them.
 * Let in is what the first process takes of the host, and SIGKILL: who may start a command may end it.
 */
#include "signal/action.h"
#include "signal/pending.h"
#include "signal/stop.h"

#define AT_ONCE 16U
#define ROUNDS 64U /* more than 1,024 commands do not run at once: a host that always has another one does not keep a thread for ever */

/* Whose signal it is: a process, a group or a session. Nothing is allocated here: the thread may be about to sleep. */
struct crowd {
    int32_t group, session; /* 0: any */
    int32_t after;          /* ids that have been dealt with */
    struct process *next;
};

static bool consider(struct process *process, void *context)
{
    struct crowd *crowd = context;
    bool is_member = (!crowd->group || process->group == crowd->group) && (!crowd->session || process->session == crowd->session);
    bool is_left = process->id > crowd->after && process->state == PROCESS_RUNNING;
    if (is_member && is_left && (!crowd->next || process->id < crowd->next->id)) {
        crowd->next = process;
    }
    return true;
}

static struct process *next_of(struct crowd *crowd)
{
    crowd->next = NULL;
    process_each(consider, crowd);
    crowd->after = crowd->next ? crowd->next->id : crowd->after;
    return crowd->next;
}

static void send_all(struct process *process, uint64_t signals, int32_t code)
{
    for (uint64_t left = signals; left; left &= left - 1) {
        struct signal_info info = {.signal = __builtin_ctzll(left) + 1, .code = code};
        (void)signal_send_to(process, NULL, &info);
    }
}

struct search {
    uint32_t command;
    struct process *found;
};

static bool compare(struct process *process, void *context)
{
    struct search *search = context;
    bool is_it = process->command == search->command && process->state == PROCESS_RUNNING;
    search->found = is_it ? process : NULL;
    return !is_it;
}

/* All of its session, so that nothing is left of a command that nobody waits for. */
static void kill_all(const struct process *command)
{
    struct crowd crowd = {.session = command->session};
    struct process *process;
    while ((process = next_of(&crowd))) {
        process_kill(process);
    }
}

static void send_to_foreground(const struct process *command, uint64_t signals)
{
    struct crowd crowd = {.group = signal_upcalls.foreground_group(command->session), .session = command->session};
    struct process *process;
    while (crowd.group && (process = next_of(&crowd))) {
        send_all(process, signals, SI_KERNEL);
    }
}

/* ^C at the container's own terminal. Without a foreground group, and for what has no session yet, it is the first process's. */
static void deliver_of_terminal(uint64_t signals)
{
    if (signal_upcalls.foreground_group(first_process.session)) {
        send_to_foreground(&first_process, signals);
    } else {
        send_all(&first_process, signals, SI_KERNEL);
    }
}

static void deliver(const struct command_signals *wanted)
{
    struct search search = {.command = wanted->command};
    uint64_t signals = wanted->signals & signals_of_host;
    if (wanted->command == COMMAND_NONE) {
        deliver_of_terminal(signals);
        return;
    }
    process_each(compare, &search);
    if (!search.found) {
        return;
    }
    if (wanted->signals & SIGNAL_BIT(SIGKILL)) {
        kill_all(search.found);
    } else if (wanted->target == COMMAND_FOREGROUND) {
        send_to_foreground(search.found, signals);
    } else {
        send_all(search.found, signals, SI_USER);
    }
}

void signal_take_for_commands(void)
{
    struct command_signals signals[AT_ONCE];
    int64_t count = AT_ONCE;
    for (uint32_t round = 0; round < ROUNDS && count == AT_ONCE; round++) {
        count = host_command_signals(signals, AT_ONCE);
        for (int64_t at = 0; at < count; at++) {
            deliver(&signals[at]);
        }
    }
}
