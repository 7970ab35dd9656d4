#define _GNU_SOURCE
#include "ocall.h"

#include <errno.h>
#include <linux/limits.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "process.h"

static int64_t thread_create(struct request *call)
{
    (void)call;
    return process_create_thread();
}

static int64_t yield(struct request *call)
{
    (void)call;
    sched_yield();
    return 0;
}

static int64_t read_clock(struct request *call)
{
    struct timespec now;
    uint64_t clock = call->arguments[0];
    if (clock > CLOCK_TAI || clock_gettime((clockid_t)clock, &now) != 0) {
        return -EINVAL;
    }
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t log_line(struct request *call)
{
    if (call->arguments[0] > LOG_TRACE || call->arguments[1] > EXCHANGE_DATA_SIZE) {
        return -EINVAL;
    }
    log_enclave_line((enum log_level)call->arguments[0], (const char *)call->data, call->arguments[1]);
    return 0;
}

/* OCALL_EXIT and OCALL_THREAD_EXIT do not return and are not here. */
static const ocall_handler HANDLERS[OCALL_COUNT] = {
    [OCALL_THREAD_CREATE] = thread_create,
    [OCALL_WAIT] = ocall_wait,
    [OCALL_WAKE] = ocall_wake,
    [OCALL_YIELD] = yield,
    [OCALL_CLOCK] = read_clock,
    [OCALL_LOG] = log_line,
    [OCALL_MEMORY_ADD] = ocall_memory_add,
    [OCALL_MEMORY_PROTECT] = ocall_memory_protect,
    [OCALL_MEMORY_TRIM] = ocall_memory_trim,
    [OCALL_MEMORY_REMOVE] = ocall_memory_remove,
    [OCALL_READ] = ocall_read,
    [OCALL_WRITE] = ocall_write,
    [OCALL_PREAD] = ocall_pread,
    [OCALL_PWRITE] = ocall_pwrite,
    [OCALL_CLOSE] = ocall_close,
    [OCALL_POLL] = ocall_poll,
    [OCALL_STAT] = ocall_stat,
    [OCALL_IOCTL] = ocall_ioctl,
    [OCALL_SYNC] = ocall_sync,
    [OCALL_TRUNCATE] = ocall_truncate,
    [OCALL_IMAGE_READ] = ocall_image_read,
    [OCALL_DATA_OPEN] = ocall_data_open,
    [OCALL_DATA_READ] = ocall_data_read,
    [OCALL_DATA_CLOSE] = ocall_data_close,
    [OCALL_VOLUME_OPEN] = ocall_volume_open,
    [OCALL_VOLUME_STAT] = ocall_volume_stat,
    [OCALL_VOLUME_READLINK] = ocall_volume_readlink,
    [OCALL_VOLUME_LIST] = ocall_volume_list,
    [OCALL_VOLUME_MKDIR] = ocall_volume_mkdir,
    [OCALL_VOLUME_UNLINK] = ocall_volume_unlink,
    [OCALL_VOLUME_RENAME] = ocall_volume_rename,
    [OCALL_VOLUME_SYMLINK] = ocall_volume_symlink,
    [OCALL_VOLUME_CHMOD] = ocall_volume_chmod,
    [OCALL_VOLUME_UTIME] = ocall_volume_utime,
    [OCALL_HOST_FILE] = ocall_host_file,
    [OCALL_INTERRUPT] = ocall_interrupt,
};

enum next_step ocall_serve(struct host_thread *thread)
{
    struct exchange *exchange = thread->exchange;
    struct request call = {.thread = thread, .data = exchange->data};
    uint32_t number = *(volatile uint32_t *)&exchange->ocall;
    memcpy(call.arguments, exchange->arguments, sizeof(call.arguments));
    switch (number) {
    case OCALL_EXIT:
        if (call.arguments[2] > 0 && call.arguments[2] <= EXCHANGE_DATA_SIZE) {
            log_enclave_line(LOG_ERROR, (const char *)call.data, call.arguments[2]);
        }
        process_set_exit(call.arguments[0], call.arguments[1]);
        return STEP_PROCESS_EXIT;
    case OCALL_THREAD_EXIT:
        return STEP_THREAD_EXIT;
    default:
        exchange->result = number < OCALL_COUNT && HANDLERS[number] ? HANDLERS[number](&call) : -ENOSYS;
        return STEP_RETURN;
    }
}
