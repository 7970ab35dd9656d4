/* A network whose host lies, in place of shim_network.c. It says what it is told to say, and else anything that boundary/ lets through (ocalls.def). */
#ifndef LYING_NETWORK_H
#define LYING_NETWORK_H

#include "shim.h"

#include "fs/fs.h"
#include "net/net.h"

#define NOTHING_TOLD INT64_MIN
#define FIRST_FD 3

struct told {
    int64_t result;        /* of the next call, whichever that is */
    struct host_name name; /* the next one; length 0: none */
};
extern struct told told;
extern uint32_t closed; /* how often host_close() was called */
extern bool is_ready;   /* it says that all is ready, and then that there is nothing */

extern uint64_t random_state;
uint64_t random_below(uint64_t limit);

/* network_test.c */
void check(int line, const char *text, int64_t actual, int64_t expected);
#define CHECK(actual, expected) check(__LINE__, #actual, (int64_t)(actual), (int64_t)(expected))
#define NEED(condition) check(__LINE__, #condition, (condition) != 0, 1)

#endif
