#define _GNU_SOURCE
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "ocall.h"
#include "ocall_files.h"
#include "process.h"

#define STREAM_COUNT 3

enum state { COMMAND_CREATED, COMMAND_RUNNING, COMMAND_ENDED };

struct record {
    struct record *next;
    int number;
    enum state state;
    struct pal_stdio_fds stdio;
    uint8_t *request; /* struct command and its strings */
    size_t request_size;
    struct host_thread *thread; /* that has entered for it; NULL: none yet, or it has left */
    bool is_known;              /* to the enclave: its signals can be told */
    uint64_t signals[2];        /* bit (n - 1), by enum command_target */
    int exit_value;
};

static struct record *records;
static uint64_t from_terminal; /* signals of the first process's terminal; under the mutex */
static int last_number = PROCESS_NUMBER;
static bool enclave_has_ended;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static size_t strings_size(char **strings)
{
    size_t size = 0;
    for (; strings && *strings; strings++) {
        size += strlen(*strings) + 1;
    }
    return size;
}

static uint32_t append(uint8_t **at, char **strings)
{
    uint32_t count = 0;
    for (; strings && strings[count]; count++) {
        *at = (uint8_t *)stpcpy((char *)*at, strings[count]) + 1;
    }
    return count;
}

static int make_request(struct record *record, char **arguments, char **environment)
{
    struct command command = {.number = (uint32_t)record->number};
    size_t size = strings_size(arguments) + strings_size(environment);
    if (size > EXCHANGE_DATA_SIZE - sizeof(command)) {
        return fail(-E2BIG, "arguments and environment are longer than %zu bytes", EXCHANGE_DATA_SIZE - sizeof(command));
    }
    record->request_size = sizeof(command) + size;
    record->request = malloc(record->request_size);
    if (!record->request) {
        return fail(-ENOMEM, "there is no memory for a command");
    }
    uint8_t *at = record->request + sizeof(command);
    command.argument_count = append(&at, arguments);
    command.environment_count = append(&at, environment);
    command.strings_size = (uint32_t)size;
    memcpy(record->request, &command, sizeof(command));
    return 0;
}

static void release(struct record *record)
{
    free(record->request);
    free(record);
}

int command_create(char **arguments, char **environment, const struct pal_stdio_fds *stdio)
{
    struct record *record = calloc(1, sizeof(*record));
    if (!record) {
        return fail(-ENOMEM, "there is no memory for a command");
    }
    pthread_mutex_lock(&mutex);
    record->number = last_number = last_number < INT32_MAX ? last_number + 1 : PROCESS_NUMBER + 1;
    pthread_mutex_unlock(&mutex);
    record->stdio = *stdio;
    int error = make_request(record, arguments, environment);
    if (error) {
        release(record);
        return error;
    }
    int number = record->number;
    pthread_mutex_lock(&mutex);
    record->next = records;
    records = record;
    pthread_mutex_unlock(&mutex);
    return number;
}

/* With the mutex held. */
static struct record **find(int number)
{
    struct record **link = &records;
    while (*link && (*link)->number != number) {
        link = &(*link)->next;
    }
    return link;
}

static void forget(struct record *record)
{
    pthread_mutex_lock(&mutex);
    struct record **link = find(record->number);
    *link = record->next;
    pthread_mutex_unlock(&mutex);
    release(record);
}

/* The enclave closes them, perhaps long after the command's end: what it has left behind may have them. */
static int give_streams(struct record *record)
{
    const int given[STREAM_COUNT] = {record->stdio.in, record->stdio.out, record->stdio.err};
    struct command command;
    memcpy(&command, record->request, sizeof(command));
    for (int at = 0; at < STREAM_COUNT; at++) {
        int copy = fcntl(given[at], F_DUPFD_CLOEXEC, 3);
        int64_t handle = copy >= 0 ? host_descriptor_add(copy) : errno == EBADF ? -1 : -EMFILE;
        if (handle == -EMFILE) {
            while (at-- > 0) {
                host_descriptor_remove(command.streams[at]);
            }
            return fail(-EMFILE, "too many files are open for another command");
        }
        command.streams[at] = (int32_t)handle;
    }
    memcpy(record->request, &command, sizeof(command));
    return 0;
}

/* It has left the enclave, and serves others from now on. */
static void forget_thread(struct host_thread *thread)
{
    pthread_mutex_lock(&mutex);
    for (struct record *record = records; record; record = record->next) {
        record->thread = record->thread == thread ? NULL : record->thread;
    }
    pthread_mutex_unlock(&mutex);
}

