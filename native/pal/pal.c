/* The PAL API. See pal.h. */
#define _GNU_SOURCE
#include "pal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "crypto.h"
#include "enclave.h"
#include "enclave_file.h"
#include "host_thread.h"
#include "layers.h"
#include "log.h"
#include "machine.h"
#include "options.h"
#include "process.h"
#include "sigstruct.h"

#define EXPORT __attribute__((visibility("default")))
#define ENCLAVE_FILE_NAME "enclave.signed.so"
#define BANNER "SIMULATION: this enclave protects NOTHING; the host can read and change everything in it\n"

static const char *const IMAGE_FILE_NAMES[] = {"rootfs.erofs", "rootfs.verity"};

static enum { STATE_NEW, STATE_READY, STATE_CREATED, STATE_RUNNING, STATE_ENDED } state;
static pthread_mutex_t state_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct enclave enclave;

static bool change_state(int from, int to)
{
    pthread_mutex_lock(&state_mutex);
    bool matches = (int)state == from;
    if (matches) {
        state = to;
    }
    pthread_mutex_unlock(&state_mutex);
    return matches;
}

/* The instance directory, or the one below it that an image has. */
static int open_instance(const char *path)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return fail(-errno, "%s: %s", path, strerror(errno));
    }
    int below = openat(directory, "instance", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (below >= 0) {
        close(directory);
        return below;
    }
    return directory;
}

static int open_file(int directory, const char *instance, const char *name)
{
    struct stat status;
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return fail(-errno, "%s/%s: %s", instance, name, strerror(errno));
    }
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return fail(-ENOEXEC, "%s/%s is not a regular file", instance, name);
    }
    return fd;
}

/* Reads the whole file into memory of our own, since it is patched, and since the one on disk may change at any moment. */
static uint8_t *read_file(int fd, size_t *size)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || status.st_size <= 0 || (uint64_t)status.st_size > ENCLAVE_FILE_SIZE_MAX) {
        fail(-ENOEXEC, "the enclave file is empty or larger than %lu MiB", ENCLAVE_FILE_SIZE_MAX >> 20);
        return NULL;
    }
    *size = (size_t)status.st_size;
    uint8_t *bytes = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) {
        fail(-ENOMEM, "there is no memory for the enclave file");
        return NULL;
    }
    for (size_t done = 0; done < *size;) {
        ssize_t result = pread(fd, bytes + done, *size - done, (off_t)done);
        if (result <= 0) {
            fail(-EIO, "the enclave file cannot be read: %s", result < 0 ? strerror(errno) : "it is getting shorter");
            munmap(bytes, *size);
            return NULL;
        }
        done += (size_t)result;
    }
    return bytes;
}

/* Simulation is chosen, never fallen into: but for debug enclaves, which protect nothing anyway. */
static int choose_machine(const struct options *options, bool debug)
{
    machine = &simulated_machine;
    if (options->mode == MODE_SIMULATION) {
        return machine->find(options);
    }
    if (access(SGX_DEVICE, F_OK) == 0) {
        machine = &sgx_machine;
        if (options->trap_enclu) {
            return fail(-EINVAL, "strict simulation (enclu=trap, enclu=step) was asked for, and this enclave would run on SGX hardware; ask for "
                                 "simulation, too: ENCLAVIZE_SIMULATE=1 (for other callers of the PAL: mode=sim)");
        }
        return machine->find(options);
    }
    if (options->mode == MODE_HARDWARE || !debug) {
        return fail(-ENODEV, SGX_DEVICE " is missing: this machine has no SGX, or its driver is not visible here. "
                                        "Simulation, which protects nothing, must be asked for: "
                                        "ENCLAVIZE_SIMULATE=1 (for other callers of the PAL: mode=sim)");
    }
    log_message(LOG_WARNING, SGX_DEVICE " is missing: the debug enclave runs in simulation");
    return machine->find(options);
}

