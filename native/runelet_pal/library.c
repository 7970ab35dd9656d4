#define _GNU_SOURCE
#include "library.h"

#include <dlfcn.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

#include "calls.h"
#include "ending.h"

#define VDSO "linux-vdso.so.1" /* vdso(7): no file */

/* Which function stands where, from which version of the API on. pal_exec is another function before version 2. */
static const struct {
    const char *name;
    int first, last;
    size_t place;
} functions[] = {
    {"pal_init", 1, 3, offsetof(struct library, init)},
    {"pal_create_process", 2, 3, offsetof(struct library, create_process)},
    {"pal_exec", 1, 1, offsetof(struct library, exec_v1)},
    {"pal_exec", 2, 3, offsetof(struct library, exec)},
    {"pal_kill", 2, 3, offsetof(struct library, kill)},
    {"pal_get_local_report", 3, 3, offsetof(struct library, get_local_report)},
    {"pal_destroy", 1, 3, offsetof(struct library, destroy)},
};

/* A library without pal_get_version is of version 1 (Inclavare, rune/libenclave/internal/runtime/pal). */
static bool negotiate(void *handle, struct library *library)
{
    int (*get_version)(void);
    *(void **)&get_version = dlsym(handle, "pal_get_version");
    library->version = get_version ? CALL("pal_get_version", get_version()) : 1;
    if (library->version >= 1 && library->version <= PAL_API_VERSION)
        return true;
    fatal("the PAL says that it has version %d of the PAL API; this runelet knows 1 to %d", library->version, PAL_API_VERSION);
    return false;
}

static bool find_functions(void *handle, struct library *library)
{
    for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++) {
        if (library->version < functions[i].first || library->version > functions[i].last)
            continue;
        void *found = dlsym(handle, functions[i].name);
        if (!found) {
            fatal("the PAL has version %d of the PAL API, and no %s", library->version, functions[i].name);
            return false;
        }
        memcpy((char *)library + functions[i].place, &found, sizeof(found));
    }
    return true;
}

bool open_library(const char *path, struct library *library)
{
    void *handle = CALL("a constructor of a library", dlopen(path, RTLD_NOW | RTLD_LOCAL));
    if (!handle) {
        fatal("the PAL cannot be loaded: %s", dlerror());
        return false;
    }
    return negotiate(handle, library) && find_functions(handle, library);
}

static int find_foreign(struct dl_phdr_info *object, size_t size, void *data)
{
    const char *libraries = data;
    size_t length = strlen(libraries);
    (void)size;
    if (!*object->dlpi_name || strcmp(object->dlpi_name, VDSO) == 0)
        return 0;
    if (strncmp(object->dlpi_name, libraries, length) == 0 && object->dlpi_name[length] == '/' && !strstr(object->dlpi_name, "/../"))
        return 0;
    fatal("the PAL has loaded %s, which is not among the libraries that this machine lists for it", object->dlpi_name);
    return 1;
}

bool all_code_is_from(const char *libraries)
{
    return dl_iterate_phdr(find_foreign, (void *)libraries) == 0;
}
