/*
 * The PAL API, version 3: what an enclave runtime offers to the OCI runtime (rune, runelet). The names, types and
 * natural alignment are those of Inclavare's PAL API v3; liberpal-builtin.so exports them, runelet links them statically.
 *
 * Every function returns 0 or a negative errno; pal_builtin_error() says why (and the log, from level info on).
 *
 * Threads: pal_exec() blocks its caller. pal_kill() may be called from any thread, at any time. The PAL blocks all
 * asynchronous signals in the threads that run the enclave; whoever wants host signals to reach the application must receive them
 * in a thread of its own (sigwait, signalfd) and pass them on with pal_kill(). A caller that starts no thread of its own before
 * pal_exec() loses them.
 */
#ifndef ENCLAVIZE_PAL_H
#define ENCLAVIZE_PAL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PAL_API_VERSION 3

/* SDM volume 3D, TARGETINFO and REPORT. */
#define PAL_TARGETINFO_SIZE 512
#define PAL_REPORT_SIZE 432

/*
 * args: words, separated by blanks:
 *   instance=DIR            where enclave.signed.so, rootfs.erofs and rootfs.verity are; "/.enclave" if absent: then DIR/instance, else DIR itself
 *   root=DIR                the container's root, which holds the files' data; "/" if absent
 *   layers=DIR              the folder of the image's layers, from which files' data is read instead; the builtin LibOS only
 *   mode=sim                run in simulation, which protects nothing. Without it a production enclave needs /dev/sgx_enclave; a debug
 *                           enclave falls back to simulation if there is no such device
 *   mode=hw                 hardware only
 *   enclu=gate|trap|step    how simulation gets hold of ENCLU (default: gate); trap and step are strict (docs/hardware.md), and an error on hardware
 *   syscall-trap=sud|seccomp  how simulation gets hold of `syscall` (default: sud if the kernel has it)
 *   trace                   print each system call as strace does; debug enclaves only
 *   profile=text|json       print counts and times of system calls and OCALLs at the end; debug enclaves only
 *   report-fd=N             where both go (default: 2); it must stay open until pal_exec() returns
 * An unknown word is an error (-EINVAL); "no-epm" and "debug" are accepted and ignored for compatibility.
 * log_level: trace, debug, info, warning, error, fatal, panic, off; NULL or "" is "error".
 * fd, addr: enclave device and base from an enclave pool manager; -1 and 0, others are refused.
 */
struct pal_attr_t {
    const char *args;
    const char *log_level;
    int fd;
    uint64_t addr;
};

/* Host file descriptors that become the application's 0, 1, 2. The PAL does not close them; they must stay open until pal_exec() returns. */
struct pal_stdio_fds {
    int in, out, err;
};

/* Everything is copied. The LibOS applies the measured policy to argv and env; path is used in messages only, since the measured
 * configuration says what runs. stdio NULL: 0, 1, 2. *pid is set to the process's number.
 *
 * Called again, it makes a command: a further process beside the first one. Of an empty argv it is the image's health check. What the measured policy
 * does not allow ends with 126, what is not there with 127, and the reason is a line on stdio.err. Descriptors of a command may be closed when
 * pal_exec() returns; copies stay open as long as something in the enclave has them. */
struct pal_create_process_args {
    char *path;
    char **argv;
    char **env;
    struct pal_stdio_fds *stdio;
    int *pid;
};

/* exit_value: the exit code, 0..255, or 128 + n when signal n ended the process. */
struct pal_exec_args {
    int pid;
    int *exit_value;
};

int pal_get_version(void);

/* Load and check the enclave; nothing of it runs yet. -ENOENT, -EACCES, -ENOEXEC (the enclave file is refused), -ENODEV (no SGX and
 * simulation not asked for), -ENOSYS (hardware mode is not in this version), -ENOMEM, -EINVAL, -EEXIST (called before). */
int pal_init(const struct pal_attr_t *attr);

/* -ESRCH before pal_init() and when the first process has ended, -E2BIG, -ENOMEM. */
int pal_create_process(struct pal_create_process_args *args);

/* Run the process to its end, on the calling thread. Commands wait until the first process has begun, and end with it, with 137. -ESRCH for an unknown
 * pid; for commands also -EAGAIN (no thread of the enclave is free), -EMFILE. */
int pal_exec(struct pal_exec_args *args);

/* Offer a signal to the process; 0 and -1 are the first one. The measured allowlist decides what is let in. SIGKILL ends it at once, with 137; of a
 * command all that is left of its session. Signals that come before the process runs are kept. -ESRCH, -EINVAL. */
#define PAL_FROM_TERMINAL 0x100 /* added to a signal: the terminal sends it, so it goes to the group in the foreground */
int pal_kill(int pid, int sig);

/* Tear down; the enclave must not be running (-EBUSY). */
int pal_destroy(void);

/* A REPORT of this enclave for a TARGETINFO (512 bytes) -> 432 bytes; *report_len in: room, out: size. In simulation the report is visibly fake. */
int pal_get_local_report(void *targetinfo, int targetinfo_len, void *report, int *report_len);

/* Not part of the PAL API: the reason of the last failure of any function above, one line, "" if none. For the OCI log. */
const char *pal_builtin_error(void);

#ifdef __cplusplus
}
#endif

#endif
