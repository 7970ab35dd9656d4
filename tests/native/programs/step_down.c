/* A program that starts as root gives its rights up, and has lost them then: setresuid(2), setgroups(2), capabilities(7),
 * and what the files say. Each thread has credentials of its own. Run by another user, it has nothing to give up. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OTHER 33
#define PATH "/tmp/step-down"
#define GIVEN PATH "-given" /* its owner is not in its group */

/* linux/capability.h, which musl does not bring. */
#define VERSION_3 0x20080522U
enum { CAP_CHOWN = 0, CAP_DAC_OVERRIDE = 1, CAP_SETUID = 7 };

struct header {
    uint32_t version;
    int pid;
};
struct words {
    uint32_t effective, permitted, inheritable;
};
static struct words capabilities[2];

static int change_capabilities(int call, void *data)
{
    struct header header = {.version = VERSION_3};
    return (int)syscall(call, &header, data);
}

static void read_capabilities(void)
{
    CHECK(change_capabilities(SYS_capget, capabilities) == 0);
}

static bool has(unsigned capability)
{
    read_capabilities();
    return (capabilities[0].effective >> capability) & 1;
}

/* Raw system calls change one thread only. */
static void *step_down_alone(void *argument)
{
    CHECK(syscall(SYS_setresuid, OTHER, OTHER, OTHER) == 0);
    CHECK(getuid() == OTHER && !has(CAP_SETUID));
    CHECK(syscall(SYS_setresuid, 0, 0, 0) == -1 && errno == EPERM);
    return argument;
}

static void threads_are_apart(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, step_down_alone, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(getuid() == 0 && has(CAP_SETUID));
}

enum { SECURE_NOROOT = 1, NO_FIXUP = 4, NO_FIXUP_LOCKED = 8, KEEPS = 16, KEEPS_LOCKED = 32, NO_RAISE = 64, UNKNOWN_BIT = 1 << 20 };

static int set_secure_bits(unsigned long bits)
{
    return prctl(PR_SET_SECUREBITS, bits, 0, 0, 0);
}

/* Of a thread: what is locked cannot be unlocked. */
static void *secure_bits(void *argument)
{
    CHECK(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == 0);
    FAILS(set_secure_bits(UNKNOWN_BIT), EPERM);
    CHECK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == KEEPS);
    CHECK(set_secure_bits(SECURE_NOROOT | NO_FIXUP | NO_FIXUP_LOCKED | KEEPS_LOCKED | NO_RAISE) == 0);
    CHECK(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == (SECURE_NOROOT | NO_FIXUP | NO_FIXUP_LOCKED | KEEPS_LOCKED | NO_RAISE));
    FAILS(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), EPERM);
    FAILS(set_secure_bits(NO_FIXUP_LOCKED | KEEPS_LOCKED), EPERM); /* what is locked */
    FAILS(set_secure_bits(NO_FIXUP | KEEPS_LOCKED), EPERM);        /* a lock */
    CHECK(set_secure_bits(NO_FIXUP | NO_FIXUP_LOCKED | KEEPS_LOCKED | NO_RAISE) == 0);
    read_capabilities();
    capabilities[0].inheritable |= 1U << CAP_CHOWN;
    CHECK(change_capabilities(SYS_capset, capabilities) == 0);
    FAILS(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), EPERM);
    CHECK(syscall(SYS_setfsuid, OTHER) == 0 && has(CAP_CHOWN));
    CHECK(syscall(SYS_setresuid, OTHER, OTHER, OTHER) == 0 && has(CAP_CHOWN) && has(CAP_SETUID));
    CHECK(syscall(SYS_setresuid, 0, 0, 0) == 0);
    return argument;
}

static void threads_have_secure_bits(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, secure_bits, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == 0);
}

static void steps_back_and_forth(void)
{
    uid_t real, effective, saved;
    CHECK(seteuid(OTHER) == 0);
    CHECK(geteuid() == OTHER && getuid() == 0 && !has(CAP_CHOWN));
    CHECK(open(PATH, O_RDONLY) == -1 && errno == EACCES);
    CHECK(setgroups(0, NULL) == -1 && errno == EPERM);
    CHECK(seteuid(0) == 0 && has(CAP_CHOWN));
    CHECK(getresuid(&real, &effective, &saved) == 0 && real == 0 && effective == 0 && saved == 0);
    CHECK(setfsuid(OTHER) == 0 && setfsuid((uid_t)-1) == OTHER && !has(CAP_DAC_OVERRIDE) && has(CAP_SETUID));
    CHECK(open(PATH, O_RDONLY) == -1 && errno == EACCES);
    CHECK(setfsuid(0) == OTHER && has(CAP_DAC_OVERRIDE));
    CHECK(setregid(OTHER, OTHER + 1) == 0 && getgid() == OTHER && getegid() == OTHER + 1);
    CHECK(setresgid(0, 0, 0) == 0);
    CHECK(setuid((uid_t)-1) == -1 && errno == EINVAL);
}

