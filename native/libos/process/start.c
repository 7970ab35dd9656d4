/* From the first instruction of C to the first instruction of the program. */
#include "process/configuration.h"
#include "cpu/cpuid.h"
#include "fs/fs.h"
#include "base/log.h"
#include "memory/memory.h"
#include "cpu/patch.h"
#include "process/policy.h"
#include "process/program.h"
#include "process/task.h"

#define BOOT_NO_PATCHING 1U /* boot.reserved: honoured in debug enclaves only, for tests */

#define STATUS_CANNOT_EXECUTE 126 /* as docker and the shells */
#define STATUS_NOT_FOUND 127

static _Noreturn void refuse(int status, const char *what, const char *why)
{
    log_line(LOG_ERROR, "%s: %s", what, why);
    host_exit((uint32_t)status, 0);
}

static void set_identity(void)
{
    process.uid = configuration.uid;
    process.gid = configuration.gid;
    process.group_count = configuration.groups.size / sizeof(uint32_t);
    memcpy(process.groups, configuration.groups.start, configuration.groups.size);
    process.start_time_ns = clock_now_ns(CLOCK_BOOTTIME);
}

/* The host's strings, in order; false: the counts do not fit the bytes. */
static bool take_strings(struct strings *to, uint32_t count, const char **at, const char *end)
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
    if (!take_strings(&host_arguments, boot->argument_count, &at, end) ||
        !take_strings(&host_environment, boot->environment_count, &at, end)) {
        refuse(FATAL_STATUS, "start", "the host's arguments and environment are malformed");
    }
    const char *error = policy_apply(&configuration, &host_arguments, &host_environment, arguments,
                                     environment);
    if (error) {
        refuse(STATUS_CANNOT_EXECUTE, "start", error);
    }
    strings_free(&host_arguments);
    strings_free(&host_environment);
}

static void start_file_system(void)
{
    int64_t error = fs_start(&configuration);
    if (error) {
        refuse(FATAL_STATUS, "root file system",
               error == -EIO ? "it is not the measured one" : "it cannot be used");
    }
    char path[4096] = "/";
    if (configuration.working_directory.size) {
        format_text(path, sizeof path, "%.*s", (int)configuration.working_directory.size,
                    configuration.working_directory.start);
    }
    if (fs_change_directory(path)) {
        refuse(STATUS_CANNOT_EXECUTE, "working directory", path);
    }
}

static const char *describe_error(int64_t error)
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

_Noreturn void libos_start(const struct boot *boot, const char *strings)
{
    log_set_level(boot->log_level);
    cpuid_start(boot->cpuid);
    const char *error = configuration_parse(&configuration, measured_configuration);
    if (error) {
        refuse(FATAL_STATUS, "measured configuration", error);
    }
    memory_start(configuration.memory);
    struct task *task = task_start_first();
    if (enclave_is_debug() && (boot->reserved & BOOT_NO_PATCHING)) {
        patch_disable();
    }
    set_identity();
    start_file_system();
    struct strings arguments = {0}, environment = {0};
    choose_arguments(boot, strings, &arguments, &environment);
    struct context context;
    const char *problem = NULL;
    int64_t failure = program_load(&arguments, &environment, &context, &problem);
    if (failure) {
        refuse(failure == -ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_EXECUTE, strings_first(&arguments),
               problem ? problem : describe_error(failure));
    }
    memcpy(task->name, process.name, sizeof task->name);
    strings_free(&arguments);
    strings_free(&environment);
    signal_start(configuration.host_signals);
    context_resume(&context);
}
