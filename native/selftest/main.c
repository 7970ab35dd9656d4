#define _GNU_SOURCE
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftest.h"

#define PROGRAM "/selftest"
#define CHILD_STATUS 41

/* A copy of this program, and then the program anew. */
void try_processes(void)
{
    int status, pipes[2];
    char seen = 0;
    EXPECT(pipe(pipes) == 0, "there is no pipe");
    pid_t child = fork();
    EXPECT(child >= 0, "fork fails");
    if (child == 0) {
        ssize_t written = write(pipes[1], "x", 1);
        execl(PROGRAM, PROGRAM, "child", (char *)NULL);
        _exit(written == 1 ? 2 : 3);
    }
    EXPECT(read(pipes[0], &seen, 1) == 1 && seen == 'x', "nothing comes from the child");
    EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status), "the child does not end as it should");
    EXPECT(WEXITSTATUS(status) == CHILD_STATUS, "the child's program ends with %d", WEXITSTATUS(status));
}

static void start(void)
{
}

static void wait_for_ever(void)
{
    for (;;) {
        pause();
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} STEPS[] = {
    {"start", start},           {"memory", try_memory},       {"exceptions", try_exceptions}, {"threads", try_threads},
    {"interrupts", try_interrupts}, {"processes", try_processes}, {"reports", try_reports},       {"keys", print_seal_key},
    {"wait", wait_for_ever}, /* for who looks at it from outside */
};

int main(int count, char **arguments)
{
    const char *name = count == 2 ? arguments[1] : "";
    if (strcmp(name, "child") == 0) {
        return CHILD_STATUS;
    }
    for (size_t at = 0; at < sizeof(STEPS) / sizeof(*STEPS); at++) {
        if (strcmp(name, STEPS[at].name) == 0) {
            STEPS[at].run();
            return 0;
        }
    }
    fprintf(stderr, "no step is called %s\n", name);
    return 2;
}
