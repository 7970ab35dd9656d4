/*
 * A PAL against the PAL API, of version VERSION (1, 2 or 3), with no enclave. It says on standard output what it
 * is called with. Words in the variable TRIAL_WORDS are as good as those in args. WAIT_STATUS: exit values are as Occlum's. AS_OCCLUM: so are the uses of files. The words of pal_init's `args` tell it how to go wrong: WHAT=CALL[:NUMBER], see wrong_ways. Other words do not matter to it.
 *
 * Its program is told by its arguments: "exit N", "value N" (the raw exit value), "signal" (waits for one), "write FILE", "show", "report".
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pal.h"

#define EXPORT __attribute__((visibility("default")))
#define PROCESS 4711
#define REPORT_SIZE 432

static char words[4096];
#if VERSION > 1
static char *given_path, **given_argv, **given_env;
#endif
static int given_out = STDOUT_FILENO;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t killed = PTHREAD_COND_INITIALIZER;
static int signal_number;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vdprintf(given_out, format, arguments);
    va_end(arguments);
}

/* The number behind "WHAT=CALL:" among the words; whether "WHAT=CALL" is among them at all. */
static int find(const char *what, const char *call, long *number)
{
    char copy[sizeof(words)], wanted[64], *rest = copy, *word;
    snprintf(wanted, sizeof(wanted), "%s=%s", what, call);
    memcpy(copy, words, sizeof(copy));
    while ((word = strsep(&rest, " "))) {
        size_t length = strlen(wanted);
        if (strncmp(word, wanted, length) != 0 || (word[length] && word[length] != ':'))
            continue;
        *number = word[length] ? strtol(word + length + 1, NULL, 10) : 0;
        return 1;
    }
    return 0;
}

/* Go wrong in `call` in the way that the words say; what to return. */
static int misbehave(const char *call)
{
    long number;
    if (find("crash", call, &number))
        *(volatile int *)16 = 1;
    if (find("abort", call, &number))
        abort();
    if (find("quit", call, &number))
        exit((int)number);
    while (find("hang", call, &number))
        pause();
    if (find("load", call, &number) && !dlopen(getenv("TRIAL_LIBRARY"), RTLD_NOW))
        say("load %s\n", dlerror());
    if (!find("result", call, &number))
        return 0;
    errno = number == -1 ? EEXIST : 0;
    return (int)number;
}

#ifdef CRASHING_CONSTRUCTOR
__attribute__((constructor)) static void construct(void)
{
    exit(1); /* as Inclavare's skeleton PAL does without an SGX device */
}
#endif

#ifdef WAIT_STATUS
#define CODE(code) ((code) << 8)
#define SIGNAL(number) (number)
#else
#define CODE(code) (code)
#define SIGNAL(number) (128 + (number))
#endif

static int overwrite(const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ssize_t written = file < 0 ? -1 : write(file, "other", 5);
    if (file >= 0)
        close(file);
    return written != 5;
}

static int run(char **argv, int *exit_value)
{
    const char *what = argv[0] && argv[1] ? argv[1] : "show";
    int code = misbehave("exec");
    if (code)
        return code;
    if (strcmp(what, "value") == 0) {
        *exit_value = atoi(argv[2]);
    } else if (strcmp(what, "exit") == 0) {
        *exit_value = CODE(atoi(argv[2]));
    } else if (strcmp(what, "write") == 0) {
        *exit_value = CODE(overwrite(argv[2]));
    } else if (strcmp(what, "signal") == 0) {
        pthread_mutex_lock(&mutex);
        while (!signal_number)
            pthread_cond_wait(&killed, &mutex);
        *exit_value = SIGNAL(signal_number);
        pthread_mutex_unlock(&mutex);
    } else if (strcmp(what, "untold") != 0) {
        *exit_value = 0;
    }
    return 0;
}

static void show(const char *path, char **argv, char **env)
{
    say("path %s\n", path);
    for (; *argv; argv++)
        say("argument %s\n", *argv);
    for (; env && *env; env++)
        say("environment %s\n", *env);
}

