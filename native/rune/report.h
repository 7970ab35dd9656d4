/* How an error reaches the engine: standard error, and the log that containerd and dockerd read for the cause. */
#ifndef RUNE_REPORT_H
#define RUNE_REPORT_H

#include "command_line.h"

/* Make the file of --log. */
void open_log(const struct command_line *line);

void report_error(const struct command_line *line, const char *message);

#endif
