#include "path.h"

#include <string.h>

bool goes_up(const char *path)
{
    for (; *path; path += strspn(path, "/")) {
        size_t length = strcspn(path, "/");
        if (length == 2 && path[0] == '.' && path[1] == '.')
            return true;
        path += length;
    }
    return false;
}
