/* How the process comes to be: from the measured configuration to the first instruction of the program. */
#include "process/policy.h"
#include "process/program.h"
#include "process/task.h"

_Noreturn void process_refuse(int status, const char *what, const char *why)
{
    log_line(LOG_ERROR, "%s: %s", what, why);
    host_exit((uint32_t)status, 0);
}

bool strings_from_host(struct strings *to, uint32_t count, const char **at, const char *end)
{
    for (; count; count--) {
        const char *nul = memchr(*at, 0, (size_t)(end - *at));
        if (!nul || !strings_add(to, *at, (size_t)(nul - *at))) {
            return false;
        }
        *at = nul + 1;
    }
    return true;
}

static void choose_arguments(const struct boot *boot, const char *strings, struct strings *arguments,
                             struct strings *environment)
{
    struct strings host_arguments = {0}, host_environment = {0};
    const char *at = strings, *end = strings + boot->strings_size;
    if (!strings_from_host(&host_arguments, boot->argument_count, &at, end) ||
        !strings_from_host(&host_environment, boot->environment_count, &at, end)) {
        process_refuse(FATAL_STATUS, "start", "the host's arguments and environment are malformed");
    }
    const char *error = policy_apply(&configuration, &host_arguments, &host_environment, arguments,
                                     environment);
    if (error) {
        process_refuse(STATUS_CANNOT_EXECUTE, "start", error);
    }
    strings_free(&host_arguments);
    strings_free(&host_environment);
}

const char *program_error(int64_t error)
{
    switch (error) {
    case -ENOENT:
        return "no such file or directory";
    case -EACCES:
        return "permission denied";
    case -ENOEXEC:
        return "exec format error";
    case -ENOMEM:
        return "out of enclave memory: the image is built for less (see --set memory)";
    case -EIO:
        return "input/output error: the file is not what was measured";
    default:
        return "cannot be executed";
    }
}

static bool holds_locks(int32_t id)
{
    const struct task *task = task_of_id(id);
    return task && !__atomic_load_n(&task->gives_locks_back, __ATOMIC_SEQ_CST);
}

static void start_workers(uint32_t count)
{
    if (host_workers(count) == 0) {
        switchless_start();
    } else {
        log_line(LOG_WARNING, "the host has no workers for switchless calls: all calls leave the enclave");
    }
}

void process_start(void)
{
    const char *error = configuration_parse(&configuration, measured_configuration);
    if (error) {
        process_refuse(FATAL_STATUS, "measured configuration", error);
    }
    pages_set_limit(configuration.memory / PAGE_SIZE);
    if (configuration.fault_around) {
        memory_set_fault_around(configuration.fault_around);
    }
    if (configuration.switchless) {
        start_workers(configuration.switchless);
    }
    credentials_start(configuration.uid, configuration.gid, configuration.groups.start,
                      configuration.groups.size / sizeof(uint32_t));
    limits_start();
    task_start_first();
    wait_upcalls.task_number = task_id;
    wait_upcalls.holds_locks = holds_locks;
    current_process()->start_time_ns = clock_now_ns(CLOCK_BOOTTIME);
}

void process_load(const struct boot *boot, const char *strings, struct context *context)
{
    struct strings arguments = {0}, environment = {0};
    choose_arguments(boot, strings, &arguments, &environment);
    const char *problem = NULL;
    struct program *program = program_create();
    int64_t failure = program ? program_search(program, &arguments, &environment, &problem) : -ENOMEM;
    failure = failure ? failure : program_map(program, &arguments, &environment, context);
    failure = failure ? failure : process_upcalls.execute_files(program->file);
    if (failure) {
        process_refuse(failure == -ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_EXECUTE, strings_first(&arguments),
                       problem ? problem : program_error(failure));
    }
    program_set_name(program->name);
    program_close(program);
    strings_free(&arguments);
    strings_free(&environment);
}
