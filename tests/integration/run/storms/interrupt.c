/*
 * interrupt PID SIGNAL COUNT MICROSECONDS: makes the threads of a process that run take that many asynchronous exits.
 * The signal queues, so each one sent is one exit; threads that sleep are left alone. Says how many were sent.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 256
#define LIST_AGAIN 256 /* signals */

static int threads[THREADS_MAX];
static int count;

static void list_threads(int process)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", process);
    DIR *folder = opendir(path);
    count = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder)) && count < THREADS_MAX;) {
        int thread = atoi(entry->d_name);
        if (thread > 0) {
            threads[count++] = thread;
        }
    }
    if (folder) {
        closedir(folder);
    }
}

/* R, S, Z, ...; 0: it is gone. */
static char state(int process, int thread)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", process, thread);
    FILE *file = fopen(path, "r");
    size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) {
        fclose(file);
    }
    text[size] = 0;
    const char *name_end = strrchr(text, ')');
    return name_end && name_end[1] == ' ' ? name_end[2] : 0;
}

int main(int arguments, char **values)
{
    if (arguments != 5) {
        return 2;
    }
    int process = atoi(values[1]), signal = atoi(values[2]);
    long wanted = atol(values[3]), sent = 0;
    const struct timespec pause = {.tv_nsec = atol(values[4]) * 1000};
    list_threads(process);
    for (long round = 0; sent < wanted && count > 0; round++) {
        int thread = threads[round % count];
        char now = state(process, thread);
        if (now == 'Z' && thread == process) {
            break; /* it has ended */
        }
        if (now == 'R' && syscall(SYS_tgkill, process, thread, signal) == 0) {
            sent++;
        }
        if (round % count == 0) {
            nanosleep(&pause, NULL);
        }
        if (round % LIST_AGAIN == 0) {
            list_threads(process);
        }
    }
    printf("%ld\n", sent);
    return sent == wanted ? 0 : 1;
}
