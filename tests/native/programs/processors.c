/* How many processors there are, by each way to ask: all say the same, and the calling thread runs on one that it may run on. */
#define _GNU_SOURCE
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int lines_that_start(const char *path, const char *word)
{
    char line[512];
    int count = 0;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        count += strncmp(line, word, strlen(word)) == 0;
    }
    if (file) {
        fclose(file);
    }
    return count;
}

static int directories_of_processors(void)
{
    int count = 0;
    DIR *directory = opendir("/sys/devices/system/cpu");
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char path[300];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/%s", entry->d_name);
        count += strncmp(entry->d_name, "cpu", 3) == 0 && entry->d_name[3] >= '0' && entry->d_name[3] <= '9' && access(path, X_OK) == 0;
    }
    if (directory) {
        closedir(directory);
    }
    return count;
}

static int last_of_list(const char *path)
{
    char line[64] = "";
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file)) {
        return -1;
    }
    fclose(file);
    const char *dash = strchr(line, '-');
    return atoi(dash ? dash + 1 : line);
}

int main(void)
{
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    int count = CPU_COUNT(&set);
    if (!CPU_ISSET(sched_getcpu(), &set)) {
        puts("getcpu() is outside of the affinity mask");
        return 1;
    }
    printf("%d %ld %ld %d %d %d %d\n", count, sysconf(_SC_NPROCESSORS_ONLN), sysconf(_SC_NPROCESSORS_CONF),
           lines_that_start("/proc/cpuinfo", "processor"), lines_that_start("/proc/stat", "cpu") - 1, directories_of_processors(),
           last_of_list("/sys/devices/system/cpu/online") + 1);
    return 0;
}
