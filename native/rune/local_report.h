/* A local report of a running enclave: from a PAL of others by its runelet's socket, from rune's own by a command of the container's runelet. */
#ifndef RUNE_LOCAL_REPORT_H
#define RUNE_LOCAL_REPORT_H

#include <stdbool.h>

#include "command_line.h"

#define TARGETINFO_SIZE 512 /* SDM volume 3D, TARGETINFO and REPORT */
#define REPORT_SIZE 432

struct local_report {
    char data[REPORT_SIZE];
    char reason[512]; /* why there is none */
};

/* `folder` is what open_pal_run() has opened. */
bool ask_pal(int folder, const char target[TARGETINFO_SIZE], struct local_report *report);

bool ask_runelet(const struct command_line *line, const char target[TARGETINFO_SIZE], struct local_report *report);

#endif
