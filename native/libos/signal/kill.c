/* Signals from the process to itself. */
#include "signal/action.h"
#include "signal/pending.h"

static struct signal_info info_of_sender(uint64_t signal, int32_t code)
{
    return (struct signal_info){
        .signal = (int32_t)signal, .code = code, .first = PROCESS_ID | (uint64_t)credentials()->user.real << 32};
}

int64_t sys_kill(const struct arguments *arguments)
{
    int32_t target = (int32_t)arguments->at[0];
    uint64_t signal = (uint32_t)arguments->at[1];
    if (signal && !signal_is_valid(signal)) {
        return -EINVAL;
    }
    if (target != PROCESS_ID && target != 0 && target != -PROCESS_ID) {
        return -ESRCH; /* -1: everybody but the caller, who is alone */
    }
    if (signal == SIGKILL) {
        process_exit(0, SIGKILL);
    }
    if (signal) {
        struct signal_info info = info_of_sender(signal, SI_USER);
        return signal_send_process(&info);
    }
    return 0;
}

struct target {
    int32_t id;
    struct task *task;
};

static bool find_target(struct task *task, void *context)
{
    struct target *target = context;
    if (task->id == target->id) {
        target->task = task;
    }
    return !target->task;
}

static int64_t kill_thread(int32_t id, uint64_t signal)
{
    if (id <= 0 || (signal && !signal_is_valid(signal))) {
        return -EINVAL;
    }
    struct target target = {.id = id};
    task_each(find_target, &target);
    if (!target.task) {
        return -ESRCH;
    }
    if (signal == SIGKILL) {
        process_exit(0, SIGKILL);
    }
    if (signal) {
        struct signal_info info = info_of_sender(signal, SI_TKILL);
        /* tasks are recycled, so at worst a thread that is just ending gets it */
        return signal_send(target.task, &info);
    }
    return 0;
}

int64_t sys_tkill(const struct arguments *arguments)
{
    return kill_thread((int32_t)arguments->at[0], (uint32_t)arguments->at[1]);
}

int64_t sys_tgkill(const struct arguments *arguments)
{
    int32_t group = (int32_t)arguments->at[0];
    return group == PROCESS_ID ? kill_thread((int32_t)arguments->at[1], (uint32_t)arguments->at[2])
           : group <= 0        ? -EINVAL
                               : -ESRCH;
}
