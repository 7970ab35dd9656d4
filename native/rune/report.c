#define _GNU_SOURCE
#include "report.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A message may have words of a container in it: no line ends, nothing that a terminal acts on. */
static void clean(char *text, size_t size, const char *message, const char *also)
{
    size_t used = 0;
    for (; *message && used + 1 < size; message++)
        text[used++] = (unsigned char)*message < ' ' || *message == 127 || strchr(also, *message) ? '?' : *message;
    text[used] = 0;
}

/* Both forms of runc's log (logrus) quote alike here: what would need escaping in a message becomes a question mark. */
static void write_log(const struct command_line *line, const char *message)
{
    char text[2048], now[32], record[4096];
    time_t seconds = time(NULL);
    struct tm parts;
    clean(text, sizeof(text), message, "\"\\");
    if (!gmtime_r(&seconds, &parts) || strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        return;
    const char *form = line->log_json ? "{\"level\":\"error\",\"msg\":\"%s\",\"time\":\"%s\"}\n" : "level=error msg=\"%s\" time=\"%s\"\n";
    int length = snprintf(record, sizeof(record), form, text, now);
    int file = open(line->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file < 0 || length < 0 || (size_t)length >= sizeof(record) || write(file, record, (size_t)length) != length)
        dprintf(STDERR_FILENO, "rune: error: cannot write %s\n", line->log);
    if (file >= 0)
        close(file);
}

void report_error(const struct command_line *line, const char *message)
{
    char text[4096];
    clean(text, sizeof(text), message, "");
    dprintf(STDERR_FILENO, "rune: error: %s\n", text);
    if (line->log && *line->log)
        write_log(line, message);
}

/* Engines read it when rune or runc has died, whatever has been written by then. */
void open_log(const struct command_line *line)
{
    if (!line->log || !*line->log)
        return;
    int file = open(line->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file >= 0)
        close(file);
}