static int run(struct record *record)
{
    struct host_thread *thread = process_claim_thread();
    if (!thread) {
        return process_is_ending() ? 0 : fail(-EAGAIN, "no thread is free for the command: the image is built for fewer (see --set threads)");
    }
    int error = give_streams(record);
    if (error) {
        process_give_back_thread(thread);
        return error;
    }
    pthread_mutex_lock(&mutex);
    record->thread = thread;
    pthread_mutex_unlock(&mutex);
    process_enter_command(thread, record->request, record->request_size, forget_thread);
    pthread_mutex_lock(&mutex);
    bool has_begun = record->is_known || record->state == COMMAND_ENDED;
    while (has_begun && record->state != COMMAND_ENDED && !enclave_has_ended) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
    return has_begun || process_is_ending() ? 0 : fail(-EAGAIN, "the enclave takes no command");
}

int command_run(int number, int *exit_value)
{
    pthread_mutex_lock(&mutex);
    struct record *record = *find(number);
    if (record && record->state != COMMAND_CREATED) {
        record = NULL;
    }
    if (record) {
        record->state = COMMAND_RUNNING;
        record->exit_value = 128 + SIGKILL; /* unless it ends before the enclave does */
    }
    pthread_mutex_unlock(&mutex);
    if (!record) {
        return fail(-ESRCH, "there is no process %d to run", number);
    }
    int error = run(record);
    *exit_value = record->exit_value;
    forget(record);
    return error;
}

int command_signal(int number, int signal, bool is_from_terminal)
{
    pthread_mutex_lock(&mutex);
    struct record *record = *find(number);
    bool is_known = record && record->is_known;
    if (record) {
        record->signals[is_from_terminal ? COMMAND_FOREGROUND : COMMAND_PROCESS] |= 1ULL << (signal - 1);
    }
    pthread_mutex_unlock(&mutex);
    if (is_known) {
        process_signal(COMMAND_DOORBELL);
    }
    return record ? 0 : fail(-ESRCH, "there is no process %d", number);
}

void command_signal_of_terminal(int signal)
{
    pthread_mutex_lock(&mutex);
    from_terminal |= 1ULL << (signal - 1);
    pthread_mutex_unlock(&mutex);
    process_signal(COMMAND_DOORBELL);
}

void commands_end(void)
{
    pthread_mutex_lock(&mutex);
    enclave_has_ended = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

void commands_release(void)
{
    pthread_mutex_lock(&mutex);
    for (struct record **link = &records, *record; (record = *link);) {
        if (record->state == COMMAND_CREATED) {
            *link = record->next;
            release(record);
        } else {
            link = &record->next;
        }
    }
    enclave_has_ended = false;
    pthread_mutex_unlock(&mutex);
}

int64_t ocall_command_signals(struct request *call)
{
    size_t room = call->arguments[0] / sizeof(struct command_signals), count = 0;
    struct command_signals *answers = (struct command_signals *)call->data;
    pthread_mutex_lock(&mutex);
    if (from_terminal && count < room) {
        answers[count++] = (struct command_signals){COMMAND_NONE, COMMAND_FOREGROUND, from_terminal};
        from_terminal = 0;
    }
    for (struct record *record = records; record; record = record->next) {
        record->is_known |= record->thread == call->thread;
        for (uint32_t target = COMMAND_PROCESS; target <= COMMAND_FOREGROUND; target++) {
            if (record->is_known && record->signals[target] && count < room) {
                answers[count++] = (struct command_signals){(uint32_t)record->number, target, record->signals[target]};
                record->signals[target] = 0;
            }
        }
    }
    pthread_mutex_unlock(&mutex);
    return (int64_t)(count * sizeof(*answers));
}

int64_t ocall_command_end(struct request *call)
{
    pthread_mutex_lock(&mutex);
    struct record *record = *find((int)call->arguments[0]);
    if (record) {
        uint64_t signal = call->arguments[2];
        record->exit_value = signal ? 128 + (int)(signal & 0x7F) : (int)(call->arguments[1] & 0xFF);
        record->state = COMMAND_ENDED;
        if (call->arguments[3] > 0) {
            log_command_line(record->stdio.err, (const char *)call->data, call->arguments[3]);
        }
        pthread_cond_broadcast(&changed);
    }
    pthread_mutex_unlock(&mutex);
    return record ? 0 : -ESRCH;
}
