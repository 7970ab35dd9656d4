/*
 * Commands from outside: programs that the host starts beside the first one, as the measured policy allows it. Each is a
 * process without a parent inside: it leads a session of its own, has the measured user and working directory, and three
 * streams of the host's.
 */
#include "process/child.h"
#include "process/policy.h"
#include "process/program.h"

#define LINE_SIZE 512U

static const char malformed[] = "the host's arguments and environment are malformed";

/* What the host asks for. */
struct wish {
    struct command command;
    char *strings;
    struct strings arguments, environment;
};

/* Allocating and waiting take a task: this one serves until the command has its own. One thread at a time. */
static struct task porter;
static struct spinlock porter_lock;

static bool set_up(struct process *process, struct task *task, uint32_t number)
{
    process->id = process->group = process->session = task_new_id();
    task->space = process->id ? space_create() : NULL;
    if (!task->space || process_upcalls.new_signals(process)) {
        return false;
    }
    if (process_upcalls.new_files(process)) {
        process_upcalls.leave_signals(process);
        return false;
    }
    limits_set_first(process);
    process->command = number;
    process->has_executed = true;
    process->start_time_ns = clock_now_ns(CLOCK_BOOTTIME);
    task->process = process;
    process_upcalls.take_files(task);
    task->id = process->id;
    task->credentials = *credentials_measured();
    process->uid = task->credentials.user.real;
    return true;
}

/* A process with one task, both listed; NULL: no memory, or no id. */
static struct task *make_process(uint32_t number)
{
    struct process *process = process_make();
    struct task *task = process ? task_make() : NULL;
    if (task && set_up(process, task, number)) {
        memory_is_not_alone();
        process_list(process, NULL);
        task_add_living(task);
        return task;
    }
    if (task && task->space && task->space != &libos_space) {
        space_put(task->space);
    }
    if (task) {
        task_bury(task);
    }
    if (process) {
        lists_lock();
        process_unlist(process);
        lists_unlock();
    }
    return NULL;
}

static void close_streams(const struct command *command)
{
    for (size_t at = 0; at < ARRAY_LENGTH(command->streams); at++) {
        if (command->streams[at] >= 0) {
            host_close(command->streams[at]);
        }
    }
}

/* Why it does not run. Its process, if there is one, ends without telling the host again. */
static void tell(const struct command *command, int status, const char *what, const char *why)
{
    char line[LINE_SIZE];
    size_t length = format_text(line, sizeof line, "%s: %s", what, why);
    host_command_end(command->number, (uint32_t)status, 0, line, length < sizeof line ? length : sizeof line - 1);
}

/* 0, -EINVAL, -ENOMEM. */
static int take(struct wish *wish)
{
    int error = host_command_take(&wish->command);
    if (error) {
        return error;
    }
    wish->strings = allocate(wish->command.strings_size + 1UL);
    if (!wish->strings) {
        return -ENOMEM;
    }
    host_command_take_strings(&wish->command, wish->strings);
    return 0;
}

/* The calling thread becomes the new process. False: the host has been told why not. */
static bool admit(struct wish *wish)
{
    spin_lock(&porter_lock);
    porter.process = &first_process;
    porter.space = &libos_space;
    porter.blocked = UINT64_MAX;
    task_run_as(&porter);
    int error = take(wish);
    struct task *task = error ? NULL : make_process(wish->command.number);
    if (!task) {
        tell(&wish->command, STATUS_CANNOT_EXECUTE, "exec", error == -EINVAL ? malformed : program_error(-ENOMEM));
        if (error != -EINVAL) {
            close_streams(&wish->command);
        }
        release(wish->strings, wish->command.strings_size + 1UL);
    }
    current_thread()->task = NULL;
    if (task) {
        task_run_as(task);
    }
    sleeper_end(&porter.sleeper);
    spin_unlock(&porter_lock);
    return task;
}

static const char *choose_strings(struct wish *wish)
{
    struct strings arguments = {0}, environment = {0};
    const struct command *command = &wish->command;
    const char *at = wish->strings, *end = at + command->strings_size;
    const char *error = !strings_from_host(&arguments, command->argument_count, &at, end) ||
                                !strings_from_host(&environment, command->environment_count, &at, end)
                            ? malformed
                            : policy_apply_to_command(&configuration, &arguments, &environment, &wish->arguments,
                                                      &wish->environment);
    strings_free(&arguments);
    strings_free(&environment);
    return error;
}

/* 0, or a negative errno; then `problem` says more if there is more to say. */
static int64_t load(struct wish *wish, struct context *context, const char **problem)
{
    struct program *program = program_create();
    if (!program) {
        return -ENOMEM;
    }
    int64_t error = program_search(program, &wish->arguments, &wish->environment, problem);
    if (!error && program_check_place(program)) {
        error = -ENOMEM;
        *problem = program_has_no_place;
    }
    __atomic_store_n(&current_process()->is_loading, true, __ATOMIC_SEQ_CST);
    error = error ? error : program_make_room(program, current_space());
    error = error ? error : program_map(program, &wish->arguments, &wish->environment, context);
    error = error ? error : limits_apply_to_program();
    error = error ? error : process_upcalls.execute_files(program->file);
    if (!error) {
        program_set_name(program->name);
        __atomic_store_n(&current_process()->is_loading, false, __ATOMIC_SEQ_CST);
    }
    program_close(program);
    return error;
}

/* 0: the context is at the first instruction. Otherwise a status, and the host has been told. */
static int begin(struct wish *wish, struct context *context)
{
    const struct command *command = &wish->command;
    const char *problem = choose_strings(wish);
    const char *name = wish->arguments.count ? strings_first(&wish->arguments)
                       : command->argument_count ? wish->strings : "health check";
    if (problem) {
        close_streams(command);
        tell(command, STATUS_CANNOT_EXECUTE, name, problem);
        return STATUS_CANNOT_EXECUTE;
    }
    int64_t error = process_upcalls.open_streams(command->streams);
    error = error ? error : load(wish, context, &problem);
    if (!error) {
        return 0;
    }
    int status = error == -ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_EXECUTE;
    tell(command, status, name, problem ? problem : program_error(error));
    return status;
}

static void start_command(void)
{
    struct wish wish = {0};
    struct context context = {0};
    if (!admit(&wish)) {
        return;
    }
    process_upcalls.take_command_signals();
    int status = begin(&wish, &context);
    release(wish.strings, wish.command.strings_size + 1UL);
    strings_free(&wish.arguments);
    strings_free(&wish.environment);
    if (status) {
        current_process()->command = 0;
        process_exit(status, 0);
    }
    thread_reset();
    context_resume(&context);
}

void commands_start(void)
{
    __atomic_store_n(&boundary_upcalls.command_start, start_command, __ATOMIC_RELEASE);
}
