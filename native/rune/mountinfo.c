#define _GNU_SOURCE
#include "mountinfo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

long mount_number(int file)
{
    char name[64], line[128];
    long number = -1;
    snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", file);
    FILE *info = fopen(name, "re");
    while (info && number < 0 && fgets(line, sizeof(line), info)) {
        if (strncmp(line, "mnt_id:", 7) == 0)
            number = strtol(line + 7, NULL, 10);
    }
    if (info)
        fclose(info);
    return number;
}

/* Fields of a line: number, parent, device, path in the file system, where it is mounted, ... */
static bool split(char *line, long *number, struct mount *mount)
{
    char *fields[5];
    for (int i = 0; i < 5; i++)
        fields[i] = strsep(&line, " ");
    if (!line)
        return false;
    *number = strtol(fields[0], NULL, 10);
    *mount = (struct mount){fields[2], fields[3], fields[4]};
    return true;
}

bool find_mount(long wanted, struct mount *mount)
{
    char *line = NULL;
    size_t room = 0;
    long number;
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    bool found = false;
    while (mounts && !found && getline(&line, &room, mounts) > 0)
        found = split(line, &number, mount) && number == wanted;
    if (mounts)
        fclose(mounts);
    return found;
}
