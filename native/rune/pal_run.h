/* The folder of a container whose PAL is somebody else's, in its bundle (enclavize/rune/pal_plan.py): what its runelet says, and hears. The
 * container's user can write to it, so it is opened without following links, and nothing in it is believed further than a message goes. */
#ifndef RUNE_PAL_RUN_H
#define RUNE_PAL_RUN_H

#include "container.h"

/* Open it; -1 if the container has none. */
int open_pal_run(const struct container_place *place);

#endif
