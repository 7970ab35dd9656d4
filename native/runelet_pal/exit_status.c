#define _GNU_SOURCE
#include "exit_status.h"

#include <sys/wait.h>

#define SIGNAL_BASE 128
#define LARGEST_CODE 255
#define LARGEST_WAIT_STATUS 0xFFFF

int exit_code_of(enum exit_form form, int exit_value)
{
    if (exit_value < 0)
        return -1;
    switch (form) {
    case EXIT_CODE:
        return exit_value <= LARGEST_CODE ? exit_value : -1;
    case EXIT_WAIT_STATUS:
        if (exit_value > LARGEST_WAIT_STATUS)
            return -1;
        if (WIFEXITED(exit_value))
            return WEXITSTATUS(exit_value);
        return WIFSIGNALED(exit_value) ? SIGNAL_BASE + WTERMSIG(exit_value) : -1;
    }
    return -1;
}
