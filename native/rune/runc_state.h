/* Ask runc for the state of a container: wherever it keeps its state, that is what its other commands will find. */
#ifndef RUNE_RUNC_STATE_H
#define RUNE_RUNC_STATE_H

#include "command_line.h"
#include "json.h"

enum state_result {
    STATE_FOUND,
    STATE_UNKNOWN_CONTAINER, /* runc knows no such container, or refuses its name */
    STATE_FAILED,            /* errno says why, or is 0 */
};

/* Run `runc state ID` with the caller's --root. */
enum state_result ask_runc_state(const struct command_line *line, struct json *answer);

#endif
