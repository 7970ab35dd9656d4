/*
 * What becomes of a config.json, as the Python part has decided it (enclavize/rune/plan.py describes the format): conditions under which
 * that holds, and changes. Here nothing is decided: what a plan does not foresee, it does not fit.
 */
#ifndef RUNE_PLAN_H
#define RUNE_PLAN_H

#include <stdbool.h>

#include "json.h"
#include "text.h"

struct plan {
    struct json holds;      /* conditions outside of config.json: an object, or null in a plan for one container */
    struct json conditions; /* on config.json */
    struct json changes;    /* of config.json */
    bool has_folder;        /* the container gets a folder for the runelet of a PAL of others: pal_run.h */
};

/* The container that a plan is for. */
struct place {
    struct json config;
    const char *bundle, *rootfs; /* absolute, without links */
    const char *enclave;         /* the .enclave folder, likewise: below rootfs, or that of the node for a converted image */
    int folder;                  /* the same, open */
    const char *program;         /* the Python part */
};

bool read_plan(struct json text, struct plan *plan);

/* Whether config.json is one that the plan is for. */
bool plan_fits(const struct plan *plan, struct json config);

/* Whether the node is as it was when the plan was made: a plan that is not current decides about no container any more. */
bool plan_is_current(const struct plan *plan, const struct place *place);

/* Whether everything is, the container's files too. Costs the hashes of all files of the enclave. */
bool plan_holds(const struct plan *plan, const struct place *place);

/* Write the changed config.json of a plan that fits. */
bool apply_plan(const struct plan *plan, const struct place *place, struct text *changed);

#endif
