/* Signals from the process to itself: kill(2), tgkill(2), sigqueue(3). */
#include "signal/action.h"
#include "signal/pending.h"

static struct signal_info info_of_sender(uint64_t signal, int32_t code)
{
    return (struct signal_info){
        .signal = (int32_t)signal, .code = code, .first = PROCESS_ID | (uint64_t)credentials()->user.real << 32};
}

/* To a thread, or to the process (NULL). Signal 0 only asks whether that is there. */
static int64_t send(struct task *target, uint64_t signal, const struct signal_info *info)
{
    if (signal && !signal_is_valid(signal)) {
        return -EINVAL;
    }
    if (signal == SIGKILL) {
        process_exit(0, SIGKILL);
    }
    if (!signal) {
        return 0;
    }
    /* tasks are recycled, so at worst a thread that is just ending gets it */
    int64_t result = target ? signal_send(target, info) : signal_send_process(info);
    return result == SIGNAL_IGNORED ? 0 : result;
}

int64_t signal_kill_process(uint64_t signal)
{
    struct signal_info info = info_of_sender(signal, SI_USER);
    return send(NULL, signal, &info);
}

/* Only the kernel and kill() say so, and a process to itself: rt_sigqueueinfo(2). */
static bool is_forged(const struct signal_info *info, int32_t target)
{
    return (info->code >= 0 || info->code == SI_TKILL) && target != task_id(current_task());
}

int64_t signal_queue_process(uint64_t signal, const struct signal_info *info)
{
    return is_forged(info, PROCESS_ID) ? -EPERM : send(NULL, signal, info);
}

int64_t signal_info_from_user(struct signal_info *info, user_address from)
{
    uint8_t image[SIGNAL_INFO_SIZE];
    if (copy_from_user(image, from, sizeof image)) {
        return -EFAULT;
    }
    memcpy(info, image, sizeof *info);
    info->timer = 0;
    return 0;
}

int64_t sys_kill(const struct arguments *arguments)
{
    int32_t target = (int32_t)arguments->at[0];
    /* -1: everybody but the caller, who is alone; a thread's id stands for its process */
    bool is_there = target == 0 || (target > 0 && task_of_id(target));
    return is_there ? signal_kill_process((uint32_t)arguments->at[1]) : -ESRCH;
}

/* `info` NULL: as tkill() has it. */
static int64_t send_thread(int32_t id, uint64_t signal, const struct signal_info *info)
{
    struct task *target = task_of_id(id);
    struct signal_info usual = info_of_sender(signal, SI_TKILL);
    return target ? send(target, signal, info ? info : &usual) : -ESRCH;
}

int64_t sys_tkill(const struct arguments *arguments)
{
    int32_t id = (int32_t)arguments->at[0];
    return id <= 0 ? -EINVAL : send_thread(id, (uint32_t)arguments->at[1], NULL);
}

int64_t sys_tgkill(const struct arguments *arguments)
{
    int32_t group = (int32_t)arguments->at[0], id = (int32_t)arguments->at[1];
    if (group <= 0 || id <= 0) {
        return -EINVAL;
    }
    return group == PROCESS_ID ? send_thread(id, (uint32_t)arguments->at[2], NULL) : -ESRCH;
}

int64_t sys_rt_sigqueueinfo(const struct arguments *arguments)
{
    int32_t target = (int32_t)arguments->at[0];
    struct signal_info info;
    if (signal_info_from_user(&info, arguments->at[2])) {
        return -EFAULT;
    }
    info.signal = (int32_t)arguments->at[1];
    if (is_forged(&info, target)) {
        return -EPERM;
    }
    return target > 0 && task_of_id(target) ? send(NULL, (uint32_t)arguments->at[1], &info) : -ESRCH;
}

int64_t sys_rt_tgsigqueueinfo(const struct arguments *arguments)
{
    int32_t group = (int32_t)arguments->at[0], id = (int32_t)arguments->at[1];
    struct signal_info info;
    if (signal_info_from_user(&info, arguments->at[3])) {
        return -EFAULT;
    }
    if (group <= 0 || id <= 0) {
        return -EINVAL;
    }
    info.signal = (int32_t)arguments->at[2];
    if (is_forged(&info, id)) {
        return -EPERM;
    }
    return group == PROCESS_ID ? send_thread(id, (uint32_t)arguments->at[2], &info) : -ESRCH;
}