static void show_banner(const struct options *options)
{
    static const char plain[] = "enclavize: " BANNER, strict[] = "enclavize: STRICT " BANNER;
    ssize_t written = options->trap_enclu ? write(STDERR_FILENO, strict, sizeof(strict) - 1) : write(STDERR_FILENO, plain, sizeof(plain) - 1);
    (void)written;
}

static int load(struct enclave_file *file, const struct options *options)
{
    int error = sigstruct_verify(&file->sigstruct);
    if (!error) {
        error = choose_machine(options, sigstruct_allows_debug(&file->sigstruct));
    }
    if (!error && options->boot_flags && !sigstruct_allows_debug(&file->sigstruct)) {
        error = fail(-EACCES, "trace and profile tell what the program does: this is a production enclave, and only debug enclaves are observed");
    }
    if (!error) {
        error = enclave_build(&enclave, file);
    }
    if (error) {
        return error;
    }
    error = host_threads_allocate(enclave.tcs_addresses, enclave.tcs_count);
    if (!error) {
        error = machine->start(&enclave, options);
    }
    if (error) {
        host_threads_release();
        machine->release();
    }
    return error;
}

static int load_enclave_file(int directory, const struct options *options)
{
    struct enclave_file file;
    size_t size = 0;
    int fd = open_file(directory, options->instance, ENCLAVE_FILE_NAME);
    if (fd < 0) {
        return fd;
    }
    uint8_t *bytes = read_file(fd, &size);
    close(fd);
    if (!bytes) {
        return -ENOEXEC;
    }
    int error = enclave_file_parse(&file, bytes, size);
    if (!error) {
        error = load(&file, options);
    }
    munmap(bytes, size);
    return error;
}

/* The image's files may be missing (an enclave without a root file system): then every read of them fails. */
static int open_image(int directory, const struct options *options)
{
    for (int index = 0; index < 2; index++) {
        process.image_files[index] = open_file(directory, options->instance, IMAGE_FILE_NAMES[index]);
    }
    log_forget_failure();
    process.root = open(options->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (process.root < 0) {
        return fail(-errno, "%s: %s", options->root, strerror(errno));
    }
    return options->layers[0] ? layers_open(options->layers) : 0;
}

static void close_image(void)
{
    int *const descriptors[] = {&process.root, &process.image_files[0], &process.image_files[1]};
    for (size_t index = 0; index < sizeof(descriptors) / sizeof(descriptors[0]); index++) {
        if (*descriptors[index] >= 0) {
            close(*descriptors[index]);
        }
        *descriptors[index] = -1;
    }
    layers_close();
}

/* Every file that the application has open is a descriptor of ours. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int initialise(const struct pal_attr_t *attr)
{
    struct options options;
    if (!attr || attr->fd > 0 || attr->addr != 0) {
        return fail(-EINVAL, "an enclave from a pool manager cannot be used");
    }
    if (log_set_level(attr->log_level) != 0) {
        return fail(-EINVAL, "log level '%s' is not known", attr->log_level);
    }
    int error = options_parse(&options, attr->args);
    if (error) {
        return error;
    }
    sha256_choose(cpu_features_found() & CPU_FEATURE_SHA);
    int directory = open_instance(options.instance);
    if (directory < 0) {
        return directory;
    }
    error = open_image(directory, &options);
    if (!error) {
        error = load_enclave_file(directory, &options);
    }
    close(directory);
    if (error) {
        close_image();
        return error;
    }
    process.boot_flags = options.boot_flags;
    log_set_report(options.boot_flags ? options.report : -1);
    raise_descriptor_limit();
    umask(0); /* the program's own has been applied inside: files of volumes get the modes that were asked for */
    if (machine == &simulated_machine) {
        show_banner(&options);
    }
    return 0;
}

EXPORT int pal_get_version(void)
{
    return PAL_API_VERSION;
}

EXPORT int pal_init(const struct pal_attr_t *attr)
{
    log_forget_failure();
    if (!change_state(STATE_NEW, STATE_READY)) {
        return fail(-EEXIST, "the PAL has been initialised already");
    }
    int error = initialise(attr);
    if (error) {
        change_state(STATE_READY, STATE_NEW);
    }
    return error;
}

