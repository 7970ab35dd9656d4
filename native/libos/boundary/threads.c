/* Threads, their sleep, and the end of the process. */
#include "boundary/ocall.h"

_Noreturn static void leave(enum ocall number, uint64_t a, uint64_t b, uint64_t c)
{
    volatile struct exchange *exchange = current_thread()->exchange;
    exchange->ocall = number;
    exchange->arguments[0] = a;
    exchange->arguments[1] = b;
    exchange->arguments[2] = c;
    leave_for_good();
}

_Noreturn void host_exit_with_line(uint32_t status, uint32_t signal, const char *text, size_t length)
{
    if (!enclave_set_end(EEXIT_ENDED)) {
        leave_ended();
    }
    size_t size = at_most_data(length);
    exchange_put(0, text, size);
    leave(OCALL_EXIT, status, signal, size);
}

_Noreturn void host_exit(uint32_t status, uint32_t signal)
{
    host_exit_with_line(status, signal, "", 0);
}

_Noreturn void host_thread_exit(void)
{
    leave(OCALL_THREAD_EXIT, 0, 0, 0);
}

int host_thread_create(void)
{
    return (int)ocall_make(NULL, OCALL_THREAD_CREATE, 0, 0, 0, 0);
}

int host_workers(uint32_t count)
{
    return (int)ocall_make(NULL, OCALL_WORKERS, count, 0, 0, 0);
}

int host_wait(uint64_t timeout_ns)
{
    int result = (int)ocall_make(NULL, OCALL_WAIT, timeout_ns, 0, 0, 0);
    return result == -ETIMEDOUT || (result == -EINTR && attention_is_pending()) ? result : 0;
}

void host_wake(uint32_t host_index)
{
    ocall_make(NULL, OCALL_WAKE, host_index, 0, 0, 0);
}

void host_interrupt(uint32_t host_index)
{
    ocall_make(NULL, OCALL_INTERRUPT, host_index, 0, 0, 0);
}

void host_yield(void)
{
    ocall_make(NULL, OCALL_YIELD, 0, 0, 0, 0);
}

void host_log(enum log_level level, const char *text, size_t length)
{
    size_t size = at_most_data(length);
    exchange_put(0, text, size);
    ocall_make(NULL, OCALL_LOG, level, size, 0, 0);
}
