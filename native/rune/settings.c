#define _GNU_SOURCE
#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_FILE "/etc/rune/config.toml"
#define LIMIT (1 << 20)
#define KEY "ordinary"

static char text[LIMIT];

/* -1: it cannot be read, or is too long, with errno 0; or it is not there. */
static ssize_t read_file(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return -1;
    size_t used = 0;
    ssize_t size;
    while ((size = read(file, text + used, sizeof(text) - used)) > 0)
        used += (size_t)size;
    close(file);
    errno = 0;
    return size < 0 || used == sizeof(text) ? -1 : (ssize_t)used;
}

static bool is_absent(int error)
{
    return error == ENOENT || error == ENOTDIR;
}

/* TOML can write a key with escapes, which need a backslash. What cannot be read is the Python part's to tell. */
static bool may_have_key(const char *path)
{
    ssize_t used = read_file(path);
    if (used < 0)
        return !is_absent(errno);
    return memchr(text, '\\', (size_t)used) || memmem(text, (size_t)used, KEY, strlen(KEY));
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

/* Take a word that has to come next, behind blanks. */
static bool take(const char **at, const char *end, const char *word)
{
    const char *start = skip_blanks(*at, end);
    if ((size_t)(end - start) < strlen(word) || memcmp(start, word, strlen(word)) != 0)
        return false;
    *at = start + strlen(word);
    return true;
}

static bool says_convert(const char *path)
{
    ssize_t used = read_file(path);
    const char *end = text + (used < 0 ? 0 : used);
    for (const char *line = text; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line)), *at = line;
        stop = stop ? stop : end;
        if (take(&at, stop, "[")) /* a table: the keys of the file itself stand before all of them */
            return false;
        if (take(&at, stop, KEY) && take(&at, stop, "=") && take(&at, stop, "\"convert\"")) {
            at = skip_blanks(at, stop);
            if (at == stop || *at == '#')
                return true;
        }
        line = stop + 1;
    }
    return false;
}

static bool own_file(char own[PATH_MAX])
{
    const char *home = getenv("XDG_CONFIG_HOME"), *below = "";
    if (!home || !*home) {
        home = getenv("HOME");
        below = "/.config";
    }
    int length = home && *home ? snprintf(own, PATH_MAX, "%s%s/rune/config.toml", home, below) : 0;
    return length > 0 && length < PATH_MAX;
}

enum ordinary settings_about_ordinary(void)
{
    char own[PATH_MAX];
    const char *chosen = getenv(CONFIG_VARIABLE);
    if (!chosen)
        chosen = access(SYSTEM_FILE, F_OK) == 0 || !own_file(own) ? SYSTEM_FILE : own;
    return says_convert(chosen) ? ORDINARY_CONVERT : ORDINARY_UNKNOWN;
}

/* enclavize/rune/settings.py says which of them counts. */
bool settings_may_judge_ordinary(void)
{
    char own[PATH_MAX];
    if (getenv(CONFIG_VARIABLE))
        return may_have_key(getenv(CONFIG_VARIABLE));
    return may_have_key(SYSTEM_FILE) || (own_file(own) && may_have_key(own));
}
