#define _GNU_SOURCE
#include "instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define SGX_DEVICE "/dev/sgx_enclave"
#define SIGSTRUCT_SIZE 1808
#define SIGSTRUCT_MODULUS 128
#define MODULUS_SIZE 384
#define PERSONALITY_QUERY 0xFFFFFFFFUL

enum kind { PROGRAM, DATA, SIGNATURE };

struct needed_file {
    const char *path; /* below the folder that holds instance/ and gramine/ */
    enum kind kind;
};

static const struct needed_file DIRECT_FILES[] = {
    {"gramine/direct/loader", PROGRAM},
    {"gramine/direct/libpal.so", PROGRAM},
    {"gramine/libsysdb.so", DATA},
    {"instance/app.manifest", DATA},
    {"instance/app.sig", SIGNATURE},
    {NULL, DATA},
};

static const struct needed_file SGX_FILES[] = {
    {"gramine/sgx/loader", PROGRAM},
    {"gramine/sgx/libpal.so", DATA},
    {"gramine/libsysdb.so", DATA},
    {"instance/app.manifest.sgx", DATA},
    {"instance/app.sig", SIGNATURE},
    {NULL, DATA},
};

/* What Gramine's direct mode reads before it runs anything: it says no more than "init failed" without them. */
static const char *const DIRECT_NEEDS[] = {"/proc/self/maps", "/dev/urandom", "/sys/devices/system/cpu/online"};

static int join(char to[PATH_MAX], const char *folder, const char *name)
{
    int length = snprintf(to, PATH_MAX, "%s/%s", folder, name);
    return length > 0 && length < PATH_MAX ? 0 : fail(-ENAMETOOLONG, "%s/%s: the path is too long", folder, name);
}

/* options.h: `instance` names the folder with app.manifest.sgx, or the one above it. */
static int find_folder(char folder[PATH_MAX], const char *given)
{
    struct stat status;
    char below[PATH_MAX];
    int error = join(below, given, "instance");
    if (error)
        return error;
    snprintf(folder, PATH_MAX, "%s", given);
    if (stat(below, &status) == 0 && S_ISDIR(status.st_mode))
        return 0;
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        folder[--length] = '\0';
    char *slash = strrchr(folder, '/');
    if (!slash || strcmp(slash, "/instance") != 0)
        return fail(-ENOENT, "%s holds no Gramine instance", given);
    *slash = '\0';
    return 0;
}

/* SDM volume 3D, SIGSTRUCT. The modulus is zero where nobody has signed yet; all else is the loader's to check. */
static int check_signature(const char *path)
{
    static const char unsigned_modulus[MODULUS_SIZE];
    char sigstruct[SIGSTRUCT_SIZE + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(-errno, "%s: %s", path, strerror(errno));
    ssize_t size = read(fd, sigstruct, sizeof(sigstruct));
    close(fd);
    if (size != SIGSTRUCT_SIZE)
        return fail(-ENOEXEC, "%s is not a SIGSTRUCT of %d bytes", path, SIGSTRUCT_SIZE);
    if (memcmp(sigstruct + SIGSTRUCT_MODULUS, unsigned_modulus, MODULUS_SIZE) == 0)
        return fail(-ENOEXEC, "%s: the enclave is not signed", path);
    return 0;
}

static int check_file(const char *path, enum kind kind)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return fail(-errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode) || status.st_size == 0)
        return fail(-ENOEXEC, "%s is not a file with content", path);
    if (access(path, kind == PROGRAM ? R_OK | X_OK : R_OK) != 0)
        return fail(-errno, "%s: %s", path, strerror(errno));
    return kind == SIGNATURE ? check_signature(path) : 0;
}

/* Children of Gramine have its memory at the same addresses. It would switch the randomisation off itself, and say less if it cannot. */
static int prepare_direct(void)
{
    for (size_t i = 0; i < sizeof(DIRECT_NEEDS) / sizeof(*DIRECT_NEEDS); i++) {
        if (access(DIRECT_NEEDS[i], R_OK) != 0)
            return fail(-errno, "%s: %s; Gramine's direct mode needs it", DIRECT_NEEDS[i], strerror(errno));
    }
    int persona = personality(PERSONALITY_QUERY);
    if (persona < 0 || personality((unsigned long)persona | ADDR_NO_RANDOMIZE) < 0)
        return fail(-errno, "personality(ADDR_NO_RANDOMIZE): %s; the container's seccomp profile forbids what Gramine's direct mode "
                            "needs. rune lets it pass; docker does with --security-opt seccomp=unconfined", strerror(errno));
    return 0;
}

/* Direct mode is chosen, never fallen into. */
static int choose_mode(struct instance *instance, enum run_mode mode)
{
    instance->direct = mode == MODE_SIMULATION;
    if (instance->direct)
        return prepare_direct();
    if (access(SGX_DEVICE, R_OK | W_OK) == 0)
        return 0;
    if (errno == ENOENT)
        return fail(-ENODEV, SGX_DEVICE " is missing: this machine has no SGX, or its driver is not visible here. "
                                        "Simulation, which protects nothing, must be asked for: "
                                        "ENCLAVIZE_SIMULATE=1 (for other callers of the PAL: mode=sim)");
    return fail(-errno, SGX_DEVICE ": %s", strerror(errno));
}

int instance_open(struct instance *instance, const struct options *options)
{
    char folder[PATH_MAX], path[PATH_MAX];
    int error = find_folder(folder, options->instance);
    if (!error)
        error = choose_mode(instance, options->mode);
    const struct needed_file *files = instance->direct ? DIRECT_FILES : SGX_FILES;
    for (const struct needed_file *file = files; !error && file->path; file++) {
        error = join(path, folder, file->path);
        if (!error)
            error = check_file(path, file->kind);
    }
    if (!error)
        error = join(instance->loader, folder, files[0].path);
    if (!error)
        error = join(instance->libpal, folder, files[1].path);
    if (!error)
        error = join(instance->application, folder, "instance/app");
    return error ? error : join(instance->defaults, folder, "instance/defaults");
}
