#include "boundary/boundary.h"

#define MOMENT_NS 100000U

void quiet_note(struct quiet *quiet, bool is_known, uint64_t activity)
{
    *quiet = (struct quiet){.is_known = is_known, .activity = activity, .since = is_known ? clock_counter() : 0};
}

static bool is_fresh(const struct quiet *quiet)
{
    return quiet->since != 0 && clock_counter() - quiet->since < clock_ticks(MOMENT_NS);
}

bool quiet_holds(const struct quiet *quiet)
{
    bool has_slept = host_slept_until() > quiet->since;
    return quiet->is_known && quiet->activity == host_activity() && (!has_slept || is_fresh(quiet));
}

bool quiet_use(struct quiet *quiet)
{
    bool holds = quiet_holds(quiet);
    quiet->is_known = holds && is_fresh(quiet);
    return holds;
}
