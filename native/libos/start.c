/*
 * From the first instruction of C on the LibOS's stack to the first instruction of the program. This file stands above
 * all rooms: it opens them from the bottom up.
 */
#include "fs/fs.h"
#include "net/net.h"
#include "memory/memory.h"
#include "signal/signal.h"
#include "syscall/syscall.h"
#include "time/time.h"

static void start_file_system(void)
{
    int64_t error = fs_start(&configuration);
    if (error) {
        process_refuse(FATAL_STATUS, "root file system",
                       error == -EIO ? "it is not the measured one" : "it cannot be used");
    }
    char path[4096];
    configuration_directory(path, sizeof path);
    if (fs_enter_directory(path)) {
        process_refuse(STATUS_CANNOT_EXECUTE, "working directory", path);
    }
}

_Noreturn void libos_start(const struct boot *boot, const char *strings)
{
    log_set_level(boot->log_level, enclave_is_debug());
    cpuid_start(boot->cpuid);
    uint32_t flags = enclave_is_debug() ? boot->flags : 0;
    if (flags & BOOT_NO_PATCHING) {
        patch_disable();
    }
    wait_start(boot->processors);
    memory_start();
    process_start();
    machine_start(boot->processors);
    signal_start();
    time_start();
    start_file_system();
    net_start();
    syscall_start(flags);
    struct context context;
    process_load(boot, strings, &context);
    signal_allow_host(configuration.host_signals);
    commands_start();
    context_resume(&context);
}
