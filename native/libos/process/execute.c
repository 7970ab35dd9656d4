/* execve(2), execveat(2): a process goes on with another program. */
#include "process/child.h"
#include "process/program.h"

#define STRING_MAX 0x20000U                  /* MAX_ARG_STRLEN of Linux */
#define STRINGS_MAX (STACK_SIZE / 4)         /* arguments, environment and the pointers to them */
#define AT_FDCWD (-100)
#define AT_EMPTY_PATH 0x1000U
#define AT_SYMLINK_NOFOLLOW 0x100U

/* One string of the application -> 0, -EFAULT, -E2BIG, -ENOMEM. */
static int64_t import_string(struct strings *to, user_address from, char *buffer)
{
    int64_t length = strncpy_from_user(buffer, from, STRING_MAX);
    if (length < 0) {
        return length == -ENAMETOOLONG ? -E2BIG : length;
    }
    return strings_add(to, buffer, (size_t)length) ? 0 : -ENOMEM;
}

/* A list of them that ends with NULL. `others` counts as well. */
static int64_t import_strings(struct strings *to, user_address list, const struct strings *others)
{
    char *buffer = pages_allocate(STRING_MAX / PAGE_SIZE);
    if (!buffer) {
        return -ENOMEM;
    }
    int64_t error = 0;
    for (user_address at = list, string; list && !error; at += sizeof string) {
        error = user_range_is_valid(at, sizeof string) ? copy_from_user(&string, at, sizeof string) : -EFAULT;
        if (error || !string) {
            break;
        }
        error = import_string(to, string, buffer);
        uint64_t pointers = ((uint64_t)to->count + others->count) * sizeof string;
        if (!error && to->size + others->size + pointers > STRINGS_MAX) {
            error = -E2BIG;
        }
    }
    pages_release(buffer, STRING_MAX / PAGE_SIZE);
    return error;
}

/* security/commoncap.c, cap_bprm_creds_from_file(), where no file has capabilities or a set-user-ID bit that counts. */
static void change_credentials(struct credentials *who)
{
    bool has_root = (who->secure_bits & SECURE_NOROOT) == 0;
    bool is_root = has_root && (who->user.real == 0 || who->user.effective == 0);
    uint64_t permitted = is_root ? who->inheritable | who->bounding : who->ambient;
    if (who->no_new_privileges) {
        permitted &= who->permitted;
    }
    who->permitted = permitted;
    who->effective = is_root && who->user.effective != 0 ? who->ambient & permitted : permitted;
    who->user.saved = who->user.file_system = who->user.effective;
    who->group.saved = who->group.file_system = who->group.effective;
    who->secure_bits &= ~(uint32_t)SECURE_KEEP_CAPS;
}

static int64_t check_place(const struct program *program)
{
    int64_t error = program_check_place(program);
    if (error) {
        log_line(LOG_ERROR, "%s: %s (0x%lx)", program->name, program_has_no_place, program->elf.low);
    }
    return error;
}

/* Into the current space, which is empty. */
static int64_t load(const struct program *program, const struct strings *arguments, const struct strings *environment,
                    struct context *context)
{
    int64_t error = program_map(program, arguments, environment, context);
    return error ? error : limits_apply_to_program();
}

/* The memory of the process is shared with others, as after vfork(): it is left alone. */
static int64_t load_into_new_space(const struct program *program, const struct strings *arguments,
                                   const struct strings *environment, struct context *context)
{
    struct task *task = current_task();
    struct space *shared = task->space, *own = space_create();
    if (!own) {
        return -ENOMEM;
    }
    int64_t error = program_make_room(program, own);
    space_enter(own);
    error = error ? error : load(program, arguments, environment, context);
    space_enter(shared);
    if (error) {
        space_put(own);
        return error;
    }
    leave_memory(task);
    space_enter(own);
    space_put(shared);
    return 0;
}

static _Noreturn void die(const struct program *program, int64_t error)
{
    log_line(LOG_ERROR, "%s: cannot be loaded: errno %d", program->name, (int)-error);
    process_exit(0, SIGKILL);
}

/* The point of no return: from here on nothing of the old program is left. */
static void become(struct task *task, const struct program *program)
{
    struct process *process = task->process;
    lists_lock();
    task->id = process->id; /* the first thread, whichever it was */
    process->has_executed = true;
    lists_unlock();
    change_credentials(&task->credentials);
    process_upcalls.end_timers(process, true);
    task->signal_stack = (struct signal_stack){0};
    task->mask_is_saved = false;
    process->attributes.is_not_dumpable = false;
    process->attributes.uses_barriers = false;
    program_set_name(program->name);
    release_vfork(process);
}

static int64_t execute(const struct program *program, const struct strings *arguments, const struct strings *environment)
{
    struct task *task = current_task();
    bool is_shared = space_is_shared(task->space), had_threads = task->process->task_count > 1;
    struct context context;
    int64_t error = check_place(program);
    if (error) {
        return error;
    }
    end_other_threads();
    __atomic_store_n(&task->process->is_loading, true, __ATOMIC_SEQ_CST);
    if (is_shared || !space_claim(task->space)) {
        error = load_into_new_space(program, arguments, environment, &context);
        if (error && !had_threads) {
            __atomic_store_n(&task->process->is_loading, false, __ATOMIC_SEQ_CST);
            return error;
        }
    } else {
        leave_memory(task);
        error = program_make_room(program, task->space);
        error = error ? error : load(program, arguments, environment, &context);
        space_release(task->space);
    }
    error = error ? error : process_upcalls.execute_signals();
    error = error ? error : process_upcalls.execute_files(program->file);
    if (error) {
        die(program, error);
    }
    become(task, program);
    __atomic_store_n(&task->process->is_loading, false, __ATOMIC_SEQ_CST);
    *task->context = context;
    task->context_replaced = true;
    thread_reset();
    return 0;
}

static int64_t run(int descriptor, user_address path, uint32_t flags, user_address arguments_list,
                   user_address environment_list)
{
    struct strings arguments = {0}, environment = {0};
    struct program *program = program_create();
    char *name = pages_allocate(1);
    int64_t error = program && name ? strncpy_from_user(name, path, PATH_SIZE) : -ENOMEM;
    if (error >= 0) {
        error = import_strings(&arguments, arguments_list, &environment);
    }
    if (!error) {
        error = import_strings(&environment, environment_list, &arguments);
    }
    if (!error && !arguments.count) {
        error = strings_add(&arguments, "", 0) ? 0 : -ENOMEM; /* as Linux since 5.18 */
    }
    if (!error) {
        error = program_open(program, descriptor, name, flags, &arguments);
    }
    if (!error) {
        error = execute(program, &arguments, &environment);
    }
    strings_free(&arguments);
    strings_free(&environment);
    if (name) {
        pages_release(name, 1);
    }
    if (program) {
        program_close(program);
    }
    return error;
}

int64_t sys_execve(const struct arguments *arguments)
{
    return run(AT_FDCWD, arguments->at[0], 0, arguments->at[1], arguments->at[2]);
}

int64_t sys_execveat(const struct arguments *arguments)
{
    uint32_t flags = (uint32_t)arguments->at[4];
    if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) {
        return -EINVAL;
    }
    return run((int)arguments->at[0], arguments->at[1], flags, arguments->at[2], arguments->at[3]);
}