#if VERSION > 1 && !defined(TOLD_VERSION)
#define TOLD_VERSION VERSION
#endif
#ifdef TOLD_VERSION
EXPORT int pal_get_version(void)
{
    return TOLD_VERSION;
}
#endif

#ifdef AS_OCCLUM
/* What Occlum's PAL and LibOS do with files: those of images are opened for writing, changes are kept, engines' files are read. */
static int use_files(const char *instance)
{
    static const struct {
        const char *name;
        int flags;
    } below[] = {{"build/mount/__ROOT/metadata", O_RDWR}, {"build/initfs/__ROOT/metadata", O_RDWR},
                 {"build/lib/libocclum-libos.signed.so", O_RDONLY}, {"run/mount/__ROOT/changed", O_RDWR | O_CREAT}};
    static const char *const engines[] = {"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"};
    char path[4096];
    for (size_t i = 0; i < sizeof(below) / sizeof(*below); i++) {
        snprintf(path, sizeof(path), "%s/%s", instance, below[i].name);
        int file = open(path, below[i].flags | O_CLOEXEC, 0600);
        if (file < 0)
            return -errno;
        close(file);
    }
    for (size_t i = 0; i < sizeof(engines) / sizeof(*engines); i++) {
        if (access(engines[i], R_OK) != 0)
            *(volatile int *)16 = 1;
    }
    return 0;
}
#endif

EXPORT int pal_init(const struct pal_attr_t *attr)
{
    const char *more = getenv("TRIAL_WORDS");
    snprintf(words, sizeof(words), "%s %s", attr->args, more ? more : "");
    say("init %s level %s\n", attr->args, attr->log_level);
#if VERSION == 3
    say("device %d address %lu\n", attr->fd, (unsigned long)attr->addr);
#endif
#ifdef AS_OCCLUM
    int error = use_files(attr->args);
    if (error)
        return error;
#endif
    return misbehave("init");
}

#if VERSION == 1
/* The header declares that of later versions under this name. */
EXPORT int exec_v1(char *path, char *argv[], struct pal_stdio_fds *stdio, int *exit_code) __asm__("pal_exec");
EXPORT int exec_v1(char *path, char *argv[], struct pal_stdio_fds *stdio, int *exit_code)
{
    given_out = stdio->out;
    show(path, argv, NULL);
    return run(argv, exit_code);
}
#else
EXPORT int pal_create_process(struct pal_create_process_args *args)
{
    long number;
    given_path = args->path;
    given_argv = args->argv;
    given_env = args->env;
    given_out = args->stdio->out;
    say("streams %d %d %d\n", args->stdio->in, args->stdio->out, args->stdio->err);
    if (!find("untold", "pid", &number))
        *args->pid = PROCESS;
    memset(args->stdio, 0xff, sizeof(*args->stdio)); /* it is the caller's during this call alone */
    return misbehave("create");
}

EXPORT int pal_exec(struct pal_exec_args *args)
{
    say("exec %d\n", args->pid);
    show(given_path, given_argv, given_env);
    return run(given_argv, args->exit_value);
}

EXPORT int pal_kill(int pid, int sig)
{
    int result = misbehave("kill");
    say("kill %d %d\n", pid, sig);
    if (result)
        return result;
    pthread_mutex_lock(&mutex);
    signal_number = sig;
    pthread_cond_broadcast(&killed);
    pthread_mutex_unlock(&mutex);
    return 0;
}
#endif

#if VERSION >= 3 && !defined(NO_REPORT)
EXPORT int pal_get_local_report(void *targetinfo, int targetinfo_len, void *report, int *report_len)
{
    long size;
    int result = misbehave("report");
    if (targetinfo_len != 512 || *report_len < REPORT_SIZE)
        return -EINVAL;
    memset(report, 'R', REPORT_SIZE);
    memcpy(report, targetinfo, 32);
    *report_len = find("size", "report", &size) ? (int)size : REPORT_SIZE;
    return result;
}
#endif

EXPORT int pal_destroy(void)
{
    say("destroy\n");
    return misbehave("destroy");
}