static int create_command(struct pal_create_process_args *args, const struct pal_stdio_fds *stdio)
{
    switch (state) {
    case STATE_NEW:
        return fail(-ESRCH, "the PAL has not been initialised");
    case STATE_ENDED:
        return fail(-ESRCH, "the enclave has ended");
    default:
        break;
    }
    int number = command_create(args->argv, args->env, stdio);
    if (number < 0) {
        return number;
    }
    *args->pid = number;
    return 0;
}

EXPORT int pal_create_process(struct pal_create_process_args *args)
{
    log_forget_failure();
    if (!args || !args->pid || !args->argv) {
        return fail(-EINVAL, "pal_create_process: an argument is missing");
    }
    const struct pal_stdio_fds standard = {0, 1, 2};
    const struct pal_stdio_fds *stdio = args->stdio ? args->stdio : &standard;
    if (!change_state(STATE_READY, STATE_CREATED)) {
        return create_command(args, stdio);
    }
    int error = process_set_arguments(args->argv, args->env);
    if (error) {
        change_state(STATE_CREATED, STATE_READY);
        return error;
    }
    process.stdio[0] = stdio->in;
    process.stdio[1] = stdio->out;
    process.stdio[2] = stdio->err;
    *args->pid = PROCESS_NUMBER;
    return 0;
}

EXPORT int pal_exec(struct pal_exec_args *args)
{
    log_forget_failure();
    if (!args || !args->exit_value) {
        return fail(-EINVAL, "pal_exec: an argument is missing");
    }
    if (args->pid > PROCESS_NUMBER) {
        return command_run(args->pid, args->exit_value);
    }
    if (args->pid != PROCESS_NUMBER || !change_state(STATE_CREATED, STATE_RUNNING)) {
        return fail(-ESRCH, "there is no process %d to run", args->pid);
    }
    int error = process_run();
    change_state(STATE_RUNNING, STATE_ENDED);
    *args->exit_value = process.exit_value;
    return error;
}

EXPORT int pal_kill(int pid, int sig)
{
    bool is_from_terminal = sig & PAL_FROM_TERMINAL;
    sig &= ~PAL_FROM_TERMINAL;
    if (sig < 1 || sig > 64) {
        return fail(-EINVAL, "signal %d does not exist", sig);
    }
    if (pid > PROCESS_NUMBER) {
        return command_signal(pid, sig, is_from_terminal);
    }
    if ((pid != PROCESS_NUMBER && pid != 0 && pid != -1) || (state != STATE_CREATED && state != STATE_RUNNING)) {
        return fail(-ESRCH, "there is no process %d", pid);
    }
    is_from_terminal ? command_signal_of_terminal(sig) : process_signal(sig);
    return 0;
}

EXPORT int pal_destroy(void)
{
    log_forget_failure();
    if (state == STATE_RUNNING) {
        return fail(-EBUSY, "the enclave is running");
    }
    if (state != STATE_NEW) {
        machine->stop();
        host_threads_release();
        machine->release();
        close_image();
        commands_release();
        state = STATE_NEW;
    }
    return 0;
}

EXPORT int pal_get_local_report(void *targetinfo, int targetinfo_len, void *report, int *report_len)
{
    struct report made;
    log_forget_failure();
    if (!targetinfo || targetinfo_len != TARGETINFO_SIZE || !report || !report_len || *report_len < REPORT_SIZE) {
        return fail(-EINVAL, "a report needs a TARGETINFO of %d bytes and room for %d bytes", TARGETINFO_SIZE, REPORT_SIZE);
    }
    if (state == STATE_NEW) {
        return fail(-ESRCH, "the PAL has not been initialised");
    }
    int error = process_report(targetinfo, &made);
    if (error) {
        return error;
    }
    memcpy(report, &made, REPORT_SIZE);
    *report_len = REPORT_SIZE;
    return 0;
}

EXPORT const char *pal_builtin_error(void)
{
    return log_last_failure();
}
