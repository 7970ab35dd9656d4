/* The folder of a container whose PAL is somebody else's, in its bundle, which is mounted where enclavize/rune/pal_plan.py says: what its runelet says, and hears. The
 * container's user can write to it, so it is opened without following links, and nothing in it is believed further than a message goes. */
#ifndef RUNE_PAL_RUN_H
#define RUNE_PAL_RUN_H

#include "container.h"
#include "json.h"

/* Open it; -1 if the container has none. */
int open_pal_run(const struct container_place *place);

/* Make it for the user that `config` names, with an empty file beside it that stands for files of /etc which no engine has made. False: errno says
 * why, EINVAL if the user is not of the usual form. `bundle` is open. */
bool make_pal_run(int bundle, struct json config);

#endif
