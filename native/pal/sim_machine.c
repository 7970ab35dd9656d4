#include "sim.h"

uint8_t sim_traps_enclu;
bool sim_steps;

/* Simulation is everywhere. */
static int find(const struct options *options)
{
    sim_traps_enclu = options->trap_enclu;
    sim_steps = options->step_enclave;
    return 0;
}

static uint64_t features(void)
{
    return UINT64_MAX;
}

const struct machine simulated_machine = {
    .find = find,
    .features = features,
    .create = sim_create,
    .add_page = sim_add_page,
    .initialise = sim_initialise,
    .release = sim_release,
    .start = sim_start,
    .stop = sim_stop,
    .thread_begin = sim_thread_begin,
    .thread_end = sim_thread_end,
    .enter = sim_enter,
    .abandon_all = sim_abandon_all,
    .add_memory = sim_add_memory,
    .protect_memory = sim_protect_memory,
    .restrict_memory = sim_restrict_memory,
    .trim_memory = sim_trim_memory,
    .remove_memory = sim_remove_memory,
};
