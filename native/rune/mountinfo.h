/* The mount on which an open file lies: proc_pid_mountinfo(5), proc_pid_fdinfo(5). */
#ifndef RUNE_MOUNTINFO_H
#define RUNE_MOUNTINFO_H

#include <stdbool.h>

struct mount {
    char *device, *path, *point; /* as /proc/self/mountinfo writes them; `path` inside its file system, `point` where it is mounted */
};

/* The number of the mount; -1 if the kernel does not tell. */
long mount_number(int file);

/* What `mount` points into stays for the rest of this program's life. */
bool find_mount(long wanted, struct mount *mount);

#endif
