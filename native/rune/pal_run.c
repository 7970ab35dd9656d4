#define _GNU_SOURCE
#include "pal_run.h"

#include <fcntl.h>
#include <unistd.h>

#define FOLDER "rune-pal"

int open_pal_run(const struct container_place *place)
{
    int bundle = open(place->bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (bundle < 0)
        return -1;
    int folder = openat(bundle, FOLDER, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    close(bundle);
    return folder;
}
