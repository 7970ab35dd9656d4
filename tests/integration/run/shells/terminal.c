/* Somebody at a terminal: starts an interactive shell (argv[1]) on a pseudoterminal, types, and waits for what appears. */
#define _GNU_SOURCE
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP "\032"      /* ^Z */
#define INTERRUPT "\003" /* ^C */

static int terminal;

/* What comes behind it stays for the next time. */
static void await(const char *wanted)
{
    static char seen[65536];
    static size_t length;
    char *found;
    while (!(found = strstr(seen, wanted))) {
        struct pollfd look = {.fd = terminal, .events = POLLIN};
        ssize_t got = poll(&look, 1, 20000) == 1 ? read(terminal, seen + length, sizeof seen - 1 - length) : -1;
        if (got <= 0) {
            printf("never saw %s in: %s\n", wanted, seen);
            exit(1);
        }
        length += (size_t)got;
        seen[length] = 0;
    }
    found += strlen(wanted);
    length -= (size_t)(found - seen);
    memmove(seen, found, length + 1);
    printf("%s\n", wanted);
}

static void type(const char *text)
{
    if (write(terminal, text, strlen(text)) < 0) {
        exit(1);
    }
}

int main(int count, char *arguments[])
{
    int status;
    if (count < 2) {
        return 1;
    }
    setvbuf(stdout, NULL, _IONBF, 0);
    pid_t shell = forkpty(&terminal, NULL, NULL, NULL);
    if (shell == 0) {
        setenv("PS1", "ready> ", 1);
        execl(arguments[1], arguments[1], "--norc", "-i", (char *)NULL);
        _exit(127);
    }
    await("ready>");
    type("sleep 50\n");
    usleep(300000);
    type(STOP);
    await("Stopped");
    type("jobs -l\n");
    await("sleep 50");
    await("ready>");
    type("fg\n");
    usleep(300000);
    type(INTERRUPT);
    await("ready>");
    type("echo status=$?\n");
    await("status=130");
    type("seq 1 500 | wc -l\n");
    await("500\r\n");
    type("exit 3\n");
    if (waitpid(shell, &status, 0) != shell) {
        return 1;
    }
    printf("%d\n", WEXITSTATUS(status));
    return 0;
}
