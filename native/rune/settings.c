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

/* TOML can write a key with escapes, which need a backslash. What cannot be read is the Python part's to tell. */
static bool may_have_key(const char *path)
{
    static char text[LIMIT];
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return errno != ENOENT && errno != ENOTDIR;
    size_t used = 0;
    ssize_t size;
    while ((size = read(file, text + used, sizeof(text) - used)) > 0)
        used += (size_t)size;
    close(file);
    return size < 0 || used == sizeof(text) || memchr(text, '\\', used) || memmem(text, used, KEY, strlen(KEY));
}

/* enclavize/rune/settings.py says which of them counts. */
bool settings_may_judge_ordinary(void)
{
    const char *home = getenv("XDG_CONFIG_HOME"), *below = "";
    char own[PATH_MAX];
    if (getenv(CONFIG_VARIABLE))
        return may_have_key(getenv(CONFIG_VARIABLE));
    if (!home || !*home) {
        home = getenv("HOME");
        below = "/.config";
    }
    if (may_have_key(SYSTEM_FILE))
        return true;
    int length = home && *home ? snprintf(own, sizeof(own), "%s%s/rune/config.toml", home, below) : 0;
    return length > 0 && (size_t)length < sizeof(own) && may_have_key(own);
}
