/*
 * instance/defaults, where there is one: records that end with NUL. A: an argument before those of the host, C: one that the
 * host's take the place of, V: NAME=value. The manifest decides what of all this comes in.
 */
#define _GNU_SOURCE
#include "words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define DEFAULTS_SIZE_MAX (1 << 20)
#define FIXED_ARGUMENTS 4

/* Sets *size to 0 if there is no such file. The content gets a NUL behind it. */
static int read_file(const char *path, char **content, size_t *size)
{
    struct stat status;
    *content = NULL;
    *size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : fail(-errno, "%s: %s", path, strerror(errno));
    int error = 0;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > DEFAULTS_SIZE_MAX)
        error = fail(-ENOEXEC, "%s is not a regular file of at most %d bytes", path, DEFAULTS_SIZE_MAX);
    else if (!(*content = malloc((size_t)status.st_size + 1)))
        error = fail(-ENOMEM, "there is no memory for %s", path);
    else if (read(fd, *content, (size_t)status.st_size) != (ssize_t)status.st_size)
        error = fail(-EIO, "%s cannot be read", path);
    close(fd);
    if (error) {
        free(*content);
        *content = NULL;
        return error;
    }
    *size = (size_t)status.st_size;
    (*content)[*size] = '\0';
    return 0;
}

static size_t count(char **strings)
{
    size_t number = 0;
    while (strings && strings[number])
        number++;
    return number;
}

/* Appends the texts of all records with this letter. */
static size_t append_records(char **to, size_t at, char *defaults, size_t size, char letter)
{
    for (size_t offset = 0; offset < size; offset += strlen(defaults + offset) + 1) {
        if (defaults[offset] == letter)
            to[at++] = defaults + offset + 1;
    }
    return at;
}

static bool has_name(char **environment, size_t number, const char *variable)
{
    size_t length = strcspn(variable, "=") + 1;
    for (size_t i = 0; i < number; i++) {
        if (strncmp(environment[i], variable, length) == 0)
            return true;
    }
    return false;
}

static void fill_arguments(char **to, const struct instance *instance, char **given, char *defaults, size_t size)
{
    static char init[] = "init";
    size_t at = 0;
    to[at++] = (char *)instance->loader;
    to[at++] = (char *)instance->libpal;
    to[at++] = init;
    to[at++] = (char *)instance->application;
    at = append_records(to, at, defaults, size, 'A');
    if (count(given) == 0)
        at = append_records(to, at, defaults, size, 'C');
    for (size_t i = 0; i < count(given); i++)
        to[at++] = given[i];
    to[at] = NULL;
}

/* LD_* would be the loader's own, outside of any enclave: the manifest never lets them in, whoever gives them. */
static bool is_loaders_own(const char *variable)
{
    return strncmp(variable, "LD_", 3) == 0;
}

static void fill_environment(char **to, char **given, char *defaults, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < count(given); i++) {
        if (!is_loaders_own(given[i]))
            to[at++] = given[i];
    }
    size_t own = at;
    size_t end = append_records(to, at, defaults, size, 'V');
    for (size_t i = own; i < end; i++) {
        if (!is_loaders_own(to[i]) && !has_name(to, own, to[i]))
            to[at++] = to[i];
    }
    to[at] = NULL;
}

int words_make(struct words *words, const struct instance *instance, char **arguments, char **environment)
{
    size_t size = 0, records = 0;
    *words = (struct words){0};
    int error = read_file(instance->defaults, &words->defaults, &size);
    if (error)
        return error;
    for (size_t i = 0; i < size; i++)
        records += words->defaults[i] == '\0';
    if (size > 0 && words->defaults[size - 1] != '\0')
        records++;
    words->arguments = calloc(FIXED_ARGUMENTS + records + count(arguments) + 1, sizeof(char *));
    words->environment = calloc(records + count(environment) + 1, sizeof(char *));
    if (!words->arguments || !words->environment) {
        words_free(words);
        return fail(-ENOMEM, "there is no memory for arguments and environment");
    }
    fill_arguments(words->arguments, instance, arguments, words->defaults, size);
    fill_environment(words->environment, environment, words->defaults, size);
    return 0;
}

void words_free(struct words *words)
{
    free(words->arguments);
    free(words->environment);
    free(words->defaults);
    *words = (struct words){0};
}
