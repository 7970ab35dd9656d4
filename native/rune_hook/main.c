/*
 * A hook of the OCI runtime (createContainer): all mounts are made, the new root is not yet entered. What a volume holds may have changed
 * since rune looked at it, so a mount may have been put over /.enclave after all; the mount that rune wanted there would then have come
 * from what covers it. This is the look that counts: nobody but the runtime can mount anything below the root file system after it.
 *
 *     rune-hook ROOTFS DEVICE PATH RUNELET
 *     rune-hook ROOTFS DEVICE PATH --pal FOLDER
 *
 * /.enclave below ROOTFS must be the folder PATH of the file system DEVICE (as in /proc/self/mountinfo), and its runelet the file RUNELET.
 * With a PAL of others there is no runelet in it: /.rune must be FOLDER.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../rune/mountinfo.h"

#define FOLDER ".enclave"
#define RUNELET "bin/runelet"
#define PAL_FOLDER ".rune"
#define PAL_SWITCH "--pal"

/* Whether `folder` is where a mount begins, and that mount is of the wanted folder. */
static bool is_genuine(int rootfs, int folder, const char *device, const char *path)
{
    struct mount mount;
    long number = mount_number(folder);
    return number >= 0 && number != mount_number(rootfs) && find_mount(number, &mount) && strcmp(mount.device, device) == 0 &&
           strcmp(mount.path, path) == 0;
}

static bool is_same_file(int folder, const char *name, const char *genuine)
{
    struct stat found, wanted;
    return fstatat(folder, name, &found, AT_SYMLINK_NOFOLLOW) == 0 && stat(genuine, &wanted) == 0 &&
           found.st_dev == wanted.st_dev && found.st_ino == wanted.st_ino;
}

int main(int argc, char **argv)
{
    bool is_pal = argc == 6 && strcmp(argv[4], PAL_SWITCH) == 0;
    if (argc != 5 && !is_pal) {
        fprintf(stderr, "rune: error: this hook is for configurations that rune has written\n");
        return EXIT_FAILURE;
    }
    int rootfs = open(argv[1], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int folder = rootfs < 0 ? -1 : openat(rootfs, FOLDER, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder >= 0 && is_genuine(rootfs, folder, argv[2], argv[3]) &&
        (is_pal ? is_same_file(rootfs, PAL_FOLDER, argv[5]) : is_same_file(folder, RUNELET, argv[4])))
        return EXIT_SUCCESS;
    fprintf(stderr, "rune: error: a mount covers /" FOLDER " of the TEE container, its runelet, or /" PAL_FOLDER "\n");
    return EXIT_FAILURE;
}