/* access(2) tells what the real user may do, and of what leads there; with AT_EACCESS what the next call would be told. */
static void asks_for_the_real_user(void)
{
    CHECK(seteuid(OTHER) == 0 && access(PATH, R_OK) == 0);
    FAILS((int)syscall(SYS_faccessat2, AT_FDCWD, PATH, R_OK, AT_EACCESS), EACCES);
    CHECK(seteuid(0) == 0 && setfsuid(OTHER) == 0 && access(PATH, R_OK) == 0 && setfsuid(0) == OTHER);
    CHECK(setreuid(OTHER, 0) == 0);
    FAILS(access(PATH, R_OK), EACCES);
    CHECK(syscall(SYS_faccessat2, AT_FDCWD, PATH, R_OK, AT_EACCESS) == 0);
    CHECK(has(CAP_DAC_OVERRIDE) && setreuid(0, 0) == 0);
    CHECK(mkdir(PATH "-closed", 0700) == 0 && symlink(PATH, PATH "-closed/link") == 0 && setreuid(OTHER, 0) == 0);
    FAILS(access(PATH "-closed/link", F_OK), EACCES);
    CHECK(setreuid(0, 0) == 0 && setregid(OTHER, 0) == 0 && chown(PATH, OTHER, OTHER) == 0 && chmod(PATH, 0640) == 0);
    CHECK(setreuid(OTHER + 1, 0) == 0 && access(PATH, R_OK) == 0 && setreuid(0, 0) == 0 && setregid(0, 0) == 0);
    CHECK(chown(PATH, 0, 0) == 0 && chmod(PATH, 0600) == 0);
    CHECK(unlink(PATH "-closed/link") == 0 && rmdir(PATH "-closed") == 0);
}

static void capabilities_are_dropped(void)
{
    CHECK(prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0) == 1);
    CHECK(prctl(PR_CAPBSET_READ, 63, 0, 0, 0) == -1 && errno == EINVAL);
    CHECK(prctl(PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0) == 0);
    CHECK(prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0) == 0);
    read_capabilities();
    CHECK((capabilities[0].permitted >> CAP_CHOWN) & 1);
    capabilities[0].effective &= ~(1U << CAP_CHOWN);
    CHECK(change_capabilities(SYS_capset, capabilities) == 0);
    CHECK(chown(PATH, OTHER, OTHER) == -1 && errno == EPERM);
    capabilities[0].effective |= 1U << CAP_CHOWN;
    CHECK(change_capabilities(SYS_capset, capabilities) == 0);
    CHECK(chown(PATH, OTHER, OTHER) == 0 && chown(PATH, 0, 0) == 0);
    capabilities[0].permitted &= ~(1U << CAP_CHOWN);
    CHECK(change_capabilities(SYS_capset, capabilities) == -1 && errno == EPERM);
    capabilities[0].effective &= ~(1U << CAP_CHOWN);
    CHECK(change_capabilities(SYS_capset, capabilities) == 0);
    capabilities[0].permitted |= 1U << CAP_CHOWN;
    CHECK(change_capabilities(SYS_capset, capabilities) == -1 && errno == EPERM);
}

static void steps_down_for_good(void)
{
    gid_t groups[2] = {OTHER + 1, OTHER + 2}, found[2];
    struct stat status;
    CHECK(setgroups(2, groups) == 0 && getgroups(2, found) == 2 && found[1] == OTHER + 2);
    CHECK(getgroups(1, found) == -1 && errno == EINVAL);
    CHECK(setgid(OTHER) == 0);
    CHECK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0) == 1);
    CHECK(setuid(OTHER) == 0);
    read_capabilities();
    CHECK(capabilities[0].effective == 0 && capabilities[0].permitted != 0);
    memset(capabilities, 0, sizeof capabilities);
    CHECK(change_capabilities(SYS_capset, capabilities) == 0);
    CHECK(getuid() == OTHER && geteuid() == OTHER && getgid() == OTHER && getegid() == OTHER);
    CHECK(setuid(0) == -1 && errno == EPERM);
    CHECK(setgid(0) == -1 && errno == EPERM);
    CHECK(setgroups(0, NULL) == -1 && errno == EPERM);
    CHECK(setreuid(0, 0) == -1 && errno == EPERM);
    CHECK(open(PATH, O_RDONLY) == -1 && errno == EACCES);
    CHECK(chown(PATH, OTHER, OTHER) == -1 && errno == EPERM);
    unlink(PATH "-own");
    int own = open(PATH "-own", O_CREAT | O_RDWR, 0600);
    CHECK(own >= 0 && fstat(own, &status) == 0 && status.st_uid == OTHER && status.st_gid == OTHER);
    CHECK(chown(PATH "-own", (uid_t)-1, OTHER + 1) == 0);
    CHECK(chown(PATH "-own", (uid_t)-1, 0) == -1 && errno == EPERM);
    CHECK(fchmod(own, 02770) == 0 && fstat(own, &status) == 0 && (status.st_mode & S_ISGID));
    CHECK(close(own) == 0 && unlink(PATH "-own") == 0);
    CHECK(chmod(GIVEN, 02770) == 0 && stat(GIVEN, &status) == 0 && (status.st_mode & 07777) == 0770);
    CHECK(unlink(GIVEN) == 0);
    CHECK(open("/tmp", O_RDONLY | O_NOATIME) == -1 && errno == EPERM);
    setfsuid(0);
    CHECK(setfsuid((uid_t)-1) == OTHER);
}

int main(void)
{
    if (getuid() == 0) {
        chmod("/tmp", 01777);
        unlink(PATH);
        int file = open(PATH, O_CREAT | O_RDWR, 0600);
        CHECK(file >= 0 && close(file) == 0);
        unlink(GIVEN);
        file = open(GIVEN, O_CREAT | O_RDWR, 0600);
        CHECK(file >= 0 && fchown(file, OTHER, OTHER + 9) == 0 && close(file) == 0);
        threads_are_apart();
        threads_have_secure_bits();
        steps_back_and_forth();
        asks_for_the_real_user();
        capabilities_are_dropped();
        steps_down_for_good();
    }
    puts("credentials ok");
}
