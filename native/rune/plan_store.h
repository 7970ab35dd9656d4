/*
 * Where plans are kept: a folder that no other user can look into or write to, gone with a reboot.
 *
 *     /run/rune/plans/HEX.N                 of root
 *     $XDG_RUNTIME_DIR/rune/plans/HEX.N     of other users, and of root in a user namespace
 *
 * HEX is the SHA-256 of the image's enclave.json; the plans of one image are for different shapes of config.json. What is not this user's
 * alone does not count, and nothing is written beside it: whoever could write a plan could let any image in.
 */
#ifndef RUNE_PLAN_STORE_H
#define RUNE_PLAN_STORE_H

#include "hash.h"
#include "json.h"
#include "plan.h"

struct plan_store {
    int folder; /* -1: nothing is kept */
    char key[HEX_SIZE];
    int slot; /* where the next plan of this image goes */
};

/* Open the store for the image of `folder`, its /.enclave. */
struct plan_store open_plan_store(int folder);

/* Find the plan for a container, if there is one that holds. */
bool find_plan(struct plan_store *store, const struct place *place, struct plan *plan);

/* Wait until no other process makes a plan for this image. */
void lock_plan_store(const struct plan_store *store);

/* Keep a plan, unless it is for one container. */
void save_plan(const struct plan_store *store, struct json text);

#endif
