/* What is left of a process when it has ended, and who gets it: orphans, zombies. */
#include "process/child.h"

#define ROUND 32 /* so many are told at once */

/* The end of a child, as its parent is told; what it was has perhaps gone by then. */
struct obituary {
    struct process *parent;
    struct signal_info info;
};

struct signal_info child_info(const struct process *child)
{
    uint32_t status = child->wait_status;
    bool is_signal = (status & 0x7F) != 0;
    return (struct signal_info){
        .signal = (int32_t)child->exit_signal,
        .code = is_signal ? CLD_KILLED : CLD_EXITED,
        .first = (uint32_t)child->id | (uint64_t)child->uid << 32,
        .second = is_signal ? status & 0x7F : status >> 8,
    };
}

/* The nearest subreaper above that does not end, too, or the first process. Listed. */
static struct process *reaper_of(const struct process *process)
{
    struct process *above = process->parent;
    while (above && above != &first_process && (!above->attributes.reaps_orphans || above->is_childless)) {
        above = above->parent;
    }
    return above ? above : &first_process;
}

/* A zombie whose parent does not care, or is outside, goes at once. Listed. */
static struct obituary settle(struct process *zombie)
{
    struct obituary obituary = {.parent = zombie->parent, .info = child_info(zombie)};
    if (!zombie->parent || (zombie->exit_signal == SIGCHLD && process_upcalls.ignores_children(zombie->parent))) {
        process_unlist(zombie);
    }
    return obituary;
}

static void tell(const struct obituary *obituary)
{
    if (!obituary->parent) {
        return;
    }
    if (obituary->info.signal) {
        process_upcalls.tell_parent(obituary->parent, &obituary->info);
    }
    wake_all(&obituary->parent->children);
}

struct orphans {
    struct process *parent;
    struct obituary obituaries[ROUND];
    int32_t groups[ROUND]; /* that the parent could have continued until now; 0: none */
    size_t count;
};

/* kill_orphaned_pgrp() of Linux. Listed. */
static int32_t group_led_by(const struct process *parent, const struct process *child)
{
    return parent && parent->group != child->group && parent->session == child->session ? child->group : 0;
}

static bool hand_over(struct process *child, void *context)
{
    struct orphans *orphans = context;
    if (child->parent != orphans->parent) {
        return true;
    }
    int32_t group = group_led_by(orphans->parent, child);
    child->parent = reaper_of(orphans->parent);
    child->exit_signal = SIGCHLD;
    if (child->state == PROCESS_ZOMBIE || group) {
        orphans->groups[orphans->count] = group;
        orphans->obituaries[orphans->count++] =
            child->state == PROCESS_ZOMBIE ? settle(child) : (struct obituary){.parent = NULL};
    }
    return orphans->count < ROUND;
}

static void hand_over_children(struct process *process)
{
    struct orphans orphans = {.parent = process};
    lists_lock();
    process->is_childless = true; /* a descendant that ends beside it gives its own to others */
    lists_unlock();
    do {
        orphans.count = 0;
        process_each(hand_over, &orphans);
        for (size_t at = 0; at < orphans.count; at++) {
            tell(&orphans.obituaries[at]);
            if (orphans.groups[at]) {
                group_lost_parent(orphans.groups[at]);
            }
        }
    } while (orphans.count == ROUND);
}

struct bereaved {
    const struct process *parent;
    size_t skip, count;
    struct task *tasks[ROUND];
};

static bool note_bereaved(struct task *task, void *context)
{
    struct bereaved *bereaved = context;
    if (task->process->parent == bereaved->parent && task->parent_death_signal) {
        bereaved->tasks[bereaved->count++] = task;
    }
    return bereaved->count < ROUND;
}

/* PR_SET_PDEATHSIG. */
static void send_death_signals(const struct process *process)
{
    struct bereaved bereaved = {.parent = process};
    task_each(note_bereaved, &bereaved);
    for (size_t at = 0; at < bereaved.count; at++) {
        process_upcalls.parent_died(bereaved.tasks[at]);
    }
}

void become_zombie(struct process *process)
{
    send_death_signals(process);
    hand_over_children(process);
    lists_lock();
    process->uid = credentials()->user.real;
    process->last_credentials = *credentials();
    process->state = PROCESS_ZOMBIE;
    uint32_t command = process->command, status = process->wait_status;
    int32_t group = group_led_by(process->parent, process);
    struct obituary obituary = settle(process);
    lists_unlock();
    if (group) {
        group_lost_parent(group);
    }
    process_upcalls.process_ended();
    tell(&obituary);
    if (command) {
        host_command_end(command, status >> 8, status & 0x7F, "", 0);
    }
}
