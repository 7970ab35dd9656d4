#include "fs/ahead.h"

#include "fs/buffer.h"
#include "wait/wait.h"

_Static_assert(sizeof(struct host_ahead) <= PATH_BUFFER_SIZE, "one of path_buffers");

struct host_ahead *ahead_take(void)
{
    return buffer_take(&path_buffers);
}

void ahead_give(struct host_ahead *ahead)
{
    buffer_give(&path_buffers, ahead);
}

static struct mutex lock;
static struct wait_queue arrivals;
static uint32_t arrived; /* how many pieces; atomic, changes under the lock */

void ahead_arrived(void)
{
    mutex_lock(&lock);
    __atomic_add_fetch(&arrived, 1, __ATOMIC_RELEASE);
    mutex_unlock(&lock);
    wake_all(&arrivals);
}

uint32_t ahead_count(void)
{
    return __atomic_load_n(&arrived, __ATOMIC_ACQUIRE);
}

static bool is_after(uint32_t told, uint32_t count)
{
    return (int32_t)(told - count) > 0;
}

/* It was there before the host was asked, so Linux would have told of it. The thread that brings it does not sleep. */
bool ahead_await(uint32_t seen)
{
    uint32_t told = host_aheads();
    int result = 0;
    if (!is_after(told, seen)) {
        return false;
    }
    mutex_lock(&lock);
    while (is_after(told, arrived) && result == 0) {
        result = wait_queue_sleep(&arrivals, &lock, NO_TIMEOUT);
    }
    mutex_unlock(&lock);
    return result == 0;
}
